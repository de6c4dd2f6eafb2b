"use strict";

// How long a session's key lives: decided here for every `set` and `touch`, whatever carries it out
// (native/native-backend.js, client/client-backend.js). A plan is a number, because this is called
// for every request and an object would cost: milliseconds to live; 0 or less to delete the key;
// `FOREVER` for no expiry; `UNCHANGED` to send nothing.

const FOREVER = Number.POSITIVE_INFINITY;
/** The only plan that is no number. */
const UNCHANGED = undefined;

/**
 * What says when a session expires, as connect-redis asks: a `ttl` function alone, called as a
 * method of the store, else the cookie before the `ttl` option.
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

/** Whether `touch` does nothing, by the store's fields. */
function isTouchOff({ disableTouch, disableTTL }) {
  return Boolean(disableTouch || disableTTL);
}

/**
 * The plan of a `set`. A session that has expired is deleted, even with `disableTTL`, as
 * connect-redis does.
 */
function planSave(native, fields, expires, ttl, now) {
  const ms = expiresIn(native, expires, ttl, now);
  return ms > 0 && fields.disableTTL ? FOREVER : ms;
}

/** The plan of a `touch`. */
function planTouch(native, fields, expires, ttl, now) {
  return isTouchOff(fields) ? UNCHANGED : expiresIn(native, expires, ttl, now);
}

/**
 * Milliseconds to live. The usual case, a cookie's date, is worked out here because a call of the
 * native side costs more; the rest, and the errors, are src/napi/lifetime.rs's.
 */
function expiresIn(native, expires, ttl, now) {
  let at = Number.NaN;
  if (expires instanceof Date) at = expires.getTime();
  else if (typeof expires === "string") at = Date.parse(expires);
  return Number.isNaN(at) ? native.expiresIn(expires, ttl, now) : Math.ceil(at - now);
}

/** Whole seconds, rounded up, as connect-redis gives them to a client; undefined for `FOREVER`. */
function wholeSeconds(ms) {
  return ms === FOREVER ? undefined : Math.ceil(ms / 1000);
}

module.exports = {
  FOREVER,
  UNCHANGED,
  followsCookie,
  isTouchOff,
  planSave,
  planTouch,
  timesOf,
  wholeSeconds,
};
