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
const { cacheOf } = require("./cache.js");
const { nextTick } = require("./clock.js");
const { announce, checkConcurrency, comparesBy, comparisonOf } = require("./concurrency.js");
const { atRest, withoutSecrets } = require("./at-rest.js");
const {
  attachTo,
  boundsOf,
  fieldsOf,
  indexOf,
  isHeld,
  kState,
  openOwn,
  optionsOf,
  peerOf,
  readMetrics,
  stateOf,
  use,
} = require("./store-backend.js");
const { skipWhileAway } = require("./skip-when-away.js");
const { RedisStoreError, invalid, needsUser } = require("./errors.js");
const { followsCookie, isTouchOff, planSave, timesOf } = require("./lifetime.js");
const { HandedOut, Loaded, ReadUntil } = require("./loaded-sessions.js");
const { Base } = require("./native/bases.js");
const { measured, measuring } = require("./observe/call-channel.js");
const { tellConflict } = require("./observe/conflict-channel.js");
const { Counts, OPERATIONS, operationOf } = require("./observe/counts.js");
const { checkOptions, checkTransport } = require("./options.js");
const { carriedByClient, checkNeeds } = require("./own-connection.js");
const { checkSerializer, parseAll, parseOne } = require("./serializer.js");
const { rotate } = require("./rotate.js");
const { soundCookie } = require("./session-cookie.js");
const { update } = require("./update.js");

/**
 * @typedef {import("./types.js").Callback} Callback
 * @typedef {import("./types.js").SessionData} SessionData
 * @typedef {import("./store-backend.js").State} State
 * @typedef {import("./store-backend.js").Call} Call
 * @typedef {InstanceType<typeof import("./native/native-backend.js").NativeBackend>} NativeBackend
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
 * A session's text for `set`. If there can be none, that is counted as a call that rejected.
 * @param {import("./store-backend.js").Store} store
 * @param {unknown} data
 */
function textOf(store, data) {
  try {
    return store.serializer.stringify(data);
  } catch (error) {
    store[kState].counts.failed(operationOf("set"), error);
    throw error;
  }
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
      checkTransport(options, invalid);
      const { client, warn } = checkOptions(options, invalid);
      checkConcurrency({ ...options, serializer: this.serializer }, invalid);
      checkNeeds(options, invalid);
      const cache = cacheOf(options, invalid);
      const { fresh, ...ofConnection } = cache ?? {};
      // The connection keeps its options, so nothing of the app's that may hold the store is in them.
      const rest = withoutSecrets(options);
      const kept = cache ? { ...rest, cache: ofConnection } : rest;
      const state = /** @type {State} */ ({
        client: this.client,
        origin: {},
        Cookie,
        isClosed: false,
        counts: new Counts(),
        ...atRest(options, invalid),
      });
      // Whatever comes of no call of the app's is emitted in the async context the store was made in.
      state.outside = AsyncLocalStorage.snapshot();
      state.limit = boundsOf(options).limit;
      state.touchAfter = (options.touchAfter ?? 0) * 1000;
      state.lifetime = options.lifetime == null ? undefined : options.lifetime * 1000;
      state.comparesBy = comparesBy(options.concurrency);
      state.fresh = fresh;
      state.isTouchInBackground = options.touch === "background";
      if (options.onUnavailable === "skip") state.away = skipWhileAway(this);
      optionsOf.set(state, kept);
      Object.defineProperty(this, kState, { value: state });
      state.index = sessionIndexOf(this, state, options);
      if (client === undefined) state.carrier = openOwn(this, kept);
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
        const { origin, lifetime, touchAfter, index, fresh } = stateOf(this);
        const key = this.prefix + sid;
        const readsThrough = fresh !== undefined && Boolean(fresh(`${sid}`));
        /** @type {import("./types.js").HandOut} */
        const handOut = (session, until, base) => {
          // Another writer, or a longer `lifetime` before, may have kept it.
          if (lifetime !== undefined && endOf(session, lifetime) <= Date.now()) return null;
          if (touchAfter > 0 && until !== undefined) ReadUntil.note(session, until);
          return HandedOut.note(session, origin, key, base);
        };
        /** @type {Call} */
        const call = ({ native, isClient }, message) => {
          const handIt = message === undefined ? handOut : measuring(message, handOut);
          const found = native.get(sid, serializer, handIt, readsThrough);
          if (serializer === JSON || isClient) return found;
          const isInCookie = followsCookie(this);
          return found.then(async (record) => {
            const session = await parseOne(serializer, record, isInCookie);
            return handIt(session, record?.expires, undefined, record?.text);
          });
        };
        return index === undefined
          ? use(this, "get", call)
          : index.after(key, () => use(this, "get", call));
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
        const { origin, lifetime, touchAfter, comparesBy, index } = stateOf(this);
        const { data, end } =
          lifetime === undefined
            ? { data: sess, end: undefined }
            : withCreated(sess, lifetime, Date.now());
        let payload = serializer === JSON ? data : () => serializer.stringify(data);
        if (typeof data === "function" || isHeld(this) || index !== undefined) {
          // Taken as it is now: it is only stored in a while.
          const text = textOf(this, data);
          payload = () => text;
        }
        const key = this.prefix + sid;
        const isLoaded = Loaded.is(sess, origin, key);
        if (touchAfter > 0) ReadUntil.take(sess);
        const comparison =
          comparesBy === undefined
            ? undefined
            : comparisonOf(comparesBy, sess, origin, key, invalid);
        /** @type {Call} */
        const call = ({ native }, message) => {
          const value = message ? measured(message, payload) : payload;
          return native.set(sid, value, Date.now(), expires, ttl, isLoaded, end, comparison);
        };
        const life = index === undefined ? 0 : lifeOf(this, expires, ttl, end);
        const stored =
          index === undefined
            ? use(this, "set", call)
            : indexed(this, call, (save) => index.save(`${sid}`, sess, life, isLoaded, save));
        if (!isLoaded && comparison === undefined && index === undefined) return stored;
        return stored.then((saved) => {
          // It was new, and is not any more.
          if (saved instanceof Base) Loaded.note(sess, origin, key, saved);
          else announce(this, sid, saved);
          tellConflict("set", saved, () => peerOf(this));
          const isStored = life > 0 && saved === null && isObject(sess);
          if (index !== undefined && !isLoaded && isStored) Loaded.note(sess, origin, key);
          return null;
        });
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
        const { lifetime, touchAfter, isTouchInBackground, index } = stateOf(this);
        const end = lifetime === undefined ? undefined : endOf(sess, lifetime);
        // At the call, also if it is not decided yet what carries it: later it would be an event.
        if (isTouchInBackground) stateOf(this).carrier.native.checkTimes(Date.now(), expires, ttl);
        // Known for one touch only: whatever follows in this request is sent.
        const until = touchAfter > 0 ? ReadUntil.take(sess) : undefined;
        /** @type {Call} */
        const call = ({ native }) => native.touch(sid, Date.now(), expires, ttl, end, until);
        const touched =
          index === undefined
            ? use(this, "touch", call)
            : index.after(this.prefix + sid, () => use(this, "touch", call));
        if (index !== undefined && !isTouchOff(this)) {
          index.touched(sid, sess, lifeOf(this, expires, ttl, end));
        }
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
      return answer(cb, () => {
        const { index } = stateOf(this);
        if (index !== undefined) return index.destroy(`${sid}`);
        return use(this, "destroy", ({ native }) => native.destroy(sid));
      });
    }

    /** @param {Callback} [cb] */
    clear(cb) {
      return answer(cb, async () => {
        const { index } = stateOf(this);
        const cleared = await scanned(this, "clear");
        await index?.cleared();
        return cleared;
      });
    }

    /** @param {Callback} [cb] */
    length(cb) {
      return answer(cb, () => scanned(this, "length"));
    }

    /** @param {Callback} [cb] */
    ids(cb) {
      return answer(cb, () => scanned(this, "ids"));
    }

    /** @param {Callback} [cb] */
    all(cb) {
      return answer(cb, () => {
        const { serializer } = this;
        const read = scanned(this, "all");
        /** @type {(id: string, error: any) => void} */
        const corrupt = (id, error) => nextTick(() => this.emit("corrupt", id, error));
        return serializer === JSON
          ? read
          : read.then((records) => parseAll(serializer, records, corrupt));
      });
    }

    /** @param {Callback} [cb] */
    rewrite(cb) {
      return answer(cb, () => scanned(this, "rewrite"));
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
      // An app may hold the session for long, such as that of a WebSocket.
      const base = key === undefined ? undefined : HandedOut.baseOf(sess)?.alone();
      const until = state.touchAfter > 0 ? ReadUntil.take(sess) : undefined;
      const cookie = soundCookie(sess.cookie, state.Cookie);
      if (cookie !== sess.cookie) sess.cookie = cookie;
      const created = super.createSession(req, sess);
      if (key !== undefined) Loaded.note(created, origin, key, base);
      if (until !== undefined) ReadUntil.note(created, until);
      if (key !== undefined) state.index?.note(created);
      return created;
    }

    /**
     * @param {string} sid
     * @param {(session: SessionData) => unknown} change
     * @returns {Promise<boolean>}
     */
    update(sid, change) {
      return answer(undefined, () => {
        const { limit, lifetime, index } = stateOf(this);
        /** @param {(native: NativeBackend) => Promise<any>} call */
        const make = async (call) => {
          const made = await use(this, "update", ({ native, isClient }) => {
            if (!isClient) return call(/** @type {NativeBackend} */ (native));
            throw carriedByClient("update");
          });
          tellConflict("update", made, () => peerOf(this));
          return made;
        };
        const updated = update(this, sid, change, { limit, lifetime, use: make, index });
        return counted(this, "update", updated);
      });
    }

    /**
     * @param {any} req
     * @param {{grace?: number} | Callback} [options]
     * @param {Callback} [cb]
     * @returns {Promise<any>}
     */
    rotate(req, options, cb) {
      if (typeof options === "function") return this.rotate(req, undefined, options);
      return answer(cb, () => {
        const { origin, index } = stateOf(this);
        const isStored = Loaded.is(req?.session, origin, this.prefix + req?.sessionID);
        const rotated = rotate(this, req, /** @type {{grace?: number}} */ (options), {
          isStored,
          index,
          use: (call) => use(this, "rotate", ({ native }) => call(native)),
        });
        return counted(this, "rotate", rotated);
      });
    }

    /**
     * @param {unknown} user
     * @param {Callback} [cb]
     */
    sessionsOf(user, cb) {
      return answer(cb, () =>
        counted(this, "sessionsOf", indexFor(this, "sessionsOf").sessionsOf(user)),
      );
    }

    /**
     * @param {unknown} user
     * @param {Callback} [cb]
     */
    countOf(user, cb) {
      return answer(cb, () => counted(this, "countOf", indexFor(this, "countOf").countOf(user)));
    }

    /**
     * @param {unknown} user
     * @param {{except?: string | string[] | null} | Callback} [options]
     * @param {Callback} [cb]
     * @returns {Promise<any>}
     */
    destroyAllOf(user, options, cb) {
      if (typeof options === "function") return this.destroyAllOf(user, undefined, options);
      return answer(cb, () =>
        counted(this, "destroyAllOf", indexFor(this, "destroyAllOf").destroyAllOf(user, options)),
      );
    }

    /** @param {Callback} [cb] */
    reindex(cb) {
      return answer(cb, () => counted(this, "reindex", indexFor(this, "reindex").reindex()));
    }

    metrics() {
      return readMetrics(this);
    }

    /** @param {Callback} [cb] */
    ping(cb) {
      return answer(cb, async () => {
        const began = performance.now();
        await scanned(this, "ping");
        return performance.now() - began;
      });
    }

    /** @param {Callback} [cb] */
    close(cb) {
      return answer(cb, async () => {
        const state = this[kState];
        state.isClosed = true;
        state.sealer?.close();
        state.calls?.close();
        state.index?.stop();
        await state.attachment?.detach(true);
        return state.carrier.native.close();
      });
    }

    get status() {
      const { carrier, direct, isClosed, statusOf } = this[kState];
      const { status } = carrier.native;
      if (!carrier.isClient || isClosed || status === "closed") return status;
      return direct?.own?.status ?? statusOf?.(this.client);
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
 * Saves a session by way of the index. It may be made later, when the app has set another prefix, so it
 * keeps the fields that the store has now.
 * @param {import("./store-backend.js").Store} store
 * @param {Call} call
 * @param {(save: () => Promise<any>) => Promise<any>} save
 */
function indexed(store, call, save) {
  const fields = fieldsOf(store);
  return save(() => use(store, "set", call, fields));
}

/**
 * What is kept beside a store's sessions; undefined if nothing is.
 * @param {import("./store-backend.js").Store} store
 * @param {State} state
 * @param {Record<string, any>} options the app's
 */
function sessionIndexOf(store, state, options) {
  const { user, maxSessions, events } = options;
  const isGiven = (/** @type {unknown} */ option) => option !== undefined && option !== null;
  if (!isGiven(user) && !isGiven(maxSessions) && !events) return undefined;
  // Only now: most stores have no index, and to load its room takes time.
  const { SessionIndex } = require("./session-index/session-index.js");
  const { INDEX_PREFIX } = require("./session-index/index-commands.js");
  return new SessionIndex(store, options, {
    use: (name, call) =>
      use(store, name, ({ native }) => call(/** @type {NativeBackend} */ (native))),
    useIndex: (name, call) =>
      use(store, name, (carrier) => call(indexOf(store, carrier, INDEX_PREFIX, name))),
    isClosed: () => state.isClosed,
    hasHandles: state.hasHandles,
    limit: state.limit,
    invalid,
  });
}

/**
 * The index of users, for a method that needs it.
 * @param {import("./store-backend.js").Store} store
 * @param {string} method
 */
function indexFor(store, method) {
  const { index } = stateOf(store);
  if (index === undefined) throw needsUser(method);
  return index;
}

/**
 * Milliseconds that a session has to live when it is saved; Infinity for ever.
 * @param {import("./store-backend.js").Store} store
 * @param {unknown} expires
 * @param {unknown} ttl
 * @param {number} [end]
 */
function lifeOf(store, expires, ttl, end) {
  const { native: backend } = stateOf(store).carrier;
  // Not the backend's fields: it gets those that the app has changed with its next call only.
  const disableTTL = Boolean(store.disableTTL);
  return planSave(backend.native, { disableTTL }, expires, ttl, Date.now(), end);
}

/**
 * Counts a call that is more than one of a backend.
 * @param {BaseStore} store
 * @param {string} name
 * @param {Promise<any>} made
 */
function counted(store, name, made) {
  return store[kState].counts.follow(OPERATIONS.indexOf(name), made);
}

/**
 * Makes a call that goes over the keyspace or to all servers, and counts it.
 * @param {BaseStore & import("./store-backend.js").Store} store
 * @param {"clear" | "length" | "ids" | "all" | "ping" | "rewrite"} name
 * @returns {Promise<any>}
 */
function scanned(store, name) {
  return counted(
    store,
    name,
    use(store, name, ({ native }) => native[name]()),
  );
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

/** @param {unknown} value */
function isObject(value) {
  return value !== null && typeof value === "object";
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
