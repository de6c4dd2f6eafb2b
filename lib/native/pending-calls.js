"use strict";

// The calls that wait for an answer, each with its promise: batch.js makes it, and it is settled here. In
// JS because V8 makes a promise faster than N-API does.

const { closed: CLOSED, methods: METHODS } = require("../addon/crossing.js");
const { SINGLE } = require("../observe/counts.js");
const { PackedStrings, roomForAnswers } = require("./packed-strings.js");
const { ScanResults } = require("./scan-results.js");
const { Sequences } = require("../sequences.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse } = JSON;

/**
 * A store that makes calls over a connection, which it may share with others. Pending calls hold
 * this, and the native side holds them: so nothing here may hold the store, or it could never go.
 */
class Caller {
  /**
   * @param {number} number by which the native side knows the store
   * @param {object} store
   * @param {(sid: string, error: Error) => void} store.corrupt a record is no session
   * @param {(name: string, ...call: unknown[]) => Promise<unknown>} store.again makes a call
   *   through the app's client, or a scan, by its name alone
   * @param {InstanceType<typeof import("../observe/counts.js").Counts>} store.counts
   * @param {InstanceType<typeof import("./near-cache.js").NearCache>} [store.cache]
   */
  constructor(number, { corrupt, again, counts, cache }) {
    this.number = number;
    this.corrupt = corrupt;
    this.again = again;
    this.counts = counts;
    this.cache = cache;
    this.sequences = new Sequences();
    /** How many calls of the store are pending, and their bytes. */
    this.length = 0;
    this.bytes = 0;
  }
}

/**
 * @typedef {object} Call
 * @property {Caller} caller
 * @property {number} method of `METHODS`
 * @property {(answer: unknown) => void} resolve
 * @property {(error: unknown) => void} reject
 * @property {import("../types.js").HandOut | InstanceType<typeof import("./bases.js").Save>} [answered]
 *   what makes the answer of what is read; or the save that it is, if that compares
 * @property {number} bytes
 */

/**
 * The calls that wait for an answer. The native side holds this, so nothing here may hold a store
 * or its native object, or neither could ever go.
 */
class PendingCalls {
  /** @param {import("../types.js").Failure} failure */
  constructor(failure) {
    this.failure = failure;
    /**
     * By the number of the call; and the numbers to be used again.
     * @type {(Call | undefined)[]}
     */
    this.calls = [];
    /** @type {number[]} */
    this.free = [];
    this.sequences = new Sequences();
    /** How many there are, and who waits until none is left. */
    this.length = 0;
    /** @type {(() => void)[]} */
    this.idlers = [];
    /** Whether answers were handed out since calls were last sent. */
    this.hasSettled = false;
    this.answers = roomForAnswers();
    /**
     * Those of the native object, once there is one.
     * @type {InstanceType<typeof import("./bases.js").Bases> | undefined}
     */
    this.bases = undefined;
    this.scans = new ScanResults({ answers: this.answers, failure });
    /**
     * Who waits for the end, until it has come.
     * @type {((nothing: null) => void)[] | undefined}
     */
    this.closers = [];
  }

  /**
   * Returns the call's number.
   * @param {Call} call
   */
  add(call) {
    const { caller } = call;
    this.length += 1;
    caller.length += 1;
    caller.bytes += call.bytes;
    const { free, calls } = this;
    const id = free.length > 0 ? /** @type {number} */ (free.pop()) : calls.length;
    calls[id] = call;
    return id;
  }

  /**
   * Takes a call out, whose number may be another's then; undefined if it was given up.
   * @param {number} id
   */
  take(id) {
    const call = this.calls[id];
    if (call === undefined) return undefined;
    this.calls[id] = undefined;
    this.free.push(id);
    this.answered(call);
    return call;
  }

  /**
   * @param {Call} call
   * @param {unknown} answer
   */
  resolve({ caller, method, resolve }, answer) {
    if (method < SINGLE.length) caller.counts.answered(method, answer);
    resolve(answer);
  }

  /**
   * @param {Call} call
   * @param {unknown} error
   */
  reject({ caller, method, answered, reject }, error) {
    if (typeof answered === "object") answered.ended();
    if (method < SINGLE.length) caller.counts.failed(method, error);
    reject(error);
  }

  /** @param {Call} call */
  answered({ caller, bytes }) {
    caller.length -= 1;
    caller.bytes -= bytes;
    this.length -= 1;
    if (this.length === 0) for (const look of this.idlers.splice(0)) look();
  }

  /** Resolves when each call that is pending now has its answer, and those that follow from it. */
  idle() {
    return new Promise((/** @type {(nothing?: undefined) => void} */ resolve) => {
      const look = () => {
        if (this.sequences.count > 0) this.sequences.after(look);
        else if (this.length > 0) this.idlers.push(look);
        else resolve();
      };
      look();
    });
  }

  /**
   * Rejects a call that may be answered all the same, so its number must never be another's.
   * @param {number} id
   * @param {unknown} error
   */
  giveUp(id, error) {
    const call = /** @type {Call} */ (this.calls[id]);
    this.calls[id] = undefined;
    this.answered(call);
    this.reject(call, error);
  }

  /**
   * A store is closed, and the connection is not: rejects what it still waits for.
   * @param {Caller} caller
   */
  leave(caller) {
    this.calls.forEach((call, id) => {
      if (call?.caller === caller) this.giveUp(id, this.closed(METHODS[call.method]));
    });
    for (const [id, scan] of this.scans.scans) {
      if (scan.caller === caller) this.scans.fail(id, this.closed(scan.name));
    }
  }

  /**
   * Settles so many calls by their answers.
   * @param {number} count
   * @param {string} text
   * @param {import("../types.js").CrossedText[]} [others]
   * @param {number} [end] if there are bases among the texts: how many bytes have crossed with them
   * @param {number} [saves] if there are saves that compare: how many bases of saves were remembered
   * @param {number} [batchNumber] of the bases that the native side keeps
   * @param {number} [first] the place of the first of these
   */
  settle(count, text, others, end, saves, batchNumber, first) {
    this.hasSettled = true;
    const texts = new PackedStrings(this.answers, text, others);
    const { bases } = this;
    if (saves !== undefined && bases !== undefined) bases.saves = saves;
    const source = end === undefined ? undefined : bases?.read(text, end);
    const batch = batchNumber === undefined ? undefined : bases?.batch(batchNumber);
    const hasBases = bases !== undefined && (source !== undefined || batch !== undefined);
    for (let n = 0; n < count; n += 1) {
      const call = this.take(texts.next());
      if (call === undefined) continue;
      const { answered } = call;
      if (typeof answered === "object") {
        answered.answered(texts.moved, texts.expires, batch, first);
        // The store emits the events: it knows the sid.
        const saved = typeof texts.own === "string" ? parse(texts.own) : texts.saved;
        this.resolve(call, answered.isNew && saved === null ? answered.base : saved);
        continue;
      }
      const base = hasBases ? texts.base(bases, source, batch, first) : undefined;
      if (texts.own === undefined) {
        this.resolve(call, texts.expires ?? texts.saved);
      } else if (answered !== undefined) {
        try {
          const text = /** @type {string} */ (texts.own);
          this.resolve(call, answered(parse(text), texts.expires, base, text));
        } catch (error) {
          this.reject(call, error);
        }
      } else this.resolve(call, texts.record(base));
    }
  }

  /**
   * @param {number} id
   * @param {unknown} error
   */
  fail(id, error) {
    const call = this.take(id);
    if (call !== undefined) this.reject(call, error);
  }

  /**
   * The connection was lost under a call: the app's client executes it.
   * @param {number} id
   * @param {number} left milliseconds until its deadline
   * @param {unknown[]} command
   */
  handBack(id, left, ...command) {
    const call = this.take(id);
    if (call === undefined) return;
    const { caller, method, answered, resolve } = call;
    try {
      // A save that compares is never handed back.
      const made = caller.again(METHODS[method], left, ...command, answered);
      resolve(method < SINGLE.length ? caller.counts.follow(method, made) : made);
    } catch (error) {
      this.reject(call, error);
    }
  }

  /**
   * Nothing can be answered any more. With `handsBack` the connection was lost, and the app's client
   * makes the scans.
   * @param {boolean} handsBack
   */
  end(handsBack) {
    const { calls, scans, closers } = this;
    // No number is used again: calls that are not sent yet may still be sent under theirs.
    this.free = [];
    for (const [id, call] of calls.entries()) {
      if (call === undefined) continue;
      calls[id] = undefined;
      this.answered(call);
      this.reject(call, this.closed(METHODS[call.method]));
    }
    for (const [id, { name }] of scans.scans) {
      if (handsBack) scans.handBack(id);
      else scans.fail(id, this.closed(name));
    }
    this.closers = undefined;
    for (const resolve of closers ?? []) resolve(null);
  }

  /** @param {string} name */
  closed(name) {
    return this.failure(name + CLOSED, "ECLOSED");
  }
}

module.exports = { Caller, PendingCalls };
