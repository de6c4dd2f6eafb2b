"use strict";

// The calls that wait for an app's client: none waits longer than commandTimeout, and errors read as
// those of the store's own connection.

const { clearTimeout, monotonic, setTimeout } = require("../clock.js");
const { fullMessage } = require("../full-queue.js");
const { lateMessage } = require("../addon/load.js");
const { closed: CLOSED, repeatedArguments: REPEATED_ARGUMENTS } = require("../addon/crossing.js");
const { HandedBack } = require("./handed-back.js");
const { Queue } = require("./queue.js");
const { Sequences } = require("../sequences.js");

/** What Redis's own errors begin with: WRONGTYPE, NOAUTH, OOM … */
const SERVERS_WORD = /^([A-Z][A-Z0-9_]+)(?: |$)/;

/**
 * @typedef {object} Bounds
 * @property {number} limit milliseconds a call may wait: commandTimeout
 * @property {number} length how many may: commandsQueueMaxLength
 * @property {number} bytes of how many bytes: commandsQueueMaxBytes
 * @property {boolean} failFast whether calls fail fast while the client is known to be away:
 *   onUnavailable
 */

/**
 * @typedef {object} Call one that waits
 * @property {string} name
 * @property {(error: Error) => void} reject
 * @property {number} deadline as `performance.now()` has it
 * @property {number} bytes
 * @property {boolean} isCarried whether the client carries it
 * @property {(() => void) | undefined} taken
 * @property {boolean} isQueued
 * @property {Call | undefined} before
 * @property {Call | undefined} after
 */

class Calls {
  /**
   * @param {object} terms
   * @param {Bounds} terms.bounds
   * @param {string} terms.client what messages call the client
   * @param {(message: string, code: string, cause?: Error) => Error} terms.failure
   * @param {InstanceType<typeof HandedBack>} [terms.handedBack] the one of the client
   */
  constructor({ bounds, client, failure, handedBack = new HandedBack() }) {
    this.bounds = bounds;
    this.limit = bounds.limit;
    /** What messages call the client. */
    this.server = `the app's Redis client (${client})`;
    this.failure = failure;
    this.isClosed = false;
    this.waiting = new Queue();
    this.sequences = new Sequences();
    this.handedBack = handedBack;
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
    /**
     * What keeps the client from answering, if that is known.
     * @type {() => any}
     */
    this.troubleOf = () => undefined;
    this.isAway = () => false;
  }

  /**
   * Makes a call, `command(first, second, third, fourth)`; the promise is of what `answer` makes of
   * the client's reply. (Not a function without arguments: made anew for each call it would cost.)
   * @param {string} name the store's method, for messages
   * @param {string} key the key it is about, which no message may hold
   * @param {(reply: any) => unknown} answer
   * @param {(...args: any[]) => any} command
   * @param {unknown} [first]
   * @param {unknown} [second]
   * @param {unknown} [third]
   * @param {unknown} [fourth]
   * @returns {Promise<any>}
   */
  make(name, key, answer, command, first, second, third, fourth) {
    return new Promise((resolve, reject) => {
      const call = this.enter(name, reject, sizeOf(second), true);
      if (call === undefined) return;
      this.handedBack.supersede(name, key);
      const replied = (/** @type {any} */ reply) => {
        if (!this.waiting.take(call)) return;
        try {
          resolve(answer(reply));
        } catch (error) {
          reject(error);
        }
      };
      const failed = (/** @type {any} */ error) => {
        if (this.waiting.take(call)) reject(this.clientError(name, key, error));
      };
      try {
        const reply = command(first, second, third, fourth);
        if (typeof reply?.then === "function") reply.then(replied, failed);
        else replied(reply);
      } catch (error) {
        failed(error);
      }
    });
  }

  /**
   * A promise that `start` settles, unless time or the store's end is sooner. `start` also gets a
   * function that says whether it still can.
   * @param {string} name
   * @param {(resolve: (value: any) => void, reject: (error: any) => void,
   *   isWaiting: () => boolean) => void} start
   * @returns {Promise<any>}
   */
  wait(name, start) {
    return new Promise((resolve, reject) => {
      const call = this.enter(name, reject);
      if (call === undefined) return;
      /** @type {(how: (value: any) => void) => (value: any) => void} */
      const settle = (how) => (value) => {
        if (this.waiting.take(call)) how(value);
      };
      start(settle(resolve), settle(reject), () => call.isQueued);
    });
  }

  /**
   * Bounds a call that has used up a part of its time elsewhere.
   * @template T
   * @param {number} left milliseconds
   * @param {string} name
   * @param {Promise<T>} made
   * @returns {Promise<T>}
   */
  within(left, name, made) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(this.late(name)), left);
      timer.unref();
      made.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }

  /**
   * Adds a call to those that wait; undefined if it is too late for that.
   * @param {string} name
   * @param {(error: Error) => void} reject
   */
  enter(name, reject, bytes = 0, isCarried = false) {
    const refusal = this.refusal(name, bytes);
    if (refusal !== undefined) {
      reject(refusal);
      return undefined;
    }
    const deadline = monotonic() + this.limit;
    /** @type {Call} */
    const call = {
      name,
      reject,
      deadline,
      bytes,
      isCarried,
      taken: undefined,
      isQueued: false,
      before: undefined,
      after: undefined,
    };
    this.waiting.add(call);
    if (this.timer === undefined) this.watch(this.limit);
    return call;
  }

  /** Resolves when each call that the client carries now has its answer, and those that follow from it. */
  async carried() {
    const answered = [];
    for (let call = this.waiting.first; call !== undefined; call = call.after) {
      if (!call.isCarried) continue;
      const { taken } = call;
      const wait = (/** @type {(nothing?: undefined) => void} */ resolve) => {
        /** @type {Call} */ (call).taken = () => {
          taken?.();
          resolve();
        };
      };
      answered.push(new Promise(wait));
    }
    await Promise.all(answered);
    await new Promise((/** @type {(nothing?: undefined) => void} */ resolve) =>
      this.sequences.after(resolve),
    );
  }

  /**
   * Returns why a call is refused, if it is.
   * @param {string} name
   * @param {number} bytes
   */
  refusal(name, bytes) {
    if (this.isClosed) return this.closed(name);
    const { bounds, waiting } = this;
    if (bounds.failFast && this.isAway()) return this.away(name);
    const full = fullMessage(name, waiting, bytes, bounds, this.server);
    return full === undefined ? undefined : this.failure(full, "ENOBUFS");
  }

  /** @param {string} name */
  away(name) {
    const said = `${name}: ${this.server} has no connection`;
    const trouble = this.troubleOf();
    if (trouble === undefined) return this.failure(said, "ECONNRESET");
    const { code, reason } = this.reason("", trouble);
    const cause = Object.assign(new Error(reason), { code });
    return this.failure(`${said}: ${reason}`, code === "ECLIENT" ? "ECONNRESET" : code, cause);
  }

  /**
   * Looks for calls that have waited too long, in so many milliseconds.
   * @param {number} delay
   */
  watch(delay) {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      const now = monotonic();
      for (let call = this.waiting.first; call !== undefined; call = this.waiting.first) {
        const left = call.deadline - now;
        if (left > 0) {
          this.watch(Math.ceil(left));
          return;
        }
        this.waiting.take(call);
        call.reject(this.late(call.name));
      }
    }, delay);
    // What keeps the process alive is the client's own connection.
    this.timer.unref();
  }

  /** Rejects what waits and whatever comes. */
  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.rejectAll((name) => this.closed(name));
  }

  /** Rejects what waits, as the client is away. */
  failAtOnce() {
    this.rejectAll((name) => this.away(name));
  }

  /** @param {(name: string) => Error} errorOf */
  rejectAll(errorOf) {
    for (let call = this.waiting.first; call !== undefined; call = this.waiting.first) {
      this.waiting.take(call);
      call.reject(errorOf(call.name));
    }
  }

  /** @param {string} name */
  late(name) {
    const said = lateMessage(name, this.server, this.limit);
    const trouble = this.troubleOf();
    if (trouble === undefined) {
      return this.failure(`${said}; is Redis there, and the client connected?`, "ETIMEDOUT");
    }
    const { code, reason } = this.reason("", trouble);
    const cause = Object.assign(new Error(reason), { code });
    return this.failure(`${said}: ${reason}`, code === "ECLIENT" ? "ETIMEDOUT" : code, cause);
  }

  /** @param {string} name */
  closed(name) {
    return this.failure(name + CLOSED, "ECLOSED");
  }

  /**
   * A client's error as the store's own, without the key that it may repeat.
   * @param {string} name
   * @param {string} key
   * @param {any} error
   */
  clientError(name, key, error) {
    const { code, reason } = this.reason(key, error);
    const cause = Object.assign(new Error(reason), { name: error?.name ?? "Error", code });
    return this.failure(`${name}: ${this.server}: ${reason}`, code, cause);
  }

  /**
   * What a client's error says, without the key.
   * @param {string} key
   * @param {any} error
   */
  reason(key, error) {
    const kind = error?.constructor?.name ?? "";
    const text = String(error?.message ?? error) || error?.errors?.[0]?.message || kind;
    const [said] = text.split(REPEATED_ARGUMENTS);
    const reason = withoutKey(said, key);
    const own = typeof error?.code === "string" && error.code !== "ENOENT" ? error.code : undefined;
    const missing = error?.name === "TypeError" && / ([\w.]+) is not a function/.exec(` ${text}`);
    if (missing) {
      const method = missing[1].replace(/^.*\./, "");
      return { code: "ECLIENT", reason: `the client has no method ${method}, which this needs` };
    }
    const isClosed = /ClientClosed|Connection is closed|client is closed/i.test(
      `${kind} ${reason}`,
    );
    // node-redis 6 has a time-out of its own, and no words for it.
    const isLate = /^(Command)?Timeout(Error|During)/.test(kind);
    const inferred = isClosed ? "ECLOSED" : isLate ? "ETIMEDOUT" : "ECLIENT";
    const code = SERVERS_WORD.exec(reason)?.[1] ?? own ?? inferred;
    const advice = isClosed
      ? " (has client.connect() been called, and the client not been closed?)"
      : "";
    return { code: code === "ENOENT" ? "ERR" : code, reason: reason + advice };
  }
}

/**
 * About how many bytes a value has.
 * @param {unknown} value
 */
function sizeOf(value) {
  return typeof value === "string" || value instanceof Uint8Array ? value.length : 0;
}

/**
 * A text without a key in it, nor the session id that the key ends with.
 * @param {string} text
 * @param {string} key
 */
function withoutKey(text, key) {
  const MIN_LENGTH = 8; // of what can only be an id
  const id = key.slice(key.lastIndexOf(":") + 1);
  const hidden = key === "" ? text : text.replaceAll(key, "…");
  return id.length < MIN_LENGTH ? hidden : hidden.replaceAll(id, "…");
}

module.exports = { Calls };
