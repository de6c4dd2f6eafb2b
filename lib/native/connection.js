"use strict";

// Opens a native object (src/napi/store.rs): a connection to Redis, or what scans through an app's client.

const { AsyncLocalStorage } = require("node:async_hooks");
const { setImmediate } = require("node:timers");
const { RedisStore: Native } = require("../addon/load.js");
const { NativeBatches, Caller, PendingCalls } = require("./pending-calls.js");
const { askCredential } = require("../credentials.js");
const { failure, invalid } = require("../errors.js");
const { rejectsUnauthorized } = require("../tls.js");
const { NativeBackend } = require("./native-backend.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { nextTick } = process;

/**
 * A connection, and the stores that make calls over it. The native side holds what it is lent, so
 * `onEvent` must not hold the connection, nor a store: or they could never go.
 */
class Connection {
  /**
   * @param {object} options the app's
   * @param {object} fields of the first store, as src/napi/options/mod.rs reads them
   * @param {(event: string, ...args: unknown[]) => void} onEvent is told the native object's events
   * @param {object} [to] where the commands go; see src/napi/options/mod.rs
   */
  constructor(options, fields, onEvent, to) {
    let settle;
    /** Resolves after the first attempt to connect: to why it has failed, or undefined. */
    this.connected = new Promise((resolve) => {
      settle = resolve;
    });
    const pending = new PendingCalls(failure);
    const handle = (event, ...args) => {
      if (event === "ready") settle(undefined);
      if (event === "failed") settle(args[0]);
      onEvent(event, ...args);
    };
    this.fields = fields;
    this.batches = new NativeBatches(
      new Native(options, fields, callbacksOf(handle, pending, to !== undefined), to),
      pending,
    );
    this.stores = 0;
  }

  get status() {
    return this.batches.native.status;
  }

  /** The calls of a store over this connection. */
  backend({ corrupt, again, bounds, resurrect, fields }) {
    const caller = new Caller(this.stores, { corrupt, again });
    this.stores += 1;
    const backend = new NativeBackend(this.batches, { caller, bounds, resurrect });
    backend.configure(fields);
    return backend;
  }

  /**
   * A store is done with this connection, which others go on using.
   * @param {boolean} isAtOnce whether what it still waits for rejects
   */
  leave(caller, isAtOnce) {
    this.batches.leave(caller, isAtOnce);
  }

  /** Touches a session that is not there: rejects if that is not allowed here. */
  async probe() {
    const bounds = { length: 1, bytes: Number.POSITIVE_INFINITY };
    const again = (name) => {
      throw failure(`${name}: the server is a replica, or the connection was lost`, "ECONNRESET");
    };
    const native = this.backend({ again, bounds, fields: this.fields });
    return native.touch("connect-redis-rs", Date.now(), undefined, 1);
  }

  /** Resolves when each call that is pending now has its answer. */
  idle() {
    return this.batches.pending.idle();
  }

  /** Closes it at once; what is pending rejects. */
  close() {
    return this.batches.close();
  }

  /** Closes it once what is pending is answered. */
  retire() {
    this.batches.retire();
  }
}

/** What the native side borrows (src/napi/callbacks.rs): `onEvent` gets its events, `pending` its answers. */
function callbacksOf(onEvent, pending, isOfClient) {
  // What the app is asked for is none of any call's.
  const outside = AsyncLocalStorage.snapshot();
  const { answers, scanResults } = pending;
  return {
    answers,
    settle: (count, text, others) => pending.settle(count, text, others),
    fail: (id, error) => pending.fail(id, error),
    giveBack: (id, left, ...command) => pending.giveBack(id, left, ...command),
    collect: (number, ids, text, others) => scanResults.collect(number, ids, text, others),
    swept: (number, count) => scanResults.swept(number, count),
    giveBackSweep: (number) => scanResults.giveBack(number),
    failSweep: (number, error) => scanResults.fail(number, error),
    corrupt: (number, sid, error) => scanResults.corrupt(number, sid, error),
    end: (givesBack) => pending.end(givesBack),
    date: (value) => Number(new Date(value)),
    credential: (...question) => outside(askCredential, ...question),
    // Of a client's server Node itself has warned.
    rejectsUnauthorized: () => rejectsUnauthorized(!isOfClient),
    error: (isInvalidArgument, message, code, cause) =>
      isInvalidArgument ? invalid(message) : failure(message, code, cause),
    emit: (...event) => nextTick(() => onEvent(...event)),
    later: setImmediate,
  };
}

module.exports = { Connection, Native };
