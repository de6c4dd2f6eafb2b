"use strict";

// The errors that an app gets. Made in JS so that they are instances of the app's own Error, also under
// jest.

/** Why a call failed; docs/when-redis-is-away.md has the list of `code`. */
class RedisStoreError extends Error {}
Object.defineProperty(RedisStoreError.prototype, "name", {
  value: "RedisStoreError",
  configurable: true,
  writable: true,
});

/**
 * A TypeError for an argument that cannot be used.
 * @param {string} message
 */
function invalid(message) {
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}

/**
 * The error of what needs the option `user`. Here, so that a store without it does not load its room.
 * @param {string} method
 */
function needsUser(method) {
  return invalid(
    `${method}: the store does not know whose a session is; give the option user, such as user: "passport.user"`,
  );
}

/**
 * @param {string} message
 * @param {string} code
 * @param {Error | string} [cause] what is underneath
 */
function failure(message, code, cause) {
  const error = typeof cause === "string" ? new Error(cause) : cause;
  const options = error === undefined ? undefined : { cause: error };
  return Object.assign(new RedisStoreError(message, options), { code });
}

module.exports = { RedisStoreError, failure, invalid, needsUser };
