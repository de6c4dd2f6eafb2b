"use strict";

// How long a session's key lives: decided here for every `set` and `touch`, whatever carries it out
// (native/native-backend.js, client/client-backend.js). A plan is a number, because this is called
// for every request and an object would cost: milliseconds to live; 0 or less to delete the key;
// `FOREVER` for no expiry; `UNCHANGED` to send nothing.

const FOREVER = Number.POSITIVE_INFINITY;
/** The only plan that is no number. */
const UNCHANGED = undefined;
/** The promise of a `touch` that sends nothing. */
const SKIPPED = Promise.resolve(null);

/**
 * What says when a session expires, as connect-redis asks: a `ttl` function alone, called as a
 * method of the store, else the cookie before the `ttl` option.
 * @param {Pick<import("./types.js").StoreFields, "ttl">} store
 * @param {import("./types.js").SessionData} session
 * @returns {[expires: unknown, ttl: unknown]}
 */
function timesOf(store, session) {
  return typeof store.ttl === "function"
    ? [undefined, store.ttl(session)]
    : [session?.cookie?.expires || undefined, store.ttl];
}

/**
 * Whether a key's expiry follows the cookie, so that `get` puts the true expiry into the session.
 * @param {{ttl?: unknown, disableTTL?: unknown}} fields
 */
function followsCookie({ ttl, disableTTL }) {
  return typeof ttl !== "function" && !disableTTL;
}

/**
 * Whether `touch` does nothing, by the store's fields.
 * @param {{disableTouch?: unknown, disableTTL?: unknown}} fields
 */
function isTouchOff({ disableTouch, disableTTL }) {
  return Boolean(disableTouch || disableTTL);
}

/**
 * The plan of a `set`. A session that has expired is deleted, even with `disableTTL`, as
 * connect-redis does.
 * @param {Pick<import("./addon/addon.js").NativeStore, "expiresIn">} native
 * @param {Pick<import("./types.js").NativeFields, "disableTTL">} fields
 * @param {unknown} expires
 * @param {unknown} ttl
 * @param {number} now
 * @param {number} [end] when the session ends whatever happens (`lifetime`), as `Date.now()` has it
 */
function planSave(native, fields, expires, ttl, now, end = FOREVER) {
  const ms = expiresIn(native, expires, ttl, now);
  return Math.min(ms > 0 && fields.disableTTL ? FOREVER : ms, end - now);
}

/**
 * The plan of a `touch`.
 * @param {Pick<import("./addon/addon.js").NativeStore, "expiresIn">} native
 * @param {import("./types.js").NativeFields} fields
 * @param {unknown} expires
 * @param {unknown} ttl
 * @param {number} now
 * @param {number} [end] as for `planSave`
 * @param {number} [loadedUntil] the expiry that the session was loaded with, as `Date.now()` has it
 */
function planTouch(native, fields, expires, ttl, now, end = FOREVER, loadedUntil = Number.NaN) {
  if (isTouchOff(fields)) return UNCHANGED;
  const ms = Math.min(expiresIn(native, expires, ttl, now), end - now);
  return isWithinTouchAfter(now + ms - loadedUntil, fields.touchAfter) ? UNCHANGED : ms;
}

/**
 * Whether a touch that moves the expiry by so many milliseconds is skipped (`touchAfter`). One that
 * brings it forward is sent; but not by less than a second, since reading an expiry takes time.
 * @param {number} later
 * @param {number} [touchAfter]
 */
function isWithinTouchAfter(later, touchAfter = 0) {
  return touchAfter > 0 && later < touchAfter && later > -1000;
}

/**
 * Milliseconds to live. The usual case, a cookie's date, is worked out here because a call of the
 * native side costs more; the rest, and the errors, are src/napi/lifetime.rs's.
 * @param {Pick<import("./addon/addon.js").NativeStore, "expiresIn">} native
 * @param {unknown} expires
 * @param {unknown} ttl
 * @param {number} now
 */
function expiresIn(native, expires, ttl, now) {
  let at = Number.NaN;
  if (expires instanceof Date) at = expires.getTime();
  else if (typeof expires === "string") at = Date.parse(expires);
  return Number.isNaN(at) ? native.expiresIn(expires, ttl, now) : Math.ceil(at - now);
}

/**
 * Whole seconds, rounded up, as connect-redis gives them to a client; undefined for `FOREVER`.
 * @param {number} ms
 */
function wholeSeconds(ms) {
  return ms === FOREVER ? undefined : Math.ceil(ms / 1000);
}

module.exports = {
  FOREVER,
  SKIPPED,
  UNCHANGED,
  followsCookie,
  isTouchOff,
  planSave,
  planTouch,
  timesOf,
  wholeSeconds,
};
