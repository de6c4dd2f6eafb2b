"use strict";

// What the scans over the keyspace (`length`, `ids`, `all`, `clear`; src/io/scan.rs) have found so
// far, and who waits for it.

const { AsyncLocalStorage } = require("node:async_hooks");
const { PackedStrings } = require("./packed-strings.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse } = JSON;

/** The native side holds this, so nothing here may hold the store or its native object. */
class ScanResults {
  /**
   * @param {object} callbacks
   * @param {Float64Array} callbacks.answers where the native side writes its numbers; see packed-strings.js
   * @param {(message: string, code: string) => Error} callbacks.failure
   */
  constructor({ answers, failure }) {
    this.answers = answers;
    this.failure = failure;
    this.scans = new Map();
    this.last = 0;
  }

  /** Returns the scan's number. */
  add(scan) {
    this.last = (this.last + 1) % 2 ** 32;
    // A corrupt record is reported in the async context of whoever asked for it.
    const context = AsyncLocalStorage.snapshot();
    this.scans.set(this.last, { ...scan, context, found: undefined });
    return this.last;
  }

  /** Tells the store that has asked for a scan of a record that is no session. */
  corrupt(number, sid, error) {
    const { context, caller } = this.scans.get(number) ?? {};
    context?.(() => caller.corrupt(sid, error));
  }

  /**
   * Handles what a scan has found.
   * @param {string} ids the sids, as JSON: these strings are all that is kept of them
   * @param {string} [text] the sessions' texts, one after the other, or among the `others`
   */
  collect(number, ids, text, others) {
    const scan = this.scans.get(number);
    if (scan === undefined) return;
    scan.found ??= [];
    const { found, isJson } = scan;
    const sids = parse(ids);
    if (text === undefined) {
      for (const sid of sids) found.push(sid);
      return;
    }
    const texts = new PackedStrings(this.answers, text, others);
    for (const id of sids) {
      texts.next();
      if (!isJson) {
        found.push({ id, ...texts.record() });
        continue;
      }
      try {
        const session = parse(texts.own);
        if (session === null || typeof session !== "object") throw this.noSession();
        session.id = id;
        found.push(session);
      } catch (error) {
        this.corrupt(number, id, error);
      }
    }
  }

  noSession() {
    return this.failure("all: a record holds JSON that is no session object", "ECORRUPT");
  }

  /** A scan is done; `count` is the number of keys, where it counts them. */
  swept(number, count) {
    const scan = this.take(number);
    scan?.resolve(scan.found ?? count ?? (scan.isList ? [] : null));
  }

  /** The connection was lost under a scan: the app's client is to make it, from its beginning. */
  giveBack(number) {
    const scan = this.take(number);
    if (scan === undefined) return;
    const { name, caller, context, resolve, reject } = scan;
    try {
      resolve(context(() => caller.again(name)));
    } catch (error) {
      reject(error);
    }
  }

  fail(number, error) {
    this.take(number)?.reject(error);
  }

  take(number) {
    const scan = this.scans.get(number);
    this.scans.delete(number);
    return scan;
  }
}

module.exports = { ScanResults };
