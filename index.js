"use strict";

// The face of the native RedisStore (src/store.rs): it makes it an express-session Store, keeps
// connect-redis's public fields, hands answers to callbacks, and calls an app's own serializer.

const { setImmediate } = require("node:timers");
const session = require("express-session");
const { RedisStore: Native } = require("./binding.js");
const { checkSerializer, parseAll, parseOne } = require("./serializer.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later, and the
// store's own work must go on.
const { nextTick } = process;

/**
 * What a store keeps to itself: the native object, the fields it was told last, and for each
 * session that express-session has loaded the sid it was loaded from.
 */
const kState = Symbol("state");

/** Why a call failed; see "When Redis is away" in the README for `code`. */
class RedisStoreError extends Error {}
Object.defineProperty(RedisStoreError.prototype, "name", {
  value: "RedisStoreError",
  configurable: true,
  writable: true,
});

class RedisStore extends session.Store {
  constructor(options = {}) {
    super();
    if (options === null || typeof options !== "object" || Array.isArray(options)) {
      const got = options === null ? "null" : Array.isArray(options) ? "an array" : typeof options;
      throw invalid(`RedisStore: the options must be an object such as { url }, got ${got}`);
    }
    // connect-redis's fields and their defaults, readable and changeable as there.
    this.client = options.client;
    this.prefix = options.prefix ?? "sess:";
    this.scanCount = options.scanCount || 100;
    this.serializer = options.serializer || JSON;
    this.ttl = options.ttl || 86400;
    this.disableTTL = options.disableTTL ?? false;
    this.disableTouch = options.disableTouch ?? false;

    checkSerializer(this.serializer, invalid);
    const told = { ...fieldsOf(this), scanCountSet: Boolean(options.scanCount) };
    const native = new Native(options, nativeFields(told), lend(new WeakRef(this)));
    const state = { native, told, loaded: new WeakMap(), handed: undefined };
    Object.defineProperty(this, kState, { value: state });
  }

  get(sid, cb) {
    return answer(cb && handing(this[kState], sid, cb), () => {
      const { serializer } = this;
      const read = native(this).get(sid);
      return serializer === JSON ? read : read.then((record) => parseOne(serializer, record));
    });
  }

  set(sid, sess, cb) {
    return answer(cb, () => {
      const store = native(this);
      const [expires, ttl] = timesOf(this, sess);
      const { serializer } = this;
      // An app's serializer is only called where there is something to store.
      const payload = serializer === JSON ? sess : () => serializer.stringify(sess);
      const from = this[kState].loaded.get(sess);
      const loaded = from !== undefined && from === sid;
      const stored = store.set(sid, payload, Date.now(), expires, ttl, loaded);
      return loaded ? stored.then((done) => announce(this, sid, done)) : stored;
    });
  }

  touch(sid, sess, cb) {
    return answer(cb, () => {
      const store = native(this);
      // Not asked for times it does not use: a ttl function may throw.
      const [expires, ttl] = this.disableTouch || this.disableTTL ? [] : timesOf(this, sess);
      return store.touch(sid, Date.now(), expires, ttl);
    });
  }

  destroy(sid, cb) {
    return answer(cb, () => native(this).destroy(sid));
  }

  clear(cb) {
    return answer(cb, () => native(this).clear());
  }

  length(cb) {
    return answer(cb, () => native(this).length());
  }

  ids(cb) {
    return answer(cb, () => native(this).ids());
  }

  all(cb) {
    return answer(cb, () => {
      const { serializer } = this;
      const read = native(this).all();
      const corrupt = (id, error) => nextTick(() => this.emit("corrupt", id, error));
      return serializer === JSON
        ? read
        : read.then((records) => parseAll(serializer, records, corrupt));
    });
  }

  /**
   * As express-session's, and remembers where the session was loaded from: it is saved there only
   * as long as it is there. That is the sid `get` was called with, which a subclass may have made
   * of the request's.
   */
  createSession(req, sess) {
    const { handed, loaded } = this[kState];
    const created = super.createSession(req, sess);
    loaded.set(created, handed?.data === sess ? handed.sid : req.sessionID);
    return created;
  }

  close(cb) {
    return answer(cb, () => this[kState].native.close());
  }

  get status() {
    return this[kState].native.status;
  }

  get transport() {
    return this[kState].native.transport;
  }

  [Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]() {
    return this.close();
  }
}

/**
 * Gives the answer to a call: to the callback, exactly once, where there is one, else as the
 * promise. The callback runs as a reaction of the promise, so it keeps the caller's async context,
 * what it throws rejects the returned promise, and it cannot reach the callbacks beside it.
 */
function answer(cb, call) {
  let promise;
  try {
    promise = call();
  } catch (error) {
    promise = Promise.reject(error);
  }
  if (!cb) return promise;
  return promise.then(
    (data) => cb(null, data),
    (error) => cb(error, null),
  );
}

/**
 * A callback of `get` that notes what it hands over and under which sid: express-session makes a
 * session of it (`createSession`) before the callback returns.
 */
function handing(state, sid, cb) {
  return (error, data) => {
    state.handed = { data, sid };
    try {
      return cb(error, data);
    } finally {
      state.handed = undefined;
    }
  };
}

/** The native store of `store`, told first of the fields the app has changed since. */
function native(store) {
  const state = store[kState];
  const { told } = state;
  if (
    store.prefix !== told.prefix ||
    store.scanCount !== told.scanCount ||
    store.serializer !== told.serializer ||
    typeof store.ttl !== typeof told.ttl ||
    store.disableTTL !== told.disableTTL ||
    store.disableTouch !== told.disableTouch
  ) {
    const fields = fieldsOf(store);
    checkSerializer(fields.serializer, invalid);
    const scanCountSet = told.scanCountSet || fields.scanCount !== told.scanCount;
    // Whatever an app sets later counts as it does in connect-redis, so that a slip in one field
    // does not stop the calls that do not need it. The ttl is looked at where it is used.
    const lenient = {
      ...fields,
      prefix: `${fields.prefix}`,
      scanCount: Number(fields.scanCount),
      scanCountSet: scanCountSet && fields.scanCount >= 1,
      disableTTL: Boolean(fields.disableTTL),
      disableTouch: Boolean(fields.disableTouch),
    };
    state.native.configure(nativeFields(lenient));
    state.told = { ...fields, scanCountSet };
  }
  return state.native;
}

/** The fields as src/options.rs reads them. While nobody has set `scanCount`, it is the store's. */
function nativeFields({ serializer, scanCount, scanCountSet, ...fields }) {
  return {
    ...fields,
    json: serializer === JSON,
    scanCount: scanCountSet ? scanCount : undefined,
  };
}

function fieldsOf({ prefix, scanCount, serializer, ttl, disableTTL, disableTouch }) {
  return { prefix, scanCount, serializer, ttl, disableTTL, disableTouch };
}

/**
 * What says when a session expires, as connect-redis asks: a `ttl` function alone, called as a
 * method of the store, else the cookie before the `ttl` option.
 */
function timesOf(store, sess) {
  return typeof store.ttl === "function"
    ? [undefined, store.ttl(sess)]
    : [sess?.cookie?.expires || undefined, store.ttl];
}

/** Emits `discarded` where a `set` found that its session is gone. */
function announce(store, sid, done) {
  if (done === false) nextTick(() => store.emit("discarded", sid));
  return null;
}

/** What the native side borrows (src/host.rs). The store is held weakly, or it could never go. */
function lend(store) {
  return {
    parse: JSON.parse,
    stringify: JSON.stringify,
    date: (value) => Number(new Date(value)),
    error: (isInvalidArgument, message, code, cause) =>
      isInvalidArgument ? invalid(message) : failure(message, code, cause),
    emit: (...event) => nextTick(() => store.deref()?.emit(...event)),
    soon(call) {
      Promise.resolve().then(call);
      return Date.now();
    },
    later: setImmediate,
    warn: (message) => process.emitWarning(message, { code: "CONNECT_REDIS_RS_OPTION" }),
  };
}

function invalid(message) {
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}

function failure(message, code, cause) {
  const options = cause === undefined ? undefined : { cause: new Error(cause) };
  return Object.assign(new RedisStoreError(message, options), { code });
}

module.exports = RedisStore;
module.exports.RedisStore = RedisStore;
module.exports.RedisStoreError = RedisStoreError;
module.exports.default = RedisStore;
