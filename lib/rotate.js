"use strict";

// `store.rotate`: gives a request's session a new id. The new session is written before the old one
// ends, so a crash in between loses nothing.

const { setTimeout } = require("node:timers");
const { inheritCreated } = require("./absolute-lifetime.js");
const { invalid } = require("./errors.js");

/** The longest time that a timer takes, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * @typedef {object} Ending how the old session ends; see native/native-backend.js
 * @property {(sid: string) => Promise<number>} pttl
 * @property {(sid: string, ms: number) => Promise<number | boolean>} end
 */

/**
 * Rotates the session of a request. Resolves to false if the session has been destroyed or rotated
 * meanwhile. Then the request has its session as it was, but no session id: nothing of it is saved, and no
 * cookie is sent, unless the app calls `req.session.regenerate()`.
 * @param {any} store an express-session Store, which the middleware has given `generate`
 * @param {any} req
 * @param {{grace?: number} | undefined} options
 * @param {object} terms
 * @param {boolean} terms.isStored whether the old session was loaded, so that it must still be there
 * @param {(call: (ending: Ending) => Promise<any>) => Promise<any>} terms.use makes a call
 * @param {InstanceType<typeof import("./session-index/session-index.js").SessionIndex>} [terms.index]
 * @returns {Promise<boolean>}
 */
async function rotate(store, req, options, { isStored, use, index }) {
  const grace = graceOf(options);
  const old = req?.session;
  if (old === null || typeof old !== "object") {
    throw invalid("rotate: the request has no session; it must come through express-session");
  }
  if (typeof store.generate !== "function") {
    throw invalid("rotate: the store must be in use by express-session, which makes session ids");
  }
  const oldId = req.sessionID;
  store.generate(req);
  const { session } = req;
  const restore = () => {
    req.sessionID = oldId;
    req.session = old;
  };
  const newId = req.sessionID;
  const endNew = async () => {
    const count = await use((ending) => ending.end(newId, 0));
    await index?.ended("rotate", newId, index.userIn(session), count > 0);
  };
  copyTo(session, old);
  let isSaved = false;
  try {
    await store.set(newId, session);
    isSaved = true;
    const isThere = await ended(oldId, grace, use);
    // One that was destroyed meanwhile must not live on under another id.
    if (!isThere && isStored) {
      await endNew();
      restore();
      // express-session would send the old id again, and it would take the place of the cookie that
      // another rotation has sent.
      req.sessionID = undefined;
      return false;
    }
  } catch (error) {
    restore();
    // Nobody will ever know its id.
    if (isSaved) await endNew().catch(() => {});
    throw error;
  }
  // One that ends later is taken out when it has ended.
  if (grace === 0) await index?.ended("rotate", oldId, index.userIn(old), isStored);
  else await index?.endsIn(oldId, grace);
  return true;
}

/**
 * Ends the old session, at once or after `grace` milliseconds. Resolves to whether there was one.
 * @param {string} sid
 * @param {number} grace
 * @param {(call: (ending: Ending) => Promise<any>) => Promise<any>} use
 */
async function ended(sid, grace, use) {
  if (grace === 0) return Boolean(await use((ending) => ending.end(sid, 0)));
  const left = await use((ending) => ending.pttl(sid));
  if (left === -2) return false;
  // It must not live longer than it would have.
  const isThere = left >= 0 && left <= grace ? true : await use((ending) => ending.end(sid, grace));
  // A request that loaded it before may move its expiry, or save it, until then.
  if (isThere && grace <= LONGEST_TIMER) {
    const end = () => use((ending) => ending.end(sid, 0)).catch(() => {});
    setTimeout(end, grace).unref();
  }
  return Boolean(isThere);
}

/** @param {any} options */
function graceOf(options) {
  const grace = options?.grace ?? 0;
  if (typeof grace === "number" && grace >= 0 && Number.isFinite(grace)) return Math.ceil(grace);
  throw invalid(
    `rotate: grace must be a number of milliseconds from 0, got ${typeof grace === "number" ? grace : typeof grace}`,
  );
}

/**
 * Gives a new session the data of another, its cookie's age and attributes among them.
 * @param {any} session
 * @param {any} old
 */
function copyTo(session, old) {
  for (const name of Object.keys(old)) {
    if (name !== "cookie") session[name] = old[name];
  }
  if (old.cookie && session.cookie) Object.assign(session.cookie, old.cookie);
  inheritCreated(session, old);
}

module.exports = { rotate };
