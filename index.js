// The face of the native RedisStore (src/store.rs): it makes it an express-session Store, keeps
// connect-redis's public fields, and hands answers to callbacks.

const { setImmediate } = require("node:timers");
const session = require("express-session");
const { RedisStore: Native } = require("./binding.js");
const { adapt } = require("./serializer.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later, and the
// store's own work must go on.
const { nextTick } = process;

/** The native object behind a store, and the field values it was last told. */
const kNative = Symbol("native");
const kTold = Symbol("told");
/** The sessions express-session has loaded from a store. */
const kLoaded = Symbol("loaded");

/** Why a call failed; see "Errors" in the README for `code`. */
class RedisStoreError extends Error {}
Object.defineProperty(RedisStoreError.prototype, "name", {
  value: "RedisStoreError",
  configurable: true,
  writable: true,
});

class RedisStore extends session.Store {
  constructor(options = {}) {
    super();
    if (options === null || typeof options !== "object") {
      throw invalid(`RedisStore: the options must be an object, got ${options}`);
    }
    // connect-redis's fields and their defaults, readable and changeable as there.
    this.client = options.client;
    this.prefix = options.prefix ?? "sess:";
    this.scanCount = options.scanCount || 100;
    this.serializer = options.serializer || JSON;
    this.ttl = options.ttl || 86400;
    this.disableTTL = options.disableTTL ?? false;
    this.disableTouch = options.disableTouch ?? false;

    const told = { ...fieldsOf(this), scanCountSet: Boolean(options.scanCount) };
    const face = lend(new WeakRef(this));
    hide(this, kTold, told);
    hide(this, kLoaded, new WeakSet());
    hide(this, kNative, new Native(options, nativeFields(told, face.emit), face));
  }

  get(sid, cb) {
    return answer(cb, () => native(this).get(sid, Date.now()));
  }

  set(sid, sess, cb) {
    return answer(cb, () => {
      const store = native(this);
      // Only under the sid it was loaded from is it the session that may have been destroyed.
      const loaded = this[kLoaded].has(sess) && sess.id === sid;
      const [expires, ttl] = timesOf(this, sess);
      const stored = store.set(sid, sess, Date.now(), expires, ttl, loaded);
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
      const sessions = native(this).all(Date.now());
      // An app's own parse may be async, and only then knows what is corrupt.
      return this.serializer === JSON
        ? sessions
        : sessions.then((list) => Promise.all(list)).then((list) => list.filter(Boolean));
    });
  }

  createSession(req, sess) {
    const loaded = super.createSession(req, sess);
    this[kLoaded].add(loaded);
    return loaded;
  }

  close(cb) {
    return answer(cb, () => this[kNative].close());
  }

  get status() {
    return this[kNative].status;
  }

  get transport() {
    return this[kNative].transport;
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

/** The native store of `store`, told first of the fields the app has changed since. */
function native(store) {
  const told = store[kTold];
  if (
    store.prefix !== told.prefix ||
    store.scanCount !== told.scanCount ||
    store.serializer !== told.serializer ||
    store.ttl !== told.ttl ||
    store.disableTTL !== told.disableTTL ||
    store.disableTouch !== told.disableTouch
  ) {
    const now = {
      ...fieldsOf(store),
      scanCountSet: told.scanCountSet || store.scanCount !== told.scanCount,
    };
    store[kNative].configure(nativeFields(now, emitter(new WeakRef(store))));
    store[kTold] = now;
  }
  return store[kNative];
}

function fieldsOf({ prefix, scanCount, serializer, ttl, disableTTL, disableTouch }) {
  return { prefix, scanCount, serializer, ttl, disableTTL, disableTouch };
}

/** The fields as src/options.rs reads them: undefined where the native side has its own way. */
function nativeFields(fields, emit) {
  return {
    ...fields,
    scanCount: fields.scanCountSet ? fields.scanCount : undefined,
    serializer: fields.serializer === JSON ? undefined : adapt(fields.serializer, emit),
  };
}

/**
 * What says when a session expires, as connect-redis asks: a `ttl` function alone, called as a
 * method of the store, else the cookie before the `ttl` option.
 */
function timesOf(store, sess) {
  return typeof store.ttl === "function"
    ? [undefined, store.ttl(sess)]
    : [sess?.cookie?.expires, store.ttl];
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
    emit: emitter(store),
    soon: (call) => void Promise.resolve().then(call),
    later: setImmediate,
    warn: (message) => process.emitWarning(message, { code: "CONNECT_REDIS_RS_OPTION" }),
  };
}

/** Emits an event later, so that what a listener throws is its own and nobody else's. */
function emitter(store) {
  return (...event) => nextTick(() => store.deref()?.emit(...event));
}

function invalid(message) {
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}

function failure(message, code, cause) {
  const options = cause === undefined ? undefined : { cause: new Error(cause) };
  return Object.assign(new RedisStoreError(message, options), { code });
}

function hide(object, key, value) {
  Object.defineProperty(object, key, { value, writable: true });
}

module.exports = RedisStore;
module.exports.RedisStore = RedisStore;
module.exports.RedisStoreError = RedisStoreError;
module.exports.default = RedisStore;
