"use strict";

// The option `concurrency`: what becomes of a save if another request has saved the session meanwhile.
// The comparison itself is src/session/compare_and_set.rs's.

const { HandedOut, Loaded } = require("./loaded-sessions.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { nextTick } = process;

/** @typedef {import("./types.js").Base} Base */
/** @typedef {import("./types.js").Comparison} Comparison */

/**
 * Throws if the options cannot go together with `concurrency`. Its words are checked on the native side.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function checkConcurrency({ concurrency, serializer, resurrect }, invalid) {
  if (!comparesBy(concurrency)) return;
  const said = `RedisStore: concurrency is ${JSON.stringify(concurrency)}`;
  if (serializer !== JSON) {
    throw invalid(
      `${said}, which compares the members of sessions that are stored as JSON: leave serializer out`,
    );
  }
  if (resurrect) {
    throw invalid(
      `${said}, which compares with what is stored, and resurrect saves what is not: leave one of them out`,
    );
  }
}

/**
 * How saves compare, by the option; undefined if they do not.
 * @param {unknown} concurrency
 * @returns {Comparison["how"] | undefined}
 */
function comparesBy(concurrency) {
  return concurrency === "detect" || concurrency === "merge" ? concurrency : undefined;
}

/**
 * How a save of a session compares. Throws if the session is no object.
 * @param {Comparison["how"]} how
 * @param {any} session
 * @param {object} origin as in loaded-sessions.js
 * @param {string} key
 * @param {import("./types.js").Invalid} invalid
 * @returns {Comparison}
 */
function comparisonOf(how, session, origin, key, invalid) {
  if (session === null || typeof session !== "object" || Array.isArray(session)) {
    const got = session === null ? "null" : Array.isArray(session) ? "an array" : typeof session;
    throw invalid(
      `set: with concurrency ${JSON.stringify(how)} a session must be an object, got ${got}`,
    );
  }
  if (Loaded.is(session, origin, key)) return { how, base: Loaded.baseOf(session) };
  const isHandedOut = HandedOut.keyOf(session, origin) === key;
  return { how, base: isHandedOut ? HandedOut.baseOf(session) : undefined };
}

let hasWarned = false;

/**
 * Emits what became of a save.
 * @param {import("node:events").EventEmitter} store
 * @param {string} sid
 * @param {import("./types.js").Saved | string[] | null} saved
 */
function announce(store, sid, saved) {
  if (saved === null) return;
  if (Array.isArray(saved)) nextTick(() => store.emit("overwritten", sid, saved));
  else nextTick(() => store.emit(saved, sid));
  if (saved !== "unmerged" || hasWarned) return;
  hasWarned = true;
  process.emitWarning(
    "RedisStore: a session was saved without being compared with what is stored, so another request's changes may be lost: the Redis user needs the right to SET with GET, to EVALSHA and EVAL (docs/operating.md)",
    { code: "CONNECT_REDIS_RS_UNMERGED" },
  );
}

module.exports = { announce, checkConcurrency, comparesBy, comparisonOf };
