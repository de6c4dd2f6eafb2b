"use strict";

// The store. It makes the native RedisStore (src/napi/store.rs) an express-session Store, keeps
// connect-redis's public fields, hands answers to callbacks, and calls an app's own serializer and
// its client (client/).

const { AsyncLocalStorage } = require("node:async_hooks");
const { EventEmitter } = require("node:events");
const { performance } = require("node:perf_hooks");
const expressSession = require("express-session");
const { endOf, withCreated } = require("./absolute-lifetime.js");
const { answer } = require("./answer.js");
const {
  attachTo,
  isHeld,
  kState,
  openOwn,
  optionsOf,
  readMetrics,
  stateOf,
  use,
} = require("./store-backend.js");
const { skipWhileAway } = require("./skip-when-away.js");
const { checkTransport } = require("./client/attach.js");
const { statusOf } = require("./client/client-status.js");
const { RedisStoreError, invalid } = require("./errors.js");
const { followsCookie, isTouchOff, timesOf } = require("./lifetime.js");
const { HandedOut, Loaded, ReadUntil } = require("./loaded-sessions.js");
const { measured, measuring } = require("./observe/call-channel.js");
const { Counts } = require("./observe/counts.js");
const { checkOptions } = require("./options.js");
const { checkSerializer, parseAll, parseOne } = require("./serializer.js");
const { soundCookie } = require("./session-cookie.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later, and the
// store's own work must go on.
const { nextTick } = process;

/**
 * @typedef {import("./types.js").Callback} Callback
 * @typedef {import("./types.js").SessionData} SessionData
 * @typedef {import("./store-backend.js").State} State
 */

/**
 * @typedef {import("express-session").Store & {generate(req: any): void, kState: State}} BaseStore
 * @typedef {{new (): BaseStore, prototype: BaseStore}} StoreClass
 * @typedef {{Store: StoreClass, Cookie: import("./session-cookie.js").CookieClass}} ExpressSession
 */

/**
 * A Store with events. That of express-session has them; that of a package which stands in for it,
 * such as express-openid-connect, may be an empty class.
 * @param {StoreClass} Store
 * @returns {StoreClass}
 */
function emitting(Store) {
  if (typeof Store.prototype.emit === "function") return Store;
  class EmittingStore extends /** @type {new () => object} */ (Store) {}
  const { constructor: _, ...emitter } = Object.getOwnPropertyDescriptors(EventEmitter.prototype);
  Object.defineProperties(EmittingStore.prototype, emitter);
  return /** @type {any} */ (EmittingStore);
}

/**
 * Makes the class for an express-session, whose Store and Cookie it uses.
 * @param {ExpressSession} session
 */
function defineStore({ Store, Cookie }) {
  return class RedisStore extends emitting(Store) {
    /** @param {Record<string, any>} options */
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
      checkTransport(options);
      const { client, warn } = checkOptions(options, invalid);
      const state = /** @type {State} */ ({
        client: this.client,
        origin: {},
        Cookie,
        isClosed: false,
        counts: new Counts(),
      });
      // Whatever comes of no call of the app's is emitted in the async context the store was made in.
      state.outside = AsyncLocalStorage.snapshot();
      state.touchAfter = (options.touchAfter ?? 0) * 1000;
      state.lifetime = options.lifetime == null ? undefined : options.lifetime * 1000;
      state.isTouchInBackground = options.touch === "background";
      if (options.onUnavailable === "skip") state.away = skipWhileAway(this);
      optionsOf.set(state, options);
      Object.defineProperty(this, kState, { value: state });
      if (client === undefined) state.carrier = openOwn(this, options);
      else attachTo(this, state);
      warn();
    }

    /**
     * @param {string} sid
     * @param {Callback} [cb]
     */
    get(sid, cb) {
      return answer(cb, () => {
        const { serializer } = this;
        const { origin, lifetime, touchAfter } = stateOf(this);
        const key = this.prefix + sid;
        /** @type {import("./types.js").HandOut} */
        const handOut = (session, until) => {
          // Another writer, or a longer `lifetime` before, may have kept it.
          if (lifetime !== undefined && endOf(session, lifetime) <= Date.now()) return null;
          if (touchAfter > 0 && until !== undefined) ReadUntil.note(session, until);
          return HandedOut.note(session, origin, key);
        };
        return use(this, "get", ({ native, isClient }, message) => {
          const handIt = message === undefined ? handOut : measuring(message, handOut);
          const read = native.get(sid, serializer, handIt);
          if (serializer === JSON || isClient) return read;
          const isInCookie = followsCookie(this);
          return read.then(async (record) =>
            handIt(await parseOne(serializer, record, isInCookie), record?.expires, record?.text),
          );
        });
      });
    }

    /**
     * @param {string} sid
     * @param {SessionData} sess
     * @param {Callback} [cb]
     */
    set(sid, sess, cb) {
      return answer(cb, () => {
        const [expires, ttl] = timesOf(this, sess);
        const { serializer } = this;
        const { origin, lifetime, touchAfter } = stateOf(this);
        const { data, end } =
          lifetime === undefined
            ? { data: sess, end: undefined }
            : withCreated(sess, lifetime, Date.now());
        let payload = serializer === JSON ? data : () => serializer.stringify(data);
        if (typeof data === "function" || isHeld(this)) {
          // Taken as it is now: it is only stored in a while.
          const text = serializer.stringify(data);
          payload = () => text;
        }
        const key = this.prefix + sid;
        const isLoaded = Loaded.is(sess, origin, key);
        if (touchAfter > 0) ReadUntil.take(sess);
        const stored = use(this, "set", ({ native }, message) => {
          const value = message ? measured(message, payload) : payload;
          return native.set(sid, value, Date.now(), expires, ttl, isLoaded, end);
        });
        return isLoaded ? stored.then((done) => announce(this, sid, done)) : stored;
      });
    }

    /**
     * @param {string} sid
     * @param {SessionData} sess
     * @param {Callback} [cb]
     */
    touch(sid, sess, cb) {
      return answer(cb, () => {
        // The ttl function is called only if it counts: it may throw.
        const [expires, ttl] = isTouchOff(this) ? [] : timesOf(this, sess);
        const { lifetime, touchAfter, isTouchInBackground } = stateOf(this);
        const end = lifetime === undefined ? undefined : endOf(sess, lifetime);
        // At the call, also if it is not decided yet what carries it: later it would be an event.
        if (isTouchInBackground) stateOf(this).carrier.native.checkTimes(Date.now(), expires, ttl);
        // Known for one touch only: whatever follows in this request is sent.
        const until = touchAfter > 0 ? ReadUntil.take(sess) : undefined;
        const touched = use(this, "touch", ({ native }) =>
          native.touch(sid, Date.now(), expires, ttl, end, until),
        );
        if (isTouchInBackground) {
          touched.catch((error) => nextTick(() => this.emit("untouched", sid, error)));
          return Promise.resolve(null);
        }
        return touched;
      });
    }

    /**
     * @param {string} sid
     * @param {Callback} [cb]
     */
    destroy(sid, cb) {
      return answer(cb, () => use(this, "destroy", ({ native }) => native.destroy(sid)));
    }

    /** @param {Callback} [cb] */
    clear(cb) {
      return answer(cb, () => use(this, "clear", ({ native }) => native.clear()));
    }

    /** @param {Callback} [cb] */
    length(cb) {
      return answer(cb, () => use(this, "length", ({ native }) => native.length()));
    }

    /** @param {Callback} [cb] */
    ids(cb) {
      return answer(cb, () => use(this, "ids", ({ native }) => native.ids()));
    }

    /** @param {Callback} [cb] */
    all(cb) {
      return answer(cb, () => {
        const { serializer } = this;
        const read = use(this, "all", ({ native }) => native.all());
        /** @type {(id: string, error: any) => void} */
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
     * @param {any} req
     * @param {any} sess
     */
    createSession(req, sess) {
      const state = this[kState];
      if (sess === null || typeof sess !== "object" || Array.isArray(sess)) {
        return this.generate === undefined
          ? super.createSession(req, /** @type {any} */ ({ cookie: {} }))
          : generated(this, req);
      }
      const { origin } = state;
      const key = HandedOut.keyOf(sess, origin);
      const until = state.touchAfter > 0 ? ReadUntil.take(sess) : undefined;
      const cookie = soundCookie(sess.cookie, state.Cookie);
      if (cookie !== sess.cookie) sess.cookie = cookie;
      const created = super.createSession(req, sess);
      if (key !== undefined) Loaded.note(created, origin, key);
      if (until !== undefined) ReadUntil.note(created, until);
      return created;
    }

    metrics() {
      return readMetrics(this);
    }

    /** @param {Callback} [cb] */
    ping(cb) {
      return answer(cb, async () => {
        const began = performance.now();
        await use(this, "ping", ({ native }) => native.ping());
        return performance.now() - began;
      });
    }

    /** @param {Callback} [cb] */
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

/**
 * Gives a request a session of its own: what is stored under its sid is no session, and stays.
 * @param {BaseStore} store
 * @param {any} req
 */
function generated(store, req) {
  store.generate(req);
  return req.session;
}

/**
 * Emits `discarded` if `set` found that its session is gone.
 * @param {BaseStore} store
 * @param {string} sid
 * @param {false | null} done
 */
function announce(store, sid, done) {
  if (done === false) nextTick(() => store.emit("discarded", sid));
  return null;
}

/** The classes by the Store that they extend. */
const classes = new WeakMap();

/**
 * The class for an express-session. Called as a function with an express-session it gives the class
 * for that, as the module of connect-redis 6 and older did: `require("connect-redis")(session)`.
 * @param {ExpressSession} session
 * @returns {any}
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

module.exports = classFor(/** @type {any} */ (expressSession));
