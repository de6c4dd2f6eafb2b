"use strict";

// The option `lifetime`: a session ends so long after it was created, however active it is. When that
// was is a member of the session's data, because express-session writes `cookie` anew with the fields
// that it knows.

/** A name that no app has for a member of its own. */
const CREATED = "connect-redis-rs:created";

/** When a session was created that has no such member yet: until it is loaded again. */
const created = new WeakMap();

/**
 * Returns what to store of a session, and when it must end. A session without the member counts from
 * now, its first save.
 * @param {any} session
 * @param {number} lifetime milliseconds
 * @param {number} now
 */
function withCreated(session, lifetime, now) {
  if (session === null || typeof session !== "object")
    return { data: session, end: now + lifetime };
  const known = createdOf(session);
  if (known === undefined) created.set(session, now);
  const since = known ?? now;
  const members = typeof session.toJSON === "function" ? session.toJSON() : session;
  const data = hasMember(session) ? session : { ...members, [CREATED]: since };
  return { data, end: since + lifetime };
}

/**
 * When a session must end; `Infinity` if nothing says when it was created.
 * @param {any} session
 * @param {number} lifetime milliseconds
 */
function endOf(session, lifetime) {
  return (createdOf(session) ?? Number.POSITIVE_INFINITY) + lifetime;
}

/**
 * @param {any} session
 * @returns {number | undefined}
 */
function createdOf(session) {
  if (session === null || typeof session !== "object") return undefined;
  return hasMember(session) ? session[CREATED] : created.get(session);
}

/**
 * A session with a new id counts from when its data was created.
 * @param {object} session
 * @param {object} old
 */
function inheritCreated(session, old) {
  const since = created.get(old);
  if (since !== undefined) created.set(session, since);
}

/** @param {Record<string, any>} session */
function hasMember(session) {
  return Number.isFinite(session[CREATED]);
}

module.exports = { endOf, inheritCreated, withCreated };
