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
  /** @type {import("./types.js").Base | undefined} */
  #base;

  /**
   * Notes what was read at `key` of `origin`, and returns it. What is no object is no session.
   * @param {any} data
   * @param {object} origin
   * @param {string} key
   * @param {import("./types.js").Base} [base] what a save of it compares with
   */
  static note(data, origin, key, base) {
    if (data === null || typeof data !== "object") return data;
    const marked = #key in data ? data : new HandedOut(data);
    marked.#origin = origin;
    marked.#key = key;
    marked.#base = base;
    return data;
  }

  /**
   * What a save of `data` compares with; undefined if it is not known.
   * @param {any} data
   */
  static baseOf(data) {
    return #base in data ? data.#base : undefined;
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
  /** @type {import("./types.js").Base | undefined} */
  #base;

  /**
   * @param {object} session
   * @param {object} origin
   * @param {string} key
   * @param {import("./types.js").Base} [base] what a save of it compares with
   */
  static note(session, origin, key, base) {
    const marked = #key in session ? session : new Loaded(session);
    marked.#origin = origin;
    marked.#key = key;
    marked.#base = base;
  }

  /**
   * What a save of `session` compares with; undefined if it is not known.
   * @param {any} session
   */
  static baseOf(session) {
    return #base in session ? session.#base : undefined;
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

/**
 * What was read, or a session made of it, with the expiry that its key had then (`touchAfter`). A mark of
 * its own, because each one costs something at every `get`.
 */
class ReadUntil extends Given {
  /** @type {number | undefined} */
  #until;

  /**
   * @param {any} object
   * @param {number} until
   */
  static note(object, until) {
    if (object === null || typeof object !== "object") return;
    const marked = #until in object ? object : new ReadUntil(object);
    marked.#until = until;
  }

  /**
   * Returns the expiry, if it is known; from now on it is not, since the caller may change it.
   * @param {any} object
   */
  static take(object) {
    if (object === null || typeof object !== "object" || !(#until in object)) return undefined;
    const until = object.#until;
    object.#until = undefined;
    return until;
  }
}

module.exports = { HandedOut, Loaded, ReadUntil };
