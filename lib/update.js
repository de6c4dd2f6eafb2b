"use strict";

// `store.update`: reads a session, lets the app change it and writes it, if nobody has written it
// meanwhile; else once more.

const { performance } = require("node:perf_hooks");
const { clearTimeout, setTimeout } = require("node:timers");
const { endOf } = require("./absolute-lifetime.js");
const { failure, invalid } = require("./errors.js");
const { followsCookie, planSave, timesOf } = require("./lifetime.js");
const { parseOne } = require("./serializer.js");
const { Turns } = require("./turns.js");

/** Attempts after which it waits before the next, for a random time: others may be in step with it. */
const AT_ONCE = 3;
/** The longest of these waits, in milliseconds. */
const LONGEST_WAIT = 20;

/**
 * @typedef {InstanceType<typeof import("./native/native-backend.js").NativeBackend>} NativeBackend
 * @typedef {import("./store-backend.js").Store} Store
 */

/**
 * The updates of each store: those of one session go one after the other.
 * @type {WeakMap<object, InstanceType<typeof Turns>>}
 */
const turnsOf = new WeakMap();

/**
 * Changes a session. Resolves to whether there was one.
 * @param {Store} store
 * @param {string} sid
 * @param {(session: any) => unknown} change may be called several times
 * @param {object} terms
 * @param {number} terms.limit milliseconds that it may take: commandTimeout
 * @param {number} [terms.lifetime] milliseconds
 * @param {(call: (native: NativeBackend) => Promise<any>) => Promise<any>} terms.use makes a call
 * @param {InstanceType<typeof import("./session-index/session-index.js").SessionIndex>} [terms.index]
 */
async function update(store, sid, change, { limit, lifetime, use, index }) {
  if (typeof change !== "function") {
    throw invalid(`update: the second argument must be a function, got ${typeof change}`);
  }
  const deadline = performance.now() + limit;
  const { serializer } = store;
  const conflict = () =>
    failure(
      `update: other requests went on saving the session for ${limit} ms (commandTimeout); nothing was written`,
      "ECONFLICT",
    );
  const unsettled = () =>
    failure(
      `update: the function that changes the session has not settled within ${limit} ms (commandTimeout); nothing was written`,
      "ETIMEDOUT",
    );
  /**
   * Calls `change`, and resolves to what is to be stored; within the time that is left.
   * @param {any} session
   * @param {() => Error} late the error if the time is over
   */
  const changed = async (session, late) => {
    const before = session?.cookie?.expires;
    await within(deadline, change(session), late);
    return {
      text: await serializer.stringify(session),
      isMoved: session?.cookie?.expires !== before,
    };
  };
  for (let attempt = 1; ; attempt += 1) {
    const record = await use((native) => native.readForUpdate(sid));
    const session = await parseOne(serializer, record, followsCookie(store));
    const end = lifetime === undefined ? undefined : endOf(session, lifetime);
    if (session === null || (end !== undefined && end <= Date.now())) return false;
    if (typeof session !== "object") {
      throw failure("update: what is stored is no session object", "ECORRUPT");
    }
    const user = index?.userIn(session);
    const { text, isMoved } = await changed(session, attempt === 1 ? unsettled : conflict);
    const [expires, ttl] = isMoved ? timesOf(store, session) : [];
    const left = (record.expires ?? Number.POSITIVE_INFINITY) - Date.now();
    const after = await index?.updating(sid, user, session, left);
    let life = left;
    const saved = await use((native) => {
      const now = Date.now();
      // A change of something else leaves the key's expiry as it is.
      const ms = isMoved
        ? planSave(native.native, native.fields, expires, ttl, now, end)
        : Number.NaN;
      if (isMoved) life = ms;
      return native.replace(sid, text, ms, record.base);
    });
    if (saved === "discarded") return false;
    if (saved !== "conflict") {
      await after?.(life);
      return true;
    }
    if (performance.now() >= deadline) throw conflict();
    if (attempt >= AT_ONCE) await wait(Math.random() * Math.min(2 ** attempt, LONGEST_WAIT));
  }
}

/**
 * As `update`, after the updates of the same session that were called before: a store that competes
 * with itself would only repeat its work.
 * @type {typeof update}
 */
function updateInTurn(store, sid, change, terms) {
  const turns = turnsOf.get(store) ?? new Turns();
  turnsOf.set(store, turns);
  return turns.take(store.prefix + sid, () => update(store, sid, change, terms));
}

/**
 * @param {number} deadline as `performance.now()` has it
 * @param {unknown} work
 * @param {() => Error} late
 */
function within(deadline, work, late) {
  if (typeof (/** @type {any} */ (work)?.then) !== "function") return undefined;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(late()), Math.max(deadline - performance.now(), 0));
    Promise.resolve(work)
      .then(resolve, reject)
      .finally(() => clearTimeout(timer));
  });
}

/** @param {number} ms */
function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

module.exports = { update: updateInTurn };
