"use strict";

// An app's own `serializer`: called in JS, in the async context of the store's caller.

const { performance } = require("node:perf_hooks");
const { setImmediate } = require("node:timers");

/** How long records are parsed before the event loop gets a turn. */
const TURN_MS = 10;

/**
 * Throws the error of `invalid` if `serializer` lacks a method.
 * @param {any} serializer
 * @param {import("./types.js").Invalid} invalid
 */
exports.checkSerializer = function checkSerializer(serializer, invalid) {
  for (const method of ["parse", "stringify"]) {
    const got = typeof serializer?.[method];
    if (got !== "function") {
      throw invalid(
        "RedisStore: the option serializer must have the methods parse and stringify, " +
          `its ${method} is ${got}`,
      );
    }
  }
};

/**
 * The session of a record, or a promise of it if `parse` is async; null if there is no record.
 * @param {import("./types.js").Serializer} serializer
 * @param {import("./types.js").StoredRecord | null} record the stored text, and the key's true
 *   expiry in milliseconds since the epoch
 * @param {boolean} [isInCookie] whether the expiry follows the cookie, and so is put there
 */
exports.parseOne = function parseOne(serializer, record, isInCookie = true) {
  if (record === null) return null;
  const parsed = serializer.parse(record.text);
  const expires = isInCookie ? record.expires : undefined;
  return typeof parsed?.then === "function"
    ? Promise.resolve(parsed).then((session) => exports.putExpiry(session, expires))
    : exports.putExpiry(parsed, expires);
};

/**
 * The sessions of many records, each with its `id`. What is no session is left out, and `corrupt`
 * called with its id and what is wrong with it.
 * @param {import("./types.js").Serializer} serializer
 * @param {(import("./types.js").StoredRecord & {id: string})[]} records
 * @param {(id: string, error: any) => void} corrupt
 */
exports.parseAll = async function parseAll(serializer, records, corrupt) {
  const sessions = [];
  let turn = performance.now();
  for (const record of records) {
    try {
      const parsed = exports.parseOne(serializer, record);
      const session = typeof parsed?.then === "function" ? await parsed : parsed;
      if (session === null || typeof session !== "object") {
        throw new TypeError(
          `all: a record is parsed to ${session === null ? null : typeof session}`,
        );
      }
      const listed = Object.isExtensible(session) ? session : { ...session };
      listed.id = record.id;
      sessions.push(listed);
    } catch (error) {
      corrupt(record.id, error);
    }
    if (performance.now() - turn > TURN_MS) {
      await new Promise((resolve) => setImmediate(resolve));
      turn = performance.now();
    }
  }
  return sessions;
};

/**
 * Puts the key's true expiry into a parsed session, in the type that `cookie.expires` has there.
 * The same rule as src/session/true_expiry.rs has for JSON text.
 * @param {any} session
 * @param {number} [expires]
 */
exports.putExpiry = function putExpiry(session, expires) {
  if (expires === undefined || typeof session?.cookie?.originalMaxAge !== "number") return session;
  const [changed, cookie] = writable(session);
  const { originalMaxAge } = cookie;
  if (cookie.expires instanceof Date) cookie.expires = new Date(expires);
  else if (typeof cookie.expires === "string") cookie.expires = new Date(expires).toISOString();
  else if (typeof cookie.expires === "number") cookie.expires = expires;
  // The Cookie's own field, which serializers such as v8 store.
  else if (cookie._expires instanceof Date) cookie._expires = new Date(expires);
  // The setter of express-session's own Cookie has changed it.
  cookie.originalMaxAge = originalMaxAge;
  return changed;
};

/**
 * A session and its cookie; copies of what `parse` has frozen.
 * @param {import("./types.js").SessionData} session
 * @returns {[session: import("./types.js").SessionData, cookie: import("./types.js").CookieData]}
 */
function writable(session) {
  if (!Object.isFrozen(session.cookie))
    return [session, /** @type {import("./types.js").CookieData} */ (session.cookie)];
  const cookie = { ...session.cookie };
  if (Object.isFrozen(session)) return [{ ...session, cookie }, cookie];
  session.cookie = cookie;
  return [session, cookie];
}

/**
 * Whether less than half of a cookie's time is left, by what is stored.
 * @param {any} cookie
 */
exports.isHalfOver = function isHalfOver(cookie) {
  if (typeof cookie?.originalMaxAge !== "number") return false;
  const half = cookie.originalMaxAge / 2;
  const { expires } = cookie;
  // Dates as JSON has them are compared as texts: to read them would cost as much as all else.
  if (typeof expires === "string" && expires.length === ISO_LENGTH) return expires < dateIn(half);
  return Number(new Date(expires)) - Date.now() < half;
};

const ISO_LENGTH = new Date(0).toISOString().length;
/** The last answer of `dateIn`. */
const last = { ms: Number.NaN, at: Number.NaN, text: "" };

/**
 * The date in so many milliseconds, as JSON has it, to a tenth of a second.
 * @param {number} ms
 */
function dateIn(ms) {
  const now = Date.now();
  if (ms !== last.ms || !(now - last.at < 100 && now >= last.at)) {
    Object.assign(last, { ms, at: now, text: isoDate(now + ms) });
  }
  return last.text;
}

/**
 * A date as JSON has it; "", which no date is before, for a time too far away to be one.
 * @param {number} time
 */
function isoDate(time) {
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}
