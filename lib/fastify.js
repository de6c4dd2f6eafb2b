"use strict";

// `connect-redis-rs/fastify`: a RedisStore for @fastify/session, with what an Express app gets. The plugin
// asks a store for `get`, `set` and `destroy` only, and copies what `get` gives into a session of its own;
// so the marks that a store leaves on what it hands out (loaded-sessions.js) would be lost.

const { answer } = require("./answer.js");
const { invalid } = require("./errors.js");

/** @typedef {import("./types.js").Callback} Callback */
/** @typedef {import("./types.js").Store} Store */

/**
 * @typedef {Record<string, any> & {isModified?: () => boolean}} FastifySession a session of the plugin
 */

/** The member under which a session carries its `Origin`. */
const ORIGIN = "connect-redis-rs:origin";

/**
 * From where a session of the plugin was loaded. JSON leaves it out, so it is neither stored nor in the
 * hash by which the plugin sees a change.
 */
class Origin {
  #sid;
  #loaded;

  /**
   * @param {string} sid
   * @param {Record<string, any>} loaded the session as an Express app would have it
   */
  constructor(sid, loaded) {
    this.#sid = sid;
    this.#loaded = loaded;
  }

  toJSON() {
    return undefined;
  }

  /**
   * The session that was loaded under `sid`, of which `session` is a copy; undefined if there is none.
   * @param {FastifySession} session
   * @param {string} sid
   */
  static of(session, sid) {
    const origin = session[ORIGIN];
    const isOf = origin !== null && typeof origin === "object" && #sid in origin;
    // An app may copy all members of a session to the next one.
    return isOf && origin.#sid === sid ? origin.#loaded : undefined;
  }
}

class FastifyStore {
  /** @param {Store} store */
  constructor(store) {
    this.store = store;
    /**
     * The sessions that were not loaded, as the store knows them.
     * @type {WeakMap<object, Record<string, any>>}
     */
    this.created = new WeakMap();
  }

  /**
   * @param {string} sid
   * @param {Callback} [callback]
   */
  get(sid, callback) {
    const { store } = this;
    return answer(callback, async () => {
      const data = await store.get(sid);
      if (data === null || typeof data !== "object") return data;
      const stored = { ...data };
      const loaded = store.createSession({ sessionID: sid, sessionStore: store }, data);
      const cookie = usableOf(stored.cookie, loaded.cookie);
      return { ...stored, cookie, [ORIGIN]: new Origin(sid, loaded) };
    });
  }

  /**
   * Stores a session; one that was loaded and is unmodified is touched, because with `rolling` the plugin
   * saves each session at each request.
   * @param {string} sid
   * @param {FastifySession} session
   * @param {Callback} [callback]
   */
  set(sid, session, callback) {
    const { store, created } = this;
    return answer(callback, async () => {
      const loaded = Origin.of(session, sid);
      const known = /** @type {import("./types.js").SessionData} */ (
        loaded ?? created.get(session) ?? {}
      );
      if (loaded === undefined) created.set(session, known);
      const isUnmodified = loaded !== undefined && session.isModified?.() === false;
      copyMembers(session, known);
      return isUnmodified ? store.touch(sid, known) : store.set(sid, known);
    });
  }

  /**
   * @param {string} sid
   * @param {Callback} [callback]
   */
  destroy(sid, callback) {
    return answer(callback, () => this.store.destroy(sid));
  }

  // For handlers that ask `request.sessionStore`.

  /** @param {Callback} [callback] */
  all(callback) {
    return answer(callback, () => this.store.all());
  }

  /** @param {Callback} [callback] */
  ids(callback) {
    return answer(callback, () => this.store.ids());
  }

  /** @param {Callback} [callback] */
  length(callback) {
    return answer(callback, () => this.store.length());
  }

  /** @param {Callback} [callback] */
  clear(callback) {
    return answer(callback, () => this.store.clear());
  }
}

/**
 * What a stored cookie says, as far as the store could use it: another program may have written it, and
 * the plugin saves whatever it finds. What it does not say the plugin's own options decide.
 * @param {unknown} stored
 * @param {any} used
 * @returns {Record<string, unknown>}
 */
function usableOf(stored, used) {
  if (!isObject(stored)) return {};
  const usable = used.toJSON();
  return Object.fromEntries(
    Object.keys(stored)
      .filter((name) => name in usable)
      .map((name) => [name, usable[name]]),
  );
}

/**
 * Gives a session the members of another, and no more.
 * @param {FastifySession} from
 * @param {Record<string, any>} to
 */
function copyMembers(from, to) {
  for (const name of Object.keys(to)) if (!Object.hasOwn(from, name)) delete to[name];
  for (const [name, value] of Object.entries(from)) if (name !== ORIGIN) to[name] = value;
}

/**
 * @param {unknown} value
 * @returns {value is object}
 */
function isObject(value) {
  return value !== null && typeof value === "object";
}

/**
 * A store for @fastify/session's option `store`.
 * @param {Store} store a RedisStore, which stays at hand as the adapter's member `store`
 */
function fastifyStore(store) {
  const lacking = ["get", "set", "touch", "destroy", "createSession"].find(
    (name) => typeof (/** @type {any} */ (store)?.[name]) !== "function",
  );
  if (lacking !== undefined) {
    throw invalid(`fastifyStore: give it a RedisStore; what it got has no method ${lacking}`);
  }
  return new FastifyStore(store);
}

module.exports = { fastifyStore };
