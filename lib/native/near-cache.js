"use strict";

// The near cache (`cache`): copies of sessions that were read, served without asking Redis. A copy is
// served only if each write that Redis had acknowledged `maxStale` milliseconds ago has been heard of
// (src/redis/tracking.rs). In doubt the session is read.

const { idInSessionKey } = require("../addon/load.js");
const { warnOfNoCache } = require("../cache.js");
const { monotonic, setImmediate } = require("../clock.js");
const { ownText } = require("./own-text.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { byteLength } = Buffer;

/** About how many bytes a copy takes beside its text and its sid. */
const OVERHEAD = 200;
/** Milliseconds within which it is not asked again what was written. */
const LOOK_EVERY = 0.1;
/** Milliseconds by which the wall clock may be set forward without a suspension being suspected. */
const CLOCK_STEP = 50;
/** Two sids with such a thing can have one key. */
const HALF_A_CHARACTER = /\p{Surrogate}/u;

/**
 * @typedef {object} Copy a session as it was read
 * @property {string} text
 * @property {number} [expires] when its key expires, as `Date.now()` has it
 * @property {number} until the same by `performance.now()`, or somewhat earlier
 * @property {import("../types.js").Base} [base] what a save compares with
 * @property {number} bytes
 */

/**
 * @typedef {object} Reading reads of one session that are under way
 * @property {boolean} isClean whether nothing was written since they began
 * @property {number} count
 */

/** Hears what Redis says, for all near caches of a connection. */
class CacheWatch {
  /**
   * @param {import("../addon/addon.js").NativeStore} native
   * @param {number} maxStale milliseconds
   */
  constructor(native, maxStale) {
    // The native side holds the pending calls, and these the caches: none of them may hold it.
    this.native = new WeakRef(native);
    this.maxStale = maxStale;
    /** @type {Set<NearCache>} */
    this.caches = new Set();
    this.lookedAt = Number.NEGATIVE_INFINITY;
    /** How far the wall clock was ahead of `performance.now()`. */
    this.wallAhead = Number.POSITIVE_INFINITY;
    /** Whether the refusal of a server was told: once, although in a cluster each may refuse. */
    this.hasWarned = false;
    /** Until when copies may be served. */
    this.servedUntil = Number.NEGATIVE_INFINITY;
  }

  /** @param {number} maxBytes of the copies of one store */
  open(maxBytes) {
    return new NearCache(this, maxBytes);
  }

  /** Drops what was written. Returns the time. */
  look() {
    const now = monotonic();
    if (now - this.lookedAt < LOOK_EVERY) return now;
    this.lookedAt = now;
    this.heedSuspension(now);
    const news = this.native.deref()?.look();
    if (typeof news === "number") this.servedUntil = now + this.maxStale - news;
    else this.heard(news, now);
    return now;
  }

  /**
   * While the machine is suspended, only the wall clock goes on: then no copy is as new as it seems.
   * @param {number} now
   */
  heedSuspension(now) {
    const wallAhead = Date.now() - now;
    if (wallAhead - this.wallAhead > Math.min(this.maxStale, CLOCK_STEP)) {
      for (const cache of this.caches) cache.forgetAll();
    }
    this.wallAhead = wallAhead;
  }

  /**
   * @param {import("../addon/addon.js").CacheNews | undefined} news
   * @param {number} now
   */
  heard(news, now) {
    this.servedUntil =
      news?.age === undefined ? Number.NEGATIVE_INFINITY : now + this.maxStale - news.age;
    for (const cache of this.caches) {
      if (news === undefined || news.isAllWritten) cache.forgetAll();
      else for (const key of news.written) cache.written(key);
    }
    if (news?.refusal === undefined || this.hasWarned) return;
    this.hasWarned = true;
    warnOfNoCache(news.refusal);
  }
}

/** The copies of one store. */
class NearCache {
  /**
   * @param {CacheWatch} watch
   * @param {number} maxBytes
   */
  constructor(watch, maxBytes) {
    this.watch = watch;
    /** How many bytes each of the two generations may hold. */
    this.half = maxBytes / 2;
    this.prefix = "";
    /** Whether keys hold a handle instead of the sid (`hashIds`). */
    this.hasHandles = false;
    /** How many reads were served from here, and how many were not. */
    this.hits = 0;
    this.misses = 0;
    /**
     * The copies that were used since the last change of generations, and those that were not: these go at
     * the next one. So what is used stays, and a use costs nothing. By what stands in the key for the sid.
     * @type {Map<string, Copy>}
     */
    this.young = new Map();
    /** @type {Map<string, Copy>} */
    this.old = new Map();
    /** Of the young and of the old ones. */
    this.bytes = 0;
    this.oldBytes = 0;
    /** @type {Map<string, Reading>} */
    this.readings = new Map();
    /**
     * Resolves when the event loop has read what came, if something was served since it began to.
     * @type {Promise<void> | undefined}
     */
    this.turn = undefined;
    watch.caches.add(this);
  }

  /**
   * Heeds the fields of the store. With another prefix, these are other sessions.
   * @param {import("../types.js").NativeFields} fields
   */
  configure({ prefix, hasHandles = false }) {
    this.forgetAll();
    // As it stands in keys: half a character is another one there.
    this.prefix = Buffer.from(prefix).toString();
    this.hasHandles = hasHandles;
  }

  /**
   * What stands in the key of a session. Throws if it is no sid.
   * @param {string} sid
   */
  idOf(sid) {
    return this.hasHandles ? idInSessionKey(sid, "get") : sid;
  }

  /**
   * The copy of a session; undefined if it must be read.
   * @param {string} id
   * @returns {Copy | undefined}
   */
  find(id) {
    const now = this.watch.look();
    let copy = this.young.get(id);
    if (copy === undefined) {
      copy = this.old.get(id);
      if (copy === undefined) return undefined;
      this.old.delete(id);
      this.oldBytes -= copy.bytes;
      this.add(id, copy);
    }
    if (now < this.watch.servedUntil && now < copy.until) return copy;
    return undefined;
  }

  /**
   * Resolves to a session: the first one in a turn of the event loop at once, the others when the loop has
   * read what came. An app that answers each request as it comes gets a third fewer of them done.
   * @param {any} found
   * @returns {Promise<any>}
   */
  serve(found) {
    if (this.turn !== undefined) return this.turn.then(() => found);
    this.turn = new Promise((resolve) => {
      setImmediate(() => {
        this.turn = undefined;
        resolve();
      });
    });
    return Promise.resolve(found);
  }

  /**
   * Reads a session and keeps a copy, unless it is written meanwhile.
   * @param {string} id
   * @param {(keep: (text: unknown, expires?: number, base?: import("../types.js").Base) => void) => Promise<any>} read
   *   calls `keep` with what it finds
   */
  async read(id, read) {
    this.misses += 1;
    const reading = this.readings.get(id) ?? { isClean: true, count: 0 };
    reading.count += 1;
    this.readings.set(id, reading);
    const began = monotonic();
    const beganAt = Date.now();
    try {
      return await read((text, expires, base) => {
        if (!reading.isClean || typeof text !== "string") return;
        // By this clock, and by what Redis said while this waited: never later than Redis has it.
        const waited = monotonic() - began;
        const until =
          expires === undefined ? Number.POSITIVE_INFINITY : began + (expires - beganAt) - waited;
        this.keep(id, text, { expires, until, base });
      });
    } finally {
      reading.count -= 1;
      if (reading.count === 0 && this.readings.get(id) === reading) this.readings.delete(id);
    }
  }

  /**
   * @param {string} id
   * @param {string} text
   * @param {Pick<Copy, "expires" | "until" | "base">} rest
   */
  keep(id, text, rest) {
    const size = byteLength(text);
    // A text that is not ASCII may take two bytes a character.
    const ofText = size === text.length ? size : 2 * text.length;
    // If the base is not a text, its text is kept a second time, on the native side.
    const isTwice = rest.base !== undefined && rest.base.text === undefined;
    const bytes = OVERHEAD + 2 * id.length + ofText * (isTwice ? 2 : 1);
    if (bytes > this.half || HALF_A_CHARACTER.test(id)) return;
    this.drop(id);
    // The text is a part of those of many answers.
    const base = rest.base?.alone();
    this.add(id, { text: base?.text ?? ownText(text), ...rest, base, bytes });
  }

  /**
   * @param {string} id
   * @param {Copy} copy
   */
  add(id, copy) {
    if (this.bytes + copy.bytes > this.half) {
      this.old = this.young;
      this.young = new Map();
      this.oldBytes = this.bytes;
      this.bytes = 0;
    }
    this.young.set(id, copy);
    this.bytes += copy.bytes;
  }

  /**
   * The store is about to write a session.
   * @param {string} sid
   */
  writes(sid) {
    try {
      // The way of `destroy`, to which a handle may be given.
      this.forget(this.hasHandles ? idInSessionKey(sid, "destroy") : sid);
    } catch {
      // It is no sid, so nothing will be written.
    }
  }

  /**
   * Drops the copy of a session, and keeps none of what is being read.
   * @param {string} id
   */
  forget(id) {
    this.drop(id);
    const reading = this.readings.get(id);
    if (reading === undefined) return;
    reading.isClean = false;
    this.readings.delete(id);
  }

  /**
   * Redis has said that a key was written.
   * @param {string} key
   */
  written(key) {
    const { prefix } = this;
    if (key.startsWith(prefix)) this.forget(key.slice(prefix.length));
  }

  /** @param {string} id */
  drop(id) {
    const young = this.young.get(id);
    if (young !== undefined) {
      this.young.delete(id);
      this.bytes -= young.bytes;
      return;
    }
    const old = this.old.get(id);
    if (old === undefined) return;
    this.old.delete(id);
    this.oldBytes -= old.bytes;
  }

  /** Anything may have been written. */
  forgetAll() {
    this.young = new Map();
    this.old = new Map();
    this.bytes = 0;
    this.oldBytes = 0;
    for (const reading of this.readings.values()) reading.isClean = false;
    this.readings.clear();
  }

  /** What it has done, and what it holds. */
  get figures() {
    const { hits, misses, young, old, bytes, oldBytes } = this;
    return { hits, misses, copies: young.size + old.size, bytes: bytes + oldBytes };
  }

  /** The store is done. */
  close() {
    this.watch.caches.delete(this);
    this.forgetAll();
  }
}

module.exports = { CacheWatch, NearCache };
