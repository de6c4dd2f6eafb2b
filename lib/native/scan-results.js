"use strict";

// What the sweeps over the keyspace (`length`, `ids`, `all`, `clear`; src/io/scan.rs) have found so
// far, and who waits for it.

const { AsyncLocalStorage } = require("node:async_hooks");
const { Texts } = require("./packed-strings.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse } = JSON;

/** The native side holds this, so nothing here may hold the store or its native object. */
class Findings {
  /**
   * @param {object} face
   * @param {Float64Array} face.answers where the native side writes its numbers; see packed-strings.js
   * @param {(message: string, code: string) => Error} face.failure
   */
  constructor({ answers, failure }) {
    this.answers = answers;
    this.failure = failure;
    this.sweeps = new Map();
    this.last = 0;
  }

  /** Returns the sweep's number. */
  add(sweep) {
    this.last = (this.last + 1) % 2 ** 32;
    // What the sweep tells of is told in the async context of whoever asked for it.
    const context = AsyncLocalStorage.snapshot();
    this.sweeps.set(this.last, { ...sweep, context, found: undefined });
    return this.last;
  }

  /** Tells the store that has asked for a sweep of a record that is no session. */
  corrupt(number, sid, error) {
    const { context, caller } = this.sweeps.get(number) ?? {};
    context?.(() => caller.corrupt(sid, error));
  }

  /**
   * Takes in what a sweep has found.
   * @param {string} ids the sids, as JSON: these strings are all that is kept of them
   * @param {string} [text] the sessions' texts, one after the other, or among the `others`
   */
  collect(number, ids, text, others) {
    const sweep = this.sweeps.get(number);
    if (sweep === undefined) return;
    sweep.found ??= [];
    const { found, isJson } = sweep;
    const sids = parse(ids);
    if (text === undefined) {
      for (const sid of sids) found.push(sid);
      return;
    }
    const texts = new Texts(this.answers, text, others);
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

  /** A sweep is done; `count` is the number of keys, where it counts them. */
  swept(number, count) {
    const sweep = this.take(number);
    sweep?.resolve(sweep.found ?? count ?? (sweep.isList ? [] : null));
  }

  /** The connection was lost under a sweep: the app's client is to make it, from its beginning. */
  giveBack(number) {
    const sweep = this.take(number);
    if (sweep === undefined) return;
    const { name, caller, context, resolve, reject } = sweep;
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
    const sweep = this.sweeps.get(number);
    this.sweeps.delete(number);
    return sweep;
  }
}

module.exports = { Findings };
