"use strict";

// Whose a session is: the option `user`.

const { createHash } = require("node:crypto");

/**
 * Returns a function that gives the user of a session, as text; undefined if the session has none.
 * @param {unknown} user the option: a path such as "passport.user", or a function
 * @param {import("../types.js").Invalid} invalid
 * @returns {(session: any) => string | undefined}
 */
function readerOf(user, invalid) {
  if (typeof user === "function") {
    return (session) => textOf(user(session), "the function user returned", invalid);
  }
  if (typeof user !== "string" || user === "" || user.split(".").includes("")) {
    const got = typeof user === "string" ? JSON.stringify(user) : typeof user;
    throw invalid(
      `RedisStore: the option user must be a path such as "passport.user" or a function, got ${got}`,
    );
  }
  const names = user.split(".");
  return (session) => {
    let value = session;
    for (const name of names) {
      if (value === null || typeof value !== "object" || !Object.hasOwn(value, name)) {
        return undefined;
      }
      value = value[name];
    }
    return textOf(value, `the session's ${user} is`, invalid);
  };
}

/**
 * A user as text: 7 and "7" are the same. Undefined for null, undefined and "".
 * @param {unknown} value
 * @param {string} what begins the message of the TypeError
 * @param {import("../types.js").Invalid} invalid
 */
function textOf(value, what, invalid) {
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value === "string") return value;
  if (typeof value === "bigint" || (typeof value === "number" && Number.isFinite(value))) {
    return `${value}`;
  }
  const got = typeof value === "number" ? `${value}` : `a value of type ${typeof value}`;
  throw invalid(`RedisStore: a user must be a string or a number, and ${what} ${got}`);
}

/**
 * The user that an app asks for. Throws if it is none: nobody's sessions must not be everybody's.
 * @param {string} method for messages
 * @param {unknown} value
 * @param {import("../types.js").Invalid} invalid
 */
function askedUser(method, value, invalid) {
  const user = textOf(value, `${method} got`, invalid);
  if (user !== undefined) return user;
  const got = value === "" ? '""' : `${value}`;
  throw invalid(`${method}: the user must be a string or a number, got ${got}`);
}

/**
 * What stands for a user in a key: of any length, with any characters.
 * @param {string} user
 */
function hashOf(user) {
  return createHash("sha256").update(user).digest("hex");
}

module.exports = { askedUser, hashOf, readerOf };
