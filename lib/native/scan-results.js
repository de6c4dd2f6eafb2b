"use strict";

// What the scans over the keyspace (`length`, `ids`, `all`, `clear`; src/io/scan/) have found so far,
// and the promises that wait for it. In JS because JSON is V8's.

const { AsyncLocalStorage } = require("node:async_hooks");
const { PackedStrings } = require("./packed-strings.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse } = JSON;

/** @typedef {InstanceType<typeof import("./pending-calls.js").Caller>} Caller */

/**
 * @typedef {object} Scan
 * @property {Caller} caller
 * @property {string} name
 * @property {(answer: unknown) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {boolean} [isJson]
 * @property {string} [sid] of the one session that it is about
 * @property {boolean} isList whether it answers with a list
 */

/**
 * @typedef {object} Progress
 * @property {ReturnType<typeof AsyncLocalStorage.snapshot>} context
 * @property {any[]} [found]
 */

/** The scans that answer with a page: `{records, next}`. */
const PAGES = new Set(["page", "idsPage"]);

/** The native side holds this, so nothing here may hold the store or its native object. */
class ScanResults {
  /**
   * @param {object} parts
   * @param {Float64Array} parts.answers where the native side writes its numbers; see packed-strings.js
   * @param {import("../types.js").Failure} parts.failure
   */
  constructor({ answers, failure }) {
    this.answers = answers;
    this.failure = failure;
    /** @type {Map<number, Scan & Progress>} */
    this.scans = new Map();
    this.last = 0;
  }

  /**
   * Returns the scan's id.
   * @param {Scan} scan
   */
  add(scan) {
    this.last = (this.last + 1) % 2 ** 32;
    // What happens in the scan happens in the async context of its caller.
    const context = AsyncLocalStorage.snapshot();
    this.scans.set(this.last, { ...scan, context, found: undefined });
    return this.last;
  }

  /**
   * A record is no session.
   * @param {number} id
   * @param {string} sid
   * @param {Error} error
   */
  corrupt(id, sid, error) {
    const scan = this.scans.get(id);
    // A page shows that it is there: somebody may want to destroy it.
    if (scan?.name === "page") {
      scan.found ??= [];
      scan.found.push({ id: sid, text: undefined });
      return;
    }
    const { context, caller } = scan ?? {};
    context?.(() => /** @type {Caller} */ (caller).corrupt(sid, error));
  }

  /**
   * Adds what a scan has found.
   * @param {number} id
   * @param {string} sids the sids, as JSON: these strings are all that is kept of them
   * @param {string | undefined} text the sessions' texts, one after the other, or among the `others`
   * @param {import("../types.js").CrossedText[]} [others]
   */
  addChunk(id, sids, text, others) {
    const scan = this.scans.get(id);
    if (scan === undefined) return;
    scan.found ??= [];
    const { found, isJson } = scan;
    if (text === undefined) {
      for (const sid of parse(sids)) found.push(sid);
      return;
    }
    const texts = new PackedStrings(this.answers, text, others);
    for (const sid of parse(sids)) {
      texts.next();
      if (!isJson) {
        found.push({ id: sid, ...texts.record() });
        continue;
      }
      try {
        const session = parse(/** @type {string} */ (texts.own));
        if (session === null || typeof session !== "object") throw this.noSession();
        session.id = sid;
        found.push(session);
      } catch (error) {
        this.corrupt(id, sid, error);
      }
    }
  }

  noSession() {
    return this.failure("all: a record holds JSON that is no session object", "ECORRUPT");
  }

  /**
   * A scan is done.
   * @param {number} id
   * @param {number | string} [answer] the number of keys, if it counts them; the position of the next
   *   page, if there is one
   */
  end(id, answer) {
    const scan = this.take(id);
    if (scan === undefined) return;
    const { name, found, isList, resolve } = scan;
    if (PAGES.has(name)) resolve({ records: found ?? [], next: answer });
    else resolve(found ?? answer ?? (isList ? [] : null));
  }

  /**
   * The connection was lost under a scan: the app's client makes it, from its beginning.
   * @param {number} id
   */
  handBack(id) {
    const scan = this.take(id);
    if (scan === undefined) return;
    const { name, caller, context, sid, resolve, reject } = scan;
    try {
      resolve(context(() => (sid === undefined ? caller.again(name) : caller.again("move", sid))));
    } catch (error) {
      reject(error);
    }
  }

  /**
   * @param {number} id
   * @param {unknown} error
   */
  fail(id, error) {
    this.take(id)?.reject(error);
  }

  /** @param {number} id */
  take(id) {
    const scan = this.scans.get(id);
    this.scans.delete(id);
    // What was read while the scan was under way may be older than what the scan has written.
    if (scan?.name === "clear") scan.caller.cache?.forgetAll();
    if (scan?.sid !== undefined) scan.caller.cache?.writes(scan.sid);
    return scan;
  }
}

module.exports = { ScanResults };
