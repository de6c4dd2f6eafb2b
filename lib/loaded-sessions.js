"use strict";

// Marks on JS objects that nobody else can see: not in their keys, nor in what is printed or stored of
// them. A WeakMap would do as well, but costs the garbage collector a microsecond for each session
// that is read; a private field costs a tenth of that.

/** A constructor whose `this` is the object it is given: so a subclass adds its fields to that. */
class Given {
  /** @param {object} object */
  constructor(object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is how fields are added to an object.
    return object;
  }
}

/**
 * The object that a store's own `get` handed out, with its origin: the store's client, as an
 * object that stands for it, and the key. What express-session makes of it (`createSession`) is a
 * loaded session.
 */
class HandedOut extends Given {
  /** @type {object | undefined} */
  #origin;
  /** @type {string | undefined} */
  #key;
  /** @type {number | undefined} */
  #until;

  /**
   * Notes what was read at `key` of `origin`, and returns it. What is no object is no session.
   * @param {any} data
   * @param {object} origin
   * @param {string} key
   * @param {number} [until] the key's expiry, if it is known
   */
  static note(data, origin, key, until) {
    if (data === null || typeof data !== "object") return data;
    const marked = #key in data ? data : new HandedOut(data);
    marked.#origin = origin;
    marked.#key = key;
    marked.#until = until;
    return data;
  }

  /**
   * The expiry that `data` was read with; undefined if it is unknown.
   * @param {object} data
   */
  static untilOf(data) {
    return #key in data ? data.#until : undefined;
  }

  /**
   * The key at which `data` was read from `origin`; undefined if it was not.
   * @param {any} data
   * @param {object} origin
   */
  static keyOf(data, origin) {
    const isMarked = data !== null && typeof data === "object" && #key in data;
    return isMarked && data.#origin === origin ? data.#key : undefined;
  }
}

/** A session that was loaded from a store, with its origin. */
class Loaded extends Given {
  /** @type {object | undefined} */
  #origin;
  /** @type {string | undefined} */
  #key;
  /** @type {number | undefined} */
  #until;

  /**
   * @param {object} session
   * @param {object} origin
   * @param {string} key
   * @param {number} [until]
   */
  static note(session, origin, key, until) {
    const marked = #key in session ? session : new Loaded(session);
    marked.#origin = origin;
    marked.#key = key;
    marked.#until = until;
  }

  /**
   * The expiry that `session` was loaded with from `key` of `origin`; undefined if it is unknown, and
   * from now on, since the caller is about to change it.
   * @param {any} session
   * @param {object} origin
   * @param {string} key
   */
  static takeUntil(session, origin, key) {
    if (!Loaded.is(session, origin, key)) return undefined;
    const until = session.#until;
    session.#until = undefined;
    return until;
  }

  /**
   * Whether `session` was loaded from `key` of `origin`.
   * @param {any} session
   * @param {object} origin
   * @param {string} key
   */
  static is(session, origin, key) {
    const isMarked = session !== null && typeof session === "object" && #key in session;
    return isMarked && session.#origin === origin && session.#key === key;
  }
}

module.exports = { HandedOut, Loaded };
