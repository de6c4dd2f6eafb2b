"use strict";

// The store. It makes the native RedisStore (src/napi/store.rs) an express-session Store, keeps
// connect-redis's public fields, hands answers to callbacks, and calls an app's own serializer and
// its client (client/).

const { AsyncLocalStorage } = require("node:async_hooks");
const { EventEmitter } = require("node:events");
const expressSession = require("express-session");
const { skipWhileAway } = require("./skip-when-away.js");
const { attach, checkTransport } = require("./client/attach.js");
const { statusOf } = require("./client/client-status.js");
const { Connection } = require("./native/connection.js");
const { RedisStoreError, failure, invalid } = require("./errors.js");
const { isTouchOff, timesOf } = require("./lifetime.js");
const { HandedOut, Loaded } = require("./loaded-sessions.js");
const { checkClient, checkOptions } = require("./options.js");
const { checkSerializer, parseAll, parseOne } = require("./serializer.js");
const { soundCookie } = require("./session-cookie.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later, and the
// store's own work must go on.
const { nextTick } = process;

/**
 * What a store keeps to itself: its backend (what carries its calls, and the fields it was sent last),
 * and with an app's client the calls that wait for it and the direct connection to its server.
 */
const kState = Symbol("state");

/** The options by a store's state; not in it, as whoever prints a store would print passwords. */
const optionsOf = new WeakMap();

/** Calls what a store leaves behind to be undone when it has been collected. */
const abandoned = new FinalizationRegistry((attachment) => attachment.detach(false));

/**
 * A Store with events. That of express-session has them; that of a package which stands in for it,
 * such as express-openid-connect, may be an empty class.
 */
function emitting(Store) {
  if (typeof Store.prototype.emit === "function") return Store;
  class EmittingStore extends Store {}
  const { constructor: _, ...emitter } = Object.getOwnPropertyDescriptors(EventEmitter.prototype);
  Object.defineProperties(EmittingStore.prototype, emitter);
  return EmittingStore;
}

/** Makes the class for an express-session, whose Store and Cookie it uses. */
function defineStore({ Store, Cookie }) {
  return class RedisStore extends emitting(Store) {
    constructor(options = {}) {
      super();
      if (options === null || typeof options !== "object" || Array.isArray(options)) {
        const got =
          options === null ? "null" : Array.isArray(options) ? "an array" : typeof options;
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
      checkTransport(options, invalid);
      const { client, warn } = checkOptions(options, invalid);
      const state = { client: this.client, origin: {}, Cookie, isClosed: false };
      // Whatever comes of no call of the app's is emitted in the async context the store was made in.
      state.outside = AsyncLocalStorage.snapshot();
      if (options.onUnavailable === "skip") state.away = skipWhileAway(this);
      optionsOf.set(state, options);
      Object.defineProperty(this, kState, { value: state });
      if (client === undefined) state.carrier = openOwn(this, options);
      else attachTo(this, state);
      warn();
    }

    get(sid, cb) {
      return answer(cb, () => {
        const { serializer } = this;
        const { origin } = stateOf(this);
        const key = this.prefix + sid;
        const handOut = (session) => HandedOut.note(session, origin, key);
        return use(this, "get", ({ native, isClient }) => {
          const read = native.get(sid, serializer, handOut);
          return serializer === JSON || isClient
            ? read
            : read.then((record) => parseOne(serializer, record)).then(handOut);
        });
      });
    }

    set(sid, sess, cb) {
      return answer(cb, () => {
        const [expires, ttl] = timesOf(this, sess);
        const { serializer } = this;
        let payload = serializer === JSON ? sess : () => serializer.stringify(sess);
        if (typeof sess === "function" || isHeld(this)) {
          // Taken as it is now: it is only stored in a while.
          const text = serializer.stringify(sess);
          payload = () => text;
        }
        const isLoaded = Loaded.is(sess, stateOf(this).origin, this.prefix + sid);
        const stored = use(this, "set", ({ native }) =>
          native.set(sid, payload, Date.now(), expires, ttl, isLoaded),
        );
        return isLoaded ? stored.then((done) => announce(this, sid, done)) : stored;
      });
    }

    touch(sid, sess, cb) {
      return answer(cb, () => {
        // Not asked for times it does not use: a ttl function may throw.
        const [expires, ttl] = isTouchOff(this) ? [] : timesOf(this, sess);
        return use(this, "touch", ({ native }) => native.touch(sid, Date.now(), expires, ttl));
      });
    }

    destroy(sid, cb) {
      return answer(cb, () => use(this, "destroy", ({ native }) => native.destroy(sid)));
    }

    clear(cb) {
      return answer(cb, () => use(this, "clear", ({ native }) => native.clear()));
    }

    length(cb) {
      return answer(cb, () => use(this, "length", ({ native }) => native.length()));
    }

    ids(cb) {
      return answer(cb, () => use(this, "ids", ({ native }) => native.ids()));
    }

    all(cb) {
      return answer(cb, () => {
        const { serializer } = this;
        const read = use(this, "all", ({ native }) => native.all());
        const corrupt = (id, error) => nextTick(() => this.emit("corrupt", id, error));
        return serializer === JSON
          ? read
          : read.then((records) => parseAll(serializer, records, corrupt));
      });
    }

    /**
     * As express-session's, and remembers that the session was loaded, if it is made of what this
     * store's `get` has handed out: then it is saved only as long as it is there, under the sid
     * `get` was called with, which a subclass may have made of the request's. A record that
     * express-session would throw over, because another program has written it, is served all the
     * same.
     */
    createSession(req, sess) {
      const state = this[kState];
      if (sess === null || typeof sess !== "object" || Array.isArray(sess)) {
        return this.generate === undefined
          ? super.createSession(req, { cookie: {} })
          : generated(this, req);
      }
      const { origin } = state;
      const key = HandedOut.keyOf(sess, origin);
      const cookie = soundCookie(sess.cookie, state.Cookie);
      if (cookie !== sess.cookie) sess.cookie = cookie;
      const created = super.createSession(req, sess);
      if (key !== undefined) Loaded.note(created, origin, key);
      return created;
    }

    close(cb) {
      return answer(cb, async () => {
        const state = this[kState];
        state.isClosed = true;
        state.calls?.close();
        await state.attachment?.detach(true);
        return state.carrier.native.close();
      });
    }

    get status() {
      const { carrier, direct, isClosed } = this[kState];
      const { status } = carrier.native;
      if (!carrier.isClient || isClosed || status === "closed") return status;
      return direct?.own?.status ?? statusOf(this.client);
    }

    get transport() {
      const { carrier, direct } = this[kState];
      return direct?.transport ?? (carrier.isClient ? "client" : "native");
    }

    [Symbol.asyncDispose ?? Symbol.for("nodejs.asyncDispose")]() {
      return this.close();
    }
  };
}

/** Gives a request a session of its own: what is stored under its sid is no session, and stays. */
function generated(store, req) {
  store.generate(req);
  return req.session;
}

/**
 * Gives the answer to a call: to the callback, if there is one, else as the promise. The callback
 * runs as a reaction of the promise, so it keeps the caller's async context and cannot reach the
 * callbacks beside it. One that throws is called once more, with its own error, as connect-redis
 * does; what it throws then rejects the returned promise.
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
    (data) => {
      try {
        return cb(null, data);
      } catch (error) {
        return cb(error, null);
      }
    },
    (error) => cb(error, null),
  );
}

/**
 * Makes a call of `store`, with the backend that is to carry it (client/direct-connection.js). If it is not
 * known yet which that is, the call is made when it is, with the fields the store has now, in the
 * async context it has now, unless its time is over by then.
 */
function use(store, name, call) {
  const { carrier, direct, calls, isClosed } = stateOf(store);
  if (direct === undefined || isClosed) return call(withFields(store, carrier));
  const current = direct.current();
  if (current !== undefined) return call(withFields(store, backendFor(store, current)));
  const fields = fieldsOf(store);
  const inContext = AsyncLocalStorage.snapshot();
  return calls.wait(name, (resolve, reject, isWaiting) => {
    direct.park((decided, error) => {
      const make = () => call(withFields(fields, backendFor(store, decided)));
      if (error) reject(error);
      else if (isWaiting()) inContext(() => answer(undefined, make).then(resolve, reject));
    });
  });
}

/** Whether a call that is made now has to wait until it is known what carries it. */
function isHeld(store) {
  const { direct, isClosed } = stateOf(store);
  return direct !== undefined && !isClosed && direct.current() === undefined;
}

/** What a store keeps, once it is attached to the client that it has now. */
function stateOf(store) {
  const state = store[kState];
  if (store.client !== state.client) state.outside(() => attachTo(store, state));
  return state;
}

/** A backend over a connection of the store's own. */
function openOwn(store, options) {
  const reference = new WeakRef(store);
  const first = firstFields(store, options);
  const onEvent = (event, ...args) => {
    const alive = reference.deref();
    if (alive === undefined) return;
    if (event in IS_AWAY) alive[kState].away?.(IS_AWAY[event]);
    if (event !== "failed") emitOutside(alive, event, ...args);
  };
  const connection = new Connection(options, nativeFields(first), onEvent);
  const native = connection.backend({
    ...termsOf(store, options),
    fields: nativeFields(first),
  });
  return { native, sent: first, fields: (own) => own, isClient: false };
}

/** What an event says of Redis. */
const IS_AWAY = { ready: false, failed: true, reconnecting: true, end: true };

/** The backend of a store to what its direct connection has decided on: the client, or a connection beside it. */
function backendFor(store, connection) {
  const state = store[kState];
  if (!(connection instanceof Connection)) return state.carrier;
  if (state.directBackend?.connection !== connection) {
    const options = optionsOf.get(state);
    const { keyPrefix } = state.inspected;
    const first = firstFields(store, options);
    const fields = (own) => ({ ...own, prefix: keyPrefix + own.prefix });
    const terms = { ...termsOf(store, options), fields: fields(nativeFields(first)) };
    const native = connection.backend(terms);
    state.attachment.uses(connection, native.caller);
    state.directBackend = { connection, native, sent: first, fields, isClient: false };
  }
  return state.directBackend;
}

/** Attaches a store to the client that it has now. */
function attachTo(store, state) {
  const { client } = store;
  const options = optionsOf.get(state);
  const transport = checkTransport({ ...options, client }, invalid);
  const reference = new WeakRef(store);
  const emit = (event) => {
    const alive = reference.deref();
    // What is left of a client that is no more the store's is not the end of the store.
    if (alive === undefined || (event === "end" && !alive[kState].isClosed)) return;
    nextTick(() => emitOutside(alive, event));
  };
  const away = (isAway) => {
    const alive = reference.deref()?.[kState];
    alive?.outside(() => nextTick(() => alive.away?.(isAway)));
  };
  const first = firstFields(store, options);
  const attached = attach(checkClient({ client }, invalid), {
    options,
    transport,
    terms: termsOf(store, options),
    first: nativeFields(first),
    emit,
    away,
  });
  // What is under way with the one before is finished.
  state.attachment?.detach(false);
  state.carrier?.native.retire();
  const { clientBackend, inspected, calls, attachment } = attached;
  const { direct } = attachment;
  const carrier = { ...clientBackend, sent: first, isClient: true };
  // What was loaded by the client before was loaded elsewhere.
  const origin = {};
  Object.assign(state, { client, origin, carrier, inspected, calls, attachment, direct });
  state.directBackend = undefined;
  abandoned.register(store, attachment);
}

/** What a store's calls need beside its fields. Nothing in it holds the store. */
function termsOf(store, options) {
  const reference = new WeakRef(store);
  return {
    bounds: boundsOf(options),
    resurrect: options.resurrect ?? false,
    corrupt(sid, error) {
      const alive = reference.deref();
      if (alive !== undefined) nextTick(() => alive.emit("corrupt", sid, error));
    },
    again(name, ...call) {
      const alive = reference.deref();
      if (alive === undefined) throw failure(`${name}: the store is gone`, "ECLOSED");
      const { carrier } = alive[kState];
      return call.length === 0
        ? withFields(alive, carrier).native[name]()
        : carrier.native.again(name, ...call);
    },
  };
}

/** What may wait, by the options, which src/napi/options/mod.rs checks. */
function boundsOf({
  commandTimeout,
  onUnavailable,
  commandsQueueMaxLength,
  commandsQueueMaxBytes,
}) {
  return {
    limit: commandTimeout ?? 5000,
    length: commandsQueueMaxLength ?? 250_000,
    bytes: commandsQueueMaxBytes ?? 256 * 2 ** 20,
    failsAtOnce: Boolean(onUnavailable),
  };
}

/** Emits an event that comes of no call. */
function emitOutside(store, ...event) {
  store[kState].outside(() => store.emit(...event));
}

/** A backend, after it was sent the fields of the store that the app has changed since. */
function withFields(store, carrier) {
  const { sent } = carrier;
  if (
    store.prefix !== sent.prefix ||
    store.scanCount !== sent.scanCount ||
    store.serializer !== sent.serializer ||
    typeof store.ttl !== typeof sent.ttl ||
    store.disableTTL !== sent.disableTTL ||
    store.disableTouch !== sent.disableTouch
  ) {
    const fields = fieldsOf(store);
    checkSerializer(fields.serializer, invalid);
    const scanCountSet = sent.scanCountSet || fields.scanCount !== sent.scanCount;
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
    carrier.native.configure(carrier.fields(nativeFields(lenient)));
    carrier.sent = { ...fields, scanCountSet };
  }
  return carrier;
}

/** The fields a store has when a backend is made for it. While nobody has set `scanCount`, it is ours. */
function firstFields(store, options) {
  return { ...fieldsOf(store), scanCountSet: Boolean(options.scanCount) };
}

/** The fields as src/napi/options/mod.rs reads them. */
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

/** Emits `discarded` where a `set` found that its session is gone. */
function announce(store, sid, done) {
  if (done === false) nextTick(() => store.emit("discarded", sid));
  return null;
}

/** The classes by the Store that they extend. */
const classes = new WeakMap();

/**
 * The class for an express-session. Called as a function with an express-session it gives the class
 * for that, as the module of connect-redis 6 and older did: `require("connect-redis")(session)`.
 */
function classFor(session) {
  const { Store } = session;
  if (!classes.has(Store)) {
    const RedisStore = new Proxy(defineStore(session), {
      apply(_class, _this, [given]) {
        // connect itself had the sessions in the days of connect-redis 1.
        const asked = typeof given?.Store === "function" ? given : given?.session;
        if (typeof asked?.Store !== "function") {
          throw invalid(
            "RedisStore is a class: write new RedisStore(options). As a function it takes express-session, as in require(…)(session), and returns the class.",
          );
        }
        return classFor(asked);
      },
    });
    Object.defineProperty(RedisStore.prototype, "constructor", { value: RedisStore });
    Object.assign(RedisStore, { RedisStore, RedisStoreError, default: RedisStore });
    classes.set(Store, RedisStore);
  }
  return classes.get(Store);
}

module.exports = classFor(expressSession);
