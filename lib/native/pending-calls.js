"use strict";

// The native RedisStore (src/napi/store.rs), asked in batches: the calls of one run of JS are handed to
// it together, and their answers taken in together. To go from JS to native code and back for each
// call costs more than all else that a call needs.

const { ScanResults } = require("./scan-results.js");
const { OTHER, PackedStrings, roomForAnswers } = require("./packed-strings.js");

/** The methods that calls are made by, by their numbers in src/napi/codec.rs. */
const METHODS = ["get", "set", "touch", "destroy"];

/** Calls, and characters of what they say, that are handed over before the JS that runs has run. */
const FULL = 256;
const FULL_TEXT = 256 * 1024;
/** Numbers that stand for a call: see src/napi/codec.rs. */
const PER_CALL = 7;
// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse } = JSON;
const resolved = Promise.resolve();

/** The methods that scan over the keyspace, by the numbers that src/napi/codec.rs knows them by. */
const SCANS = { length: 0, ids: 1, all: 2, clear: 3 };

/**
 * A store that makes calls over a connection, which it may share with others. Pending calls hold
 * this, and the native side holds them: so nothing here may hold the store, or it could never go.
 */
class Caller {
  /**
   * @param {number} number what the native side knows the store by
   * @param {object} store
   * @param {(sid: string, error: Error) => void} store.corrupt tells of a record that is no session
   * @param {(name: string, ...call) => Promise} store.again has the app's client carry out a call,
   *   or make a scan, by its name alone
   */
  constructor(number, { corrupt, again }) {
    this.number = number;
    this.corrupt = corrupt;
    this.again = again;
    /** How many calls of the store are pending, and their bytes. */
    this.length = 0;
    this.bytes = 0;
  }
}

/**
 * The calls that wait for an answer. The native side holds this, so nothing here may hold a store
 * or its native object, or neither could ever go.
 */
class PendingCalls {
  /** @param {(message: string, code: string) => Error} failure */
  constructor(failure) {
    this.failure = failure;
    /** By the number of the call; and the numbers to be used again. */
    this.calls = [];
    this.free = [];
    /** How many there are, and who waits until there are none. */
    this.length = 0;
    this.idleWaiters = [];
    this.answers = roomForAnswers();
    this.scanResults = new ScanResults({ answers: this.answers, failure });
    /** Who waits for the end, until it has come. */
    this.closers = [];
  }

  /** Returns the call's number. */
  add(call) {
    const { caller } = call;
    this.length += 1;
    caller.length += 1;
    caller.bytes += call.bytes;
    const { free, calls } = this;
    const id = free.length > 0 ? free.pop() : calls.length;
    calls[id] = call;
    return id;
  }

  /** Takes a call out, whose number may be another's then; undefined where it has been given up. */
  take(id) {
    const call = this.calls[id];
    if (call === undefined) return undefined;
    this.calls[id] = undefined;
    this.free.push(id);
    this.answered(call);
    return call;
  }

  answered({ caller, bytes }) {
    caller.length -= 1;
    caller.bytes -= bytes;
    this.length -= 1;
    if (this.length === 0) for (const resolve of this.idleWaiters.splice(0)) resolve();
  }

  /** Resolves when each call that is pending now has its answer. */
  idle() {
    return new Promise((resolve) => {
      if (this.length === 0) resolve();
      else this.idleWaiters.push(resolve);
    });
  }

  /** Rejects a call that may be answered all the same, so its number must never be another's. */
  giveUp(id, error) {
    const call = this.calls[id];
    this.calls[id] = undefined;
    this.answered(call);
    call.reject(error);
  }

  /** A store is closed, and the connection is not: rejects what it still waits for. */
  leave(caller) {
    this.calls.forEach((call, id) => {
      if (call?.caller === caller) this.giveUp(id, this.closed(METHODS[call.method]));
    });
    for (const [number, scan] of this.scanResults.scans) {
      if (scan.caller === caller) this.scanResults.fail(number, this.closed(scan.name));
    }
  }

  /** Handles so many answers. */
  settle(count, text, others) {
    const texts = new PackedStrings(this.answers, text, others);
    for (let n = 0; n < count; n += 1) {
      const call = this.take(texts.next());
      if (call === undefined) continue;
      if (texts.own === undefined) {
        // The store emits `discarded`: it knows the sid.
        call.resolve(texts.isDiscarded ? false : null);
      } else if (call.handOut !== undefined) {
        try {
          call.resolve(call.handOut(parse(texts.own)));
        } catch (error) {
          call.reject(error);
        }
      } else call.resolve(texts.record());
    }
  }

  fail(id, error) {
    this.take(id)?.reject(error);
  }

  /** The connection was lost under a call: the app's client is to carry it out. */
  giveBack(id, left, ...command) {
    const call = this.take(id);
    if (call === undefined) return;
    const { caller, method, handOut, resolve, reject } = call;
    try {
      resolve(caller.again(METHODS[method], left, ...command, handOut));
    } catch (error) {
      reject(error);
    }
  }

  /**
   * Nothing can be answered any more. With `givesBack` the connection was lost, and the app's client
   * is to make the scans.
   */
  end(givesBack) {
    const { calls, scanResults, closers } = this;
    this.free = [];
    for (const call of calls.splice(0)) {
      if (call === undefined) continue;
      this.answered(call);
      call.reject(this.closed(METHODS[call.method]));
    }
    for (const [number, { name }] of scanResults.scans) {
      if (givesBack) scanResults.giveBack(number);
      else scanResults.fail(number, this.closed(name));
    }
    this.closers = undefined;
    for (const resolve of closers) resolve(null);
  }

  closed(name) {
    return this.failure(`${name}: the store is closed; make a new RedisStore to go on`, "ECLOSED");
  }
}

class NativeBatches {
  /**
   * @param {object} native the native RedisStore, which knows its first store by the number 0
   * @param {PendingCalls} pending what `native` has been lent
   */
  constructor(native, pending) {
    this.native = native;
    this.pending = pending;
    /** The batch that is being made. */
    this.count = 0;
    this.numbers = new Float64Array(PER_CALL * FULL);
    this.text = "";
    this.others = undefined;
    this.handOver = () => this.flush();
  }

  /** Takes over the fields of a store. Throws as the constructor does. */
  configure(caller, fields) {
    this.flush();
    this.native.configure(caller.number, fields);
  }

  /** A store is done with this connection, which others go on using. */
  leave(caller, isAtOnce) {
    this.flush();
    if (isAtOnce) this.pending.leave(caller);
    this.native.forget(caller.number);
  }

  scan(caller, name, isJson) {
    this.flush();
    const { scanResults } = this.pending;
    return new Promise((resolve, reject) => {
      const isList = name === "ids" || name === "all";
      const number = scanResults.add({ caller, name, resolve, reject, isJson, isList });
      this.native.sweep(number, SCANS[name], caller.number, Date.now());
    });
  }

  /** Resolves to null when the connection is closed; what is pending rejects. */
  close() {
    this.flush();
    return new Promise((resolve) => {
      const { closers } = this.pending;
      if (closers === undefined) {
        resolve(null);
        return;
      }
      closers.push(resolve);
      this.native.close();
    });
  }

  /** Closes the connection once what is pending is answered. */
  retire() {
    this.flush();
    this.native.retire();
  }

  /**
   * Adds a call to the batch.
   * @param {Caller} caller
   * @param {import("../client/client-calls.js").Bounds} bounds
   * @param {number} method of `METHODS`
   * @param {number} command by the number that src/napi/codec.rs knows it by
   * @param {number} ms milliseconds to live
   * @param {(session: unknown) => unknown} [handOut] is given the session that is read, and gives
   *   the answer; without it, that is a record
   */
  call(caller, bounds, method, command, sid, value, ms, handOut) {
    const bytes = sid.length + (value === undefined ? 0 : value.length);
    return new Promise((resolve, reject) => {
      const { pending, numbers } = this;
      if (caller.length >= bounds.length || caller.bytes + bytes > bounds.bytes) {
        const refusal = this.refusal(caller, bounds, METHODS[method], bytes);
        if (refusal !== undefined) {
          reject(refusal);
          return;
        }
      }
      const at = this.count * PER_CALL;
      numbers[at] = pending.add({ caller, method, resolve, reject, handOut, bytes });
      numbers[at + 1] = method;
      numbers[at + 2] = command;
      numbers[at + 3] = sid.length;
      numbers[at + 4] = 0;
      numbers[at + 5] = ms;
      numbers[at + 6] = caller.number;
      this.text += sid;
      if (typeof value === "string") {
        numbers[at + 4] = value.length;
        this.text += value;
      } else if (value !== undefined) {
        numbers[at + 4] = OTHER;
        this.others = [value];
      }
      this.count += 1;
      // A Buffer is the app's, who may write to it as soon as this returns.
      const isFull = this.count === FULL || this.text.length >= FULL_TEXT;
      if (isFull || this.others !== undefined) this.flush();
      else if (this.count === 1) resolved.then(this.handOver);
    });
  }

  /** Why a call is not taken, if it is not. */
  refusal(caller, bounds, name, bytes) {
    let what;
    if (caller.length >= bounds.length) {
      what = [`${caller.length} calls`, "commandsQueueMaxLength"];
    } else if (caller.bytes > 0 && caller.bytes + bytes > bounds.bytes) {
      what = [`calls of ${caller.bytes} bytes`, "commandsQueueMaxBytes"];
    } else return undefined; // One alone may be as large as it is.
    const said = `${name}: ${what[0]} wait for Redis at ${this.native.server} already, no more are taken (${what[1]})`;
    return this.pending.failure(said, "ENOBUFS");
  }

  /** Hands over what there is of a batch. */
  flush() {
    const { count, numbers, text, others, pending } = this;
    if (count === 0) return;
    this.count = 0;
    this.text = "";
    this.others = undefined;
    try {
      this.native.send(count, numbers, text, others, Date.now());
    } catch (error) {
      for (let n = 0; n < count; n += 1) pending.giveUp(numbers[n * PER_CALL], error);
    }
  }
}

module.exports = { NativeBatches, Caller, PendingCalls };
