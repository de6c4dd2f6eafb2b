"use strict";

// Calls on their way to the native RedisStore (src/napi/store.rs): the calls of one run of JS cross
// together, because to cross for each call costs more than all else that a call needs. While others are
// awaited, so do the calls of one turn of the event loop, because each write to the socket wakes Redis.

const { setImmediate } = require("node:timers");
const { fullMessage } = require("../full-queue.js");
const { Save } = require("./bases.js");
const { SINGLE } = require("../observe/counts.js");
const {
  commands: COMMANDS,
  methods: METHODS,
  scans: SCANS,
  perCall: PER_CALL,
  other: OTHER,
} = require("../addon/crossing.js");

/** The commands that write nothing to a session. */
const READS = new Set([COMMANDS.GET, COMMANDS.GET_BASE, COMMANDS.GET_RECORD, COMMANDS.PTTL]);

/** Calls, and characters of text, with which a batch is sent at once. */
const MAX_CALLS = 256;
const MAX_TEXT = 256 * 1024;

const resolved = Promise.resolve();

class Batch {
  /**
   * @param {import("../addon/addon.js").NativeStore} native the native RedisStore, which knows its first store by the number 0
   * @param {InstanceType<typeof import("./pending-calls.js").PendingCalls>} pending
   */
  constructor(native, pending) {
    this.native = native;
    this.pending = pending;
    /** The calls that are not sent yet. */
    this.count = 0;
    this.numbers = new Float64Array(PER_CALL * MAX_CALLS);
    this.text = "";
    /** @type {unknown[] | undefined} */
    this.others = undefined;
    this.handOver = () => this.flush();
    /** Whether they are sent when the JS that runs has ended. */
    this.isUrgent = false;
  }

  /**
   * Sets the fields of a store. Throws as the constructor does.
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} caller
   * @param {import("../types.js").NativeFields} fields
   */
  configure(caller, fields) {
    this.flush();
    this.native.configure(caller.number, fields);
  }

  /**
   * A store is done with this connection, which others go on using.
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} caller
   * @param {boolean} isAtOnce whether what it still waits for rejects
   */
  leave(caller, isAtOnce) {
    this.flush();
    if (isAtOnce) this.pending.leave(caller);
    caller.cache?.close();
    this.native.forget(caller.number);
  }

  /**
   * Starts a scan over the keyspace.
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} caller
   * @param {string} name of `SCANS`
   * @param {boolean} [isJson]
   * @param {string} [position] where a page begins; or the sid of the one session that `rewrite` is about
   * @param {number} [limit] about how many sessions it has
   * @returns {Promise<any>}
   */
  scan(caller, name, isJson, position, limit) {
    this.flush();
    if (name === "clear") caller.cache?.forgetAll();
    if (name === "rewrite" && position !== undefined) caller.cache?.writes(position);
    const { scans } = this.pending;
    return new Promise((resolve, reject) => {
      const isList = name === "ids" || name === "all";
      const sid = name === "rewrite" ? position : undefined;
      const id = scans.add({ caller, name, resolve, reject, isJson, isList, sid });
      this.native.scan(id, SCANS.indexOf(name), caller.number, Date.now(), position, limit);
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
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} caller
   * @param {import("../client/client-calls.js").Bounds} bounds
   * @param {number} method of `METHODS`
   * @param {number} command of `commands` in crossing.js
   * @param {string} sid
   * @param {string | Uint8Array | undefined} value
   * @param {number} ms milliseconds to live
   * @param {import("../types.js").HandOut} [handOut] makes the answer of the session that is read;
   *   without it, the answer is a record
   * @param {import("../types.js").Base} [base] what a save compares with
   * @param {number} [longest] the most milliseconds to live, whatever others have stored
   */
  call(caller, bounds, method, command, sid, value, ms, handOut, base, longest) {
    const bytes = sid.length + (value === undefined ? 0 : value.length);
    if (caller.cache !== undefined && !READS.has(command)) caller.cache.writes(sid);
    return new Promise((resolve, reject) => {
      const { pending, numbers } = this;
      if (caller.length >= bounds.length || caller.bytes + bytes > bounds.bytes) {
        const refusal = this.refusal(caller, bounds, METHODS[method], bytes);
        if (refusal !== undefined) {
          if (method < SINGLE.length) caller.counts.failed(method, refusal);
          reject(refusal);
          return;
        }
      }
      const at = this.count * PER_CALL;
      const save = base && new Save(base, value, command === COMMANDS.SET_NEW);
      const answered = save ?? handOut;
      const id = pending.add({ caller, method, resolve, reject, answered, bytes });
      numbers[at] = id;
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
      if (save !== undefined) {
        numbers[at + 7] = /** @type {number} */ (longest);
        this.text += save.base.send(numbers, at + 8);
        save.call = id;
        save.base.call = id;
      }
      this.count += 1;
      // A Buffer is the app's, who may write to it as soon as this returns.
      const isFull = this.count === MAX_CALLS || this.text.length >= MAX_TEXT;
      if (isFull || this.others !== undefined) this.flush();
      else if (!this.isUrgent) this.schedule(save !== undefined);
    });
  }

  /**
   * A call was added: schedules the hand-over, if it is not scheduled yet or must come sooner.
   * @param {boolean} hasBase
   */
  schedule(hasBase) {
    const { pending } = this;
    // A call that follows from an answer must not wait, since Redis may have nothing to do; nor a save
    // that compares, since the answers of this turn may move what it compares with.
    if (hasBase || pending.hasSettled || pending.length === 1) {
      this.isUrgent = true;
      resolved.then(this.handOver);
    } else if (this.count === 1) setImmediate(this.handOver);
  }

  /**
   * Returns why a call is refused; undefined if it is not.
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} caller
   * @param {import("../client/client-calls.js").Bounds} bounds
   * @param {string} name
   * @param {number} bytes
   */
  refusal(caller, bounds, name, bytes) {
    const full = fullMessage(name, caller, bytes, bounds, `Redis at ${this.native.server}`);
    return full === undefined ? undefined : this.pending.failure(full, "ENOBUFS");
  }

  /** Sends the batch. */
  flush() {
    const { count, numbers, text, others, pending } = this;
    pending.hasSettled = false;
    this.isUrgent = false;
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

module.exports = { Batch };
