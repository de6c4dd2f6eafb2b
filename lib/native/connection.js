"use strict";

// A connection to Redis, or what scans through an app's client: a native object (src/napi/store.rs) and
// the promises of its calls. In JS because V8 makes promises, dates and errors of the app's realm.

const { AsyncLocalStorage } = require("node:async_hooks");
const { setImmediate } = require("node:timers");
const { RedisStore: Native } = require("../addon/load.js");
const { Bases } = require("./bases.js");
const { Batch } = require("./batch.js");
const { Caller, PendingCalls } = require("./pending-calls.js");
const { askCredential } = require("../credentials.js");
const { failure, invalid } = require("../errors.js");
const { ConnectChannel } = require("../observe/connect-channel.js");
const { Counts } = require("../observe/counts.js");
const { rejectsUnauthorized } = require("../tls.js");
const { NativeBackend } = require("./native-backend.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { nextTick } = process;

/**
 * A connection, and the stores that make calls over it. The native side holds the callbacks, so
 * `onEvent` must not hold the connection, nor a store: or they could never go.
 */
class Connection {
  /**
   * @param {{cache?: {maxStale: number}}} options the app's, with those of the near cache
   * @param {object} fields of the first store, as src/napi/options/settings.rs reads them
   * @param {(event: string, ...args: unknown[]) => void} onEvent gets the native object's events
   * @param {object} [to] where the commands go; see src/napi/options/config.rs
   */
  constructor(options, fields, onEvent, to) {
    /** @type {(why: Error | undefined) => void} */
    let settle;
    /**
     * Resolves after the first attempt to connect: to why it failed, or undefined.
     * @type {Promise<Error | undefined>}
     */
    this.connected = new Promise((resolve) => {
      settle = resolve;
    });
    const pending = new PendingCalls(failure);
    /** @type {WeakRef<import("../addon/addon.js").NativeStore> | undefined} */
    let reference;
    const channel = new ConnectChannel(() => reference?.deref()?.peer);
    /** @type {(event: string, ...args: unknown[]) => void} */
    const emit = (event, ...args) => {
      if (event === "ready") settle(undefined);
      if (event === "failed") settle(/** @type {Error} */ (args[0]));
      channel.handle(event, ...args);
      onEvent(event, ...args);
    };
    this.fields = fields;
    const callbacks = callbacksOf(emit, pending, to !== undefined);
    const native = new Native(options, fields, callbacks, to);
    reference = new WeakRef(native);
    pending.bases = new Bases(native);
    this.watch = options.cache ? watchOf(native, options.cache) : undefined;
    this.batch = new Batch(native, pending);
    // If an app's client executes the commands, there is nothing to connect.
    if (to === undefined || !("execute" in to)) channel.begin();
    this.stores = 0;
  }

  get status() {
    return this.batch.native.status;
  }

  /**
   * The calls of a store over this connection.
   * @param {object} terms
   * @param {(sid: string, error: Error) => void} [terms.corrupt]
   * @param {(name: string, ...call: unknown[]) => Promise<unknown>} terms.again
   * @param {import("../client/client-calls.js").Bounds} terms.bounds
   * @param {boolean} [terms.resurrect]
   * @param {InstanceType<typeof Counts>} [terms.counts]
   * @param {{maxBytes: number}} [terms.cache] if the store has a near cache
   * @param {object} terms.fields
   */
  backend({
    corrupt = () => {},
    again,
    bounds,
    resurrect = false,
    counts = new Counts(),
    cache: near,
    fields,
  }) {
    const cache = near && this.watch?.open(near.maxBytes);
    const caller = new Caller(this.stores, { corrupt, again, counts, cache });
    this.stores += 1;
    const backend = new NativeBackend(this.batch, { caller, bounds, resurrect });
    backend.configure(/** @type {import("../types.js").NativeFields} */ (fields));
    return backend;
  }

  /**
   * A store is done with this connection, which others go on using.
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} caller
   * @param {boolean} isAtOnce whether what it still waits for rejects
   */
  leave(caller, isAtOnce) {
    const leave = () => this.batch.leave(caller, isAtOnce);
    if (isAtOnce) leave();
    else caller.sequences.after(leave);
  }

  /** Touches a session that is not there: rejects if that is not allowed here. */
  async probe() {
    const limit = Number.POSITIVE_INFINITY;
    const bounds = { limit, length: 1, bytes: limit, failFast: false };
    /** @type {(name: string) => never} */
    const again = (name) => {
      throw failure(`${name}: the server is a replica, or the connection was lost`, "ECONNRESET");
    };
    const native = this.backend({ again, bounds, fields: this.fields });
    return native.touch("connect-redis-rs", Date.now(), undefined, 1);
  }

  /** Resolves when each call that is pending now has its answer. */
  idle() {
    return this.batch.pending.idle();
  }

  /** Closes it at once; what is pending rejects. */
  close() {
    return this.batch.close();
  }

  /** Closes it once what is pending is answered; resolves then. */
  async retire() {
    this.batch.flush();
    await this.idle();
    this.batch.retire();
  }
}

/**
 * The functions that the native side calls (src/napi/callbacks.rs): `onEvent` gets its events, `pending`
 * its answers.
 * @param {(event: string, ...args: unknown[]) => void} onEvent
 * @param {InstanceType<typeof import("./pending-calls.js").PendingCalls>} pending
 * @param {boolean} isOfClient
 * @returns {import("../types.js").NativeCallbacks}
 */
function callbacksOf(onEvent, pending, isOfClient) {
  // Credentials are asked for outside of any call.
  const outside = AsyncLocalStorage.snapshot();
  const { answers, scans } = pending;
  return {
    answers,
    settle: (count, text, others, end, saves, batch, first) =>
      pending.settle(count, text, others, end, saves, batch, first),
    fail: (id, error) => pending.fail(id, error),
    handBack: (id, left, ...command) => pending.handBack(id, left, ...command),
    scanChunk: (id, sids, text, others) => scans.addChunk(id, sids, text, others),
    scanEnd: (id, count) => scans.end(id, count),
    handBackScan: (id) => scans.handBack(id),
    failScan: (id, error) => scans.fail(id, error),
    corrupt: (id, sid, error) => scans.corrupt(id, sid, error),
    end: (handsBack) => pending.end(handsBack),
    date: (value) => Number(new Date(value)),
    credential: (give, id, answered) => outside(askCredential, give, id, answered),
    // Of a client's server Node itself has warned.
    rejectsUnauthorized: () => rejectsUnauthorized(!isOfClient),
    error: (isInvalidArgument, message, code, cause) =>
      isInvalidArgument ? invalid(message) : failure(message, code, cause),
    emit: (...event) => nextTick(() => onEvent(...event)),
    setImmediate,
  };
}

/**
 * What hears for near caches.
 * @param {import("../addon/addon.js").NativeStore} native
 * @param {{maxStale: number}} cache
 */
function watchOf(native, { maxStale }) {
  // Only now: most stores have no near cache, and to load it takes time.
  const { CacheWatch } = require("./near-cache.js");
  return new CacheWatch(native, maxStale);
}

module.exports = { Connection, Native };
