"use strict";

// Marks on objects that nobody else can see: not in their keys, nor in what is printed or stored of
// them. A WeakMap would do as well, but costs the garbage collector a microsecond for each session
// that is read; a private field costs a tenth of that.

/** A constructor whose `this` is the object it is given: so a subclass adds its fields to that. */
class Given {
  constructor(object) {
    // biome-ignore lint/correctness/noConstructorReturn: this is how fields are added to an object.
    return object;
  }
}

/**
 * The object that a store's own `get` has handed out, with the sid it was asked for: what
 * express-session makes of it (`createSession`) is a loaded session.
 */
class HandedOut extends Given {
  #store;
  #sid;

  /** Notes what `store` has read under `sid`, and returns it. What is no object is no session. */
  static note(data, store, sid) {
    if (data === null || typeof data !== "object") return data;
    const marked = #sid in data ? data : new HandedOut(data);
    marked.#store = store;
    marked.#sid = sid;
    return data;
  }

  /** The sid under which `store` has handed out `data`; undefined if it has not. */
  static sidOf(data, store) {
    const isMarked = data !== null && typeof data === "object" && #sid in data;
    return isMarked && data.#store === store ? data.#sid : undefined;
  }
}

/** A session that was loaded from a store, with the sid it was loaded from. */
class Loaded extends Given {
  #store;
  #sid;

  static note(session, store, sid) {
    const marked = #sid in session ? session : new Loaded(session);
    marked.#store = store;
    marked.#sid = sid;
  }

  /** Whether `session` was loaded from `store` under `sid`. */
  static is(session, store, sid) {
    const isMarked = session !== null && typeof session === "object" && #sid in session;
    return isMarked && session.#store === store && session.#sid === sid;
  }
}

module.exports = { HandedOut, Loaded };
