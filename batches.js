"use strict";

// The native RedisStore (src/store.rs), asked in batches: the calls of one run of JS are handed to
// it together, and their answers taken in together. To go from JS to native code and back for each
// call costs more than all else that a call needs.

const { Findings } = require("./findings.js");
const { OTHER, Texts, roomForAnswers } = require("./texts.js");

/** What Redis is to do, by the numbers that src/calls.rs knows them by. */
const [GET, SET, SET_XX, PEXPIRE, PERSIST, DEL] = [0, 1, 2, 3, 4, 5];
/** The methods that calls are made by, by their numbers there. */
const METHODS = ["get", "set", "touch", "destroy"];
const [BY_GET, BY_SET, BY_TOUCH, BY_DESTROY] = [0, 1, 2, 3];

/** Calls, and characters of what they say, that are handed over before the JS that runs has run. */
const FULL = 256;
const FULL_TEXT = 256 * 1024;
/** Numbers that stand for a call: see src/calls.rs. */
const PER_CALL = 6;
// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse, stringify } = JSON;
const resolved = Promise.resolve();

/** The methods that sweep over the keyspace, by the numbers that src/calls.rs knows them by. */
const SWEEPS = { length: 0, ids: 1, all: 2, clear: 3 };

/**
 * The calls that wait for an answer. The native side holds this, so nothing here may hold the store
 * or its native object, or neither could ever go.
 */
class Waiting {
  /**
   * @param {object} face
   * @param {(message: string, code: string) => Error} face.failure
   * @param {(sid: string, error: Error) => void} face.corrupt tells of a record that is no session
   * @param {(name: string, ...call) => Promise} face.again has the app's client carry out a call
   */
  constructor({ failure, corrupt, again }) {
    this.failure = failure;
    this.again = again;
    /** By the number of the call; and the numbers to be used again. */
    this.calls = [];
    this.free = [];
    this.length = 0;
    this.bytes = 0;
    this.answers = roomForAnswers();
    this.findings = new Findings({ answers: this.answers, failure, corrupt });
    /** Who waits for the end, until it has come. */
    this.closers = [];
  }

  /** Returns the call's number. */
  add(call) {
    this.length += 1;
    this.bytes += call.bytes;
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
    this.length -= 1;
    this.bytes -= call.bytes;
    return call;
  }

  /** Rejects a call that may be answered all the same, so its number must never be another's. */
  giveUp(id, error) {
    const { reject, bytes } = this.calls[id];
    this.calls[id] = undefined;
    this.length -= 1;
    this.bytes -= bytes;
    reject(error);
  }

  /** Takes in so many answers. */
  settle(count, text, others) {
    const texts = new Texts(this.answers, text, others);
    for (let n = 0; n < count; n += 1) {
      const call = this.take(texts.next());
      if (call === undefined) continue;
      if (texts.own === undefined) {
        // The face emits `discarded`: it knows the sid.
        call.resolve(texts.isDiscarded ? false : null);
      } else if (call.isJson) {
        try {
          call.resolve(parse(texts.own));
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
    const { method, isJson, resolve, reject } = call;
    try {
      resolve(this.again(METHODS[method], left, ...command, isJson));
    } catch (error) {
      reject(error);
    }
  }

  /** Nothing can be answered any more. */
  end() {
    const { calls, findings, closers } = this;
    for (const call of calls.splice(0)) call?.reject(this.closed(METHODS[call.method]));
    this.free = [];
    this.length = 0;
    this.bytes = 0;
    for (const [number, { name }] of findings.sweeps) findings.fail(number, this.closed(name));
    this.closers = undefined;
    for (const resolve of closers) resolve(null);
  }

  closed(name) {
    return this.failure(`${name}: the store is closed; make a new RedisStore to go on`, "ECLOSED");
  }
}

class Batches {
  /**
   * @param {object} native
   * @param {object} terms
   * @param {Waiting} terms.waiting what `native` has been lent
   * @param {import("./client/calls.js").Bounds} terms.bounds
   * @param {boolean} terms.resurrect
   * @param {object} terms.fields as src/options.rs reads them
   */
  constructor(native, { waiting, bounds, resurrect, fields }) {
    this.native = native;
    this.waiting = waiting;
    this.bounds = bounds;
    this.resurrect = resurrect;
    this.fields = fields;
    /** The batch that is being made. */
    this.count = 0;
    this.numbers = new Float64Array(PER_CALL * FULL);
    this.text = "";
    this.others = undefined;
    this.handOver = () => this.flush();
  }

  /** Takes over fields that the app has changed. Throws as the constructor does. */
  configure(fields) {
    this.flush();
    this.native.configure(fields);
    this.fields = fields;
  }

  /**
   * The session of `sid`, or null where there is none. Where the serializer is not JSON, it is a
   * record `{text, expires}` for the face to have parsed.
   */
  get(sid, serializer) {
    return this.call(BY_GET, GET, `${sid}`, undefined, 0, serializer === JSON);
  }

  /**
   * Stores a session, or what `payload` returns, where it is a function.
   * @param {unknown} expires the session's `cookie.expires`, undefined where it does not count
   * @param {unknown} ttl seconds: the field, or what it returned for this session
   * @param {boolean} isLoaded whether express-session loaded the session from this store, so that
   *   it is not written where its key is gone; then the promise is of false
   */
  set(sid, payload, now, expires, ttl, isLoaded) {
    const ms = expiresIn(this.native, expires, ttl, now);
    // A session that has expired is no longer there (as connect-redis does).
    if (ms <= 0) return this.call(BY_SET, DEL, `${sid}`, undefined, 0, true);
    const value = typeof payload === "function" ? payload() : stringify(payload);
    if (typeof value !== "string") this.native.checkPayload(value);
    const command = isLoaded && !this.resurrect ? SET_XX : SET;
    const left = this.fields.disableTTL ? Number.POSITIVE_INFINITY : ms;
    return this.call(BY_SET, command, `${sid}`, value, left, true);
  }

  /** Moves the expiry of a session. `expires` and `ttl` as for `set`. */
  touch(sid, now, expires, ttl) {
    const { disableTouch, disableTTL } = this.fields;
    if (disableTouch || disableTTL) return Promise.resolve(null);
    const ms = expiresIn(this.native, expires, ttl, now);
    const command = ms <= 0 ? DEL : ms === Number.POSITIVE_INFINITY ? PERSIST : PEXPIRE;
    return this.call(BY_TOUCH, command, `${sid}`, undefined, ms, true);
  }

  /** Deletes a session; no error where there is none. */
  destroy(sid) {
    return this.call(BY_DESTROY, DEL, `${sid}`, undefined, 0, true);
  }

  clear() {
    return this.sweep("clear");
  }

  length() {
    return this.sweep("length");
  }

  ids() {
    return this.sweep("ids");
  }

  /** Where the serializer is not JSON, these are records `{id, text, expires}`. */
  all() {
    return this.sweep("all", this.fields.json);
  }

  sweep(name, isJson) {
    this.flush();
    const { findings } = this.waiting;
    return new Promise((resolve, reject) => {
      const isList = name === "ids" || name === "all";
      const number = findings.add({ name, resolve, reject, isJson, isList });
      this.native.sweep(number, SWEEPS[name], Date.now());
    });
  }

  /** Resolves to null when the connection is closed; what is pending rejects. */
  close() {
    this.flush();
    return new Promise((resolve) => {
      const { closers } = this.waiting;
      if (closers === undefined) {
        resolve(null);
        return;
      }
      closers.push(resolve);
      this.native.close();
    });
  }

  retire() {
    this.flush();
    this.native.retire();
  }

  get status() {
    return this.native.status;
  }

  checkPayload(payload) {
    this.native.checkPayload(payload);
  }

  expiresIn(expires, ttl, now) {
    return this.native.expiresIn(expires, ttl, now);
  }

  /** Adds a call to the batch. */
  call(method, command, sid, value, ms, isJson) {
    const bytes = sid.length + (value === undefined ? 0 : value.length);
    return new Promise((resolve, reject) => {
      const { waiting, bounds, numbers } = this;
      if (waiting.length >= bounds.length || waiting.bytes + bytes > bounds.bytes) {
        const refusal = this.refusal(METHODS[method], bytes);
        if (refusal !== undefined) {
          reject(refusal);
          return;
        }
      }
      const at = this.count * PER_CALL;
      numbers[at] = waiting.add({ method, resolve, reject, isJson, bytes });
      numbers[at + 1] = method;
      numbers[at + 2] = command;
      numbers[at + 3] = sid.length;
      numbers[at + 4] = 0;
      numbers[at + 5] = ms;
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

  /** Why a call is not taken, where it is not. */
  refusal(name, bytes) {
    const { waiting, bounds } = this;
    let what;
    if (waiting.length >= bounds.length) {
      what = [`${waiting.length} calls`, "commandsQueueMaxLength"];
    } else if (waiting.bytes > 0 && waiting.bytes + bytes > bounds.bytes) {
      what = [`calls of ${waiting.bytes} bytes`, "commandsQueueMaxBytes"];
    } else return undefined; // One alone may be as large as it is.
    const said = `${name}: ${what[0]} wait for Redis at ${this.native.server} already, no more are taken (${what[1]})`;
    return waiting.failure(said, "ENOBUFS");
  }

  /** Hands over what there is of a batch. */
  flush() {
    const { count, numbers, text, others, waiting } = this;
    if (count === 0) return;
    this.count = 0;
    this.text = "";
    this.others = undefined;
    try {
      this.native.send(count, numbers, text, others, Date.now());
    } catch (error) {
      for (let n = 0; n < count; n += 1) waiting.giveUp(numbers[n * PER_CALL], error);
    }
  }
}

/**
 * Milliseconds to live; none or fewer where that time is over, Infinity for ever. The rule is
 * src/session.rs's; its usual case, a cookie's date, is worked out here, sooner than the native side
 * is reached.
 */
function expiresIn(native, expires, ttl, now) {
  let at = Number.NaN;
  if (expires instanceof Date) at = expires.getTime();
  else if (typeof expires === "string") at = Date.parse(expires);
  return Number.isNaN(at) ? native.expiresIn(expires, ttl, now) : Math.ceil(at - now);
}

module.exports = { Batches, Waiting, expiresIn };
