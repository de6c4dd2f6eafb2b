"use strict";

// The face of the native RedisStore (src/store.rs): it makes it an express-session Store, keeps
// connect-redis's public fields, hands answers to callbacks, and calls an app's own serializer and
// its client (client/).

const { setImmediate } = require("node:timers");
const session = require("express-session");
const { RedisStore: Native } = require("./addon.js");
const { skipWhileAway } = require("./availability.js");
const { Batches, Waiting } = require("./batches.js");
const { attach, checkTransport } = require("./client/attach.js");
const { statusOf } = require("./client/presence.js");
const { checkSerializer, parseAll, parseOne } = require("./serializer.js");
const { checkServers } = require("./servers.js");
const { checkTls } = require("./tls.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later, and the
// store's own work must go on.
const { nextTick } = process;

/**
 * What a store keeps to itself: its link (a native object, and the fields it was told last), for
 * each session that express-session has loaded the sid it was loaded from, and with an app's client
 * the calls that wait for it and the adoption of its server.
 */
const kState = Symbol("state");

/** The options by a store's state; not in it, as whoever prints a store would print passwords. */
const optionsOf = new WeakMap();

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
    const warning = Native.warning(Object.keys(options));
    checkTransport(options, invalid);
    checkServers(options, invalid);
    checkTls(options.tls, invalid);
    checkTls(options.sentinel?.tls, invalid);
    const client = checkClient(options);
    const state = { client: this.client, loaded: new WeakMap(), handed: undefined };
    if (options.onUnavailable === "skip") state.away = skipWhileAway(this);
    optionsOf.set(state, options);
    if (client === undefined) state.link = opener(this, options)({});
    else attachTo(this, state);
    Object.defineProperty(this, kState, { value: state });
    if (warning) process.emitWarning(warning, { code: "CONNECT_REDIS_RS_OPTION" });
  }

  get(sid, cb) {
    return answer(cb && handing(this[kState], sid, cb), () => {
      const { serializer } = this;
      return use(this, "get", ({ native, isByClient }) => {
        const read = native.get(sid, serializer);
        return serializer === JSON || isByClient
          ? read
          : read.then((record) => parseOne(serializer, record));
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
      const from = this[kState].loaded.get(sess);
      const loaded = from !== undefined && from === sid;
      const stored = use(this, "set", ({ native }) =>
        native.set(sid, payload, Date.now(), expires, ttl, loaded),
      );
      return loaded ? stored.then((done) => announce(this, sid, done)) : stored;
    });
  }

  touch(sid, sess, cb) {
    return answer(cb, () => {
      // Not asked for times it does not use: a ttl function may throw.
      const [expires, ttl] = this.disableTouch || this.disableTTL ? [] : timesOf(this, sess);
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
    return answer(cb, async () => {
      const { link, calls, adoption } = this[kState];
      calls?.close();
      await adoption?.close();
      return link.native.close();
    });
  }

  get status() {
    const { link, adoption } = this[kState];
    const { status } = link.native;
    if (!link.isByClient || status === "closed") return status;
    return adoption?.own?.native.status ?? statusOf(this.client);
  }

  get transport() {
    const { link, adoption } = this[kState];
    return adoption?.transport ?? (link.isByClient ? "client" : "native");
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

/**
 * Makes a call of `store`, with the link that is to carry it (client/adoption.js). Where it is not
 * known yet which that is, the call is made when it is, with the fields the store has now, unless
 * its time is over by then.
 */
function use(store, name, call) {
  const { link, adoption, calls } = stateOf(store);
  const current = adoption === undefined ? link : adoption.current();
  if (current !== undefined) return call(told(store, current));
  const fields = fieldsOf(store);
  return calls.wait(name, (resolve, reject, isWaiting) => {
    adoption.hold((decided, error) => {
      if (error) reject(error);
      else if (isWaiting())
        answer(undefined, () => call(told(fields, decided))).then(resolve, reject);
    });
  });
}

/** Whether a call that is made now has to wait until it is known what carries it. */
function isHeld(store) {
  const { adoption } = stateOf(store);
  return adoption !== undefined && adoption.current() === undefined;
}

/** What a store keeps, once it is attached to the client that it has now. */
function stateOf(store) {
  const state = store[kState];
  if (store.client !== state.client) attachTo(store, state);
  return state;
}

/** Attaches a store to the client that it has now. */
function attachTo(store, state) {
  const { client } = store;
  const options = optionsOf.get(state);
  const open = opener(store, options);
  const transport = checkTransport({ ...options, client }, invalid);
  const reference = new WeakRef(store);
  const emit = (event) => nextTick(() => reference.deref()?.emit(event));
  const away = (isAway) => nextTick(() => reference.deref()?.[kState].away?.(isAway));
  const own = { transport, bounds: boundsOf(options), resurrect: options.resurrect ?? false };
  const means = { ...own, open, emit, away, invalid, failure };
  const { byClient, calls, adoption } = attach(checkClient({ client }), means);
  // What is under way with the one before is finished.
  state.adoption?.close();
  state.link?.native.retire();
  Object.assign(state, { client, link: byClient, calls, adoption });
}

/** What may wait, by the options, which src/options.rs checks. */
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

/** A link, told first of the fields of the store that the app has changed since. */
function told(store, link) {
  const { told } = link;
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
    link.native.configure(link.fields(nativeFields(lenient)));
    link.told = { ...fields, scanCountSet };
  }
  return link;
}

/** A function that makes native objects for `store`, with the fields it has now. */
function opener(store, options) {
  const first = { ...fieldsOf(store), scanCountSet: Boolean(options.scanCount) };
  const reference = new WeakRef(store);
  /**
   * @param {object} how
   * @param {object} [how.to] where the commands go; see src/options.rs
   * @param {(fields: object) => object} [how.fields] what the fields are to this link
   * @param {boolean} [how.isAdopted] whether it follows an app's client
   */
  return ({ to, fields = (own) => own, isAdopted = false }) => {
    const link = { first: nativeFields(first), told: first, fields, isByClient: false };
    let settle;
    link.connected = new Promise((resolve) => {
      settle = resolve;
    });
    // The native side holds what it is lent: the link weakly, or neither could ever go.
    const hear = hearing(reference, new WeakRef(link), isAdopted, settle);
    const again = (name, ...call) => {
      const alive = reference.deref();
      if (alive === undefined) throw failure(`${name}: the store is gone`, "ECLOSED");
      return alive[kState].link.native.again(name, ...call);
    };
    const corrupt = (...record) => nextTick(() => hear("corrupt", ...record));
    const waiting = new Waiting({ failure, corrupt, again });
    const own = fields(link.first);
    link.native = new Batches(new Native(options, own, lend(hear, waiting), to), {
      waiting,
      bounds: boundsOf(options),
      resurrect: options.resurrect ?? false,
      fields: own,
    });
    return link;
  };
}

/** What an event says of Redis. */
const IS_AWAY = { ready: false, failed: true, reconnecting: true, end: true };

/** What hears the events of a link's native object and has the store emit them. */
function hearing(storeReference, linkReference, isAdopted, settle) {
  return (event, ...args) => {
    if (event === "ready") settle(undefined);
    if (event === "failed") settle(args[0]);
    const store = storeReference.deref();
    if (store === undefined) return;
    if (!isAdopted && event in IS_AWAY) store[kState].away?.(IS_AWAY[event]);
    if (event === "failed") return;
    if (isAdopted) {
      const { adoption } = store[kState];
      const link = linkReference.deref();
      if (event === "reconnecting") adoption?.lost(link);
      if (event === "end") adoption?.ended(link);
      // A link that comes and goes with a client is not the end of the store, and it is ready when
      // the adoption says so.
      if (event === "end" || event === "ready") return;
    }
    store.emit(event, ...args);
  };
}

/** The options that say where Redis is. */
const SERVERS = ["url", "cluster", "sentinel"];

/** The option `client`, where there is one to use. */
function checkClient(options) {
  const { client } = options;
  const server = SERVERS.find((name) => options[name] !== undefined && options[name] !== null);
  if (client === undefined || client === null) {
    if ("client" in options && server === undefined) {
      // Not localhost: an app that gives a client has another server in mind.
      throw invalid(`RedisStore: the option client is ${client}; leave it out for localhost:6379`);
    }
    return undefined;
  }
  if (typeof client !== "object" && typeof client !== "function") {
    throw invalid(
      `RedisStore: the option client must be a Redis client, got a ${typeof client}; a server is given as url`,
    );
  }
  if (server !== undefined) {
    throw invalid(`RedisStore: give a client or a ${server}, not both`);
  }
  return client;
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

/** What the native side borrows (src/host.rs): `hear` gets its events, `waiting` its answers. */
function lend(hear, waiting) {
  const { answers, findings } = waiting;
  return {
    answers,
    settle: (count, text, others) => waiting.settle(count, text, others),
    fail: (id, error) => waiting.fail(id, error),
    giveBack: (id, left, ...command) => waiting.giveBack(id, left, ...command),
    collect: (number, ids, text, others) => findings.collect(number, ids, text, others),
    swept: (number, count) => findings.swept(number, count),
    failSweep: (number, error) => findings.fail(number, error),
    corrupt: (sid, error) => findings.corrupt(sid, error),
    end: () => waiting.end(),
    date: (value) => Number(new Date(value)),
    error: (isInvalidArgument, message, code, cause) =>
      isInvalidArgument ? invalid(message) : failure(message, code, cause),
    emit: (...event) => nextTick(() => hear(...event)),
    later: setImmediate,
  };
}

function invalid(message) {
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}

function failure(message, code, cause) {
  const error = typeof cause === "string" ? new Error(cause) : cause;
  const options = error === undefined ? undefined : { cause: error };
  return Object.assign(new RedisStoreError(message, options), { code });
}

module.exports = RedisStore;
module.exports.RedisStore = RedisStore;
module.exports.RedisStoreError = RedisStoreError;
module.exports.default = RedisStore;
