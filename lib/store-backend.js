"use strict";

// Which backend carries a store's calls, and the fields it was sent: that of the store's own
// connection, that of the app's client, or that of a connection beside the client.

const { AsyncLocalStorage } = require("node:async_hooks");
const { answer } = require("./answer.js");
const { failure, invalid } = require("./errors.js");
const { MovingBackend, otherKeys } = require("./hashed-ids.js");
const { SKIPPED, followsCookie } = require("./lifetime.js");
const { Connection } = require("./native/connection.js");
const { defaults: DEFAULTS } = require("./addon/crossing.js");
const { isWatched, traced } = require("./observe/call-channel.js");
const { Counts, operationOf } = require("./observe/counts.js");
const { metricsOf } = require("./observe/metrics.js");
const { checkClient, checkTransport } = require("./options.js");
const { carriedByClient } = require("./own-connection.js");
const { checkSerializer } = require("./serializer.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { nextTick } = process;

/**
 * @typedef {import("./types.js").StoreFields} StoreFields
 * @typedef {import("./types.js").NativeFields} NativeFields
 * @typedef {InstanceType<typeof import("./native/native-backend.js").NativeBackend>} NativeBackend
 * @typedef {InstanceType<typeof import("./client/client-backend.js").ClientBackend>} ClientBackend
 * @typedef {InstanceType<typeof MovingBackend>} Moving
 * @typedef {InstanceType<typeof import("./client/client-calls.js").Calls>} Calls
 * @typedef {ReturnType<typeof import("./client/attach.js").attach>["attachment"]} Attachment
 * @typedef {InstanceType<typeof Connection> | "client"} DirectCarrier
 * @typedef {import("node:events").EventEmitter & StoreFields & {client: any, kState: State}} Store
 */

/**
 * @typedef {object} Carrier a backend, and what a store sent to it
 * @property {NativeBackend | ClientBackend | Moving} native
 * @property {StoreFields} sent the fields it was sent last
 * @property {(own: NativeFields) => NativeFields} fields what it is sent of a store's fields
 * @property {boolean} isClient
 * @property {boolean} isCounting whether it counts its calls itself, at less cost
 * @property {(prefix: string) => NativeBackend} [indexBackend] the backend of the keys of an index, with
 *   this prefix; an app's client has none
 */

/**
 * @typedef {object} State
 * @property {any} client the client that the store is attached to
 * @property {object} origin stands for the client in loaded-sessions.js
 * @property {import("./session-cookie.js").CookieClass} Cookie
 * @property {boolean} isClosed
 * @property {ReturnType<typeof AsyncLocalStorage.snapshot>} outside
 * @property {number} limit milliseconds that a call may take: commandTimeout
 * @property {number} touchAfter milliseconds
 * @property {(sid: string) => unknown} [fresh] `cache.fresh`
 * @property {import("./types.js").Comparison["how"]} [comparesBy] how saves compare
 * @property {number} [lifetime] milliseconds
 * @property {boolean} isTouchInBackground
 * @property {InstanceType<typeof import("./session-index/session-index.js").SessionIndex>} [index]
 * @property {import("./addon/addon.js").Sealer} [sealer]
 * @property {boolean} hasHandles whether keys hold a handle instead of the sid
 * @property {boolean} moves whether sessions at keys of the other kind are found and moved
 * @property {boolean} [readsBytes] whether the client can return bytes
 * @property {(isAway: boolean) => void} [away]
 * @property {Carrier} carrier
 * @property {import("./client/inspect.js").Inspected} [inspected]
 * @property {typeof import("./client/client-status.js").statusOf} [statusOf] tells the status of a client
 * @property {Calls} [calls]
 * @property {InstanceType<typeof import("./observe/counts.js").Counts>} counts
 * @property {Attachment} [attachment]
 * @property {Attachment["direct"]} [direct]
 * @property {Carrier & {connection: InstanceType<typeof Connection>}} [directBackend]
 */

/**
 * What a store keeps to itself: its backend (what carries its calls, and the fields it was sent last),
 * and with an app's client the calls that wait for it and the direct connection to its server.
 * To the type checks it is a name, since a symbol that a module exports loses its own type.
 * @type {"kState"}
 */
const kState = /** @type {any} */ (Symbol("state"));

/** The options by a store's state; not in it, since to print a store would print passwords. */
const optionsOf = new WeakMap();

/** Detaches a store from its client when the store has been collected. */
const abandoned = new FinalizationRegistry((/** @type {Attachment} */ attachment) =>
  attachment.detach(false),
);

/**
 * Makes a call of `store` through its backend. If that is not decided yet
 * (client/direct/direct-connection.js), the call is made when it is, with the fields and in the async
 * context that the store has now, unless its deadline has passed by then.
 * @param {Store} store
 * @param {string} name the method, for messages
 * @param {Call} call
 * @param {StoreFields} [given] fields to call it with, if not those that the store has now
 * @returns {Promise<any>}
 */
function use(store, name, call, given) {
  if (!isWatched()) return make(store, name, call, undefined, given);
  return traced(name, peerOf(store), SKIPPED, (message) => make(store, name, call, message, given));
}

/**
 * @typedef {(carrier: Carrier, message?: import("./observe/call-channel.js").Message) => Promise<any>} Call
 *   makes a call through a backend; the message is what its subscribers get, if there are any
 */

/**
 * @param {Store} store
 * @param {string} name
 * @param {Call} call
 * @param {import("./observe/call-channel.js").Message} [message]
 * @param {StoreFields} [given]
 * @returns {Promise<any>}
 */
function make(store, name, call, message, given) {
  const { carrier, direct, calls, isClosed, counts, origin } = stateOf(store);
  if (direct === undefined || isClosed) {
    return through(carrier, given ?? store, name, call, message, counts);
  }
  const current = direct.current();
  if (current !== undefined) {
    return through(backendFor(store, current), given ?? store, name, call, message, counts);
  }
  const fields = given ?? fieldsOf(store);
  const inContext = AsyncLocalStorage.snapshot();
  let isMade = false;
  const waited = /** @type {Calls} */ (calls).wait(name, (resolve, reject, isWaiting) => {
    direct.park((decided, error) => {
      const makeNow = () => {
        isMade = true;
        // If the store has another client by now, the one that it had carries the call.
        const hasOtherClient = store[kState].origin !== origin;
        const backend = hasOtherClient
          ? carrier
          : backendFor(store, /** @type {DirectCarrier} */ (decided));
        return through(backend, fields, name, call, message, counts);
      };
      if (error) reject(error);
      else if (isWaiting()) inContext(() => answer(undefined, makeNow).then(resolve, reject));
    });
  });
  return waited.catch((error) => {
    if (!isMade) counts.failed(operationOf(name), error);
    throw error;
  });
}

/**
 * Makes a call through a backend that has the store's fields, and counts it.
 * @param {Carrier} carrier
 * @param {Store | StoreFields} fields
 * @param {string} name
 * @param {Call} call
 * @param {import("./observe/call-channel.js").Message | undefined} message
 * @param {State["counts"]} counts
 */
function through(carrier, fields, name, call, message, counts) {
  let made;
  try {
    made = call(withFields(fields, carrier), message);
  } catch (error) {
    // The call cannot be made: it was given what cannot be stored, say.
    counts.failed(operationOf(name), error);
    throw error;
  }
  if (made === SKIPPED) counts.skippedTouch();
  else if (!carrier.isCounting) return counts.follow(operationOf(name), made);
  return made;
}

/**
 * Which server a store's calls go to, as far as that is known.
 * @param {Store} store
 */
function peerOf(store) {
  const { carrier, directBackend, inspected } = store[kState];
  if (!carrier.isClient) return nativesOf(carrier)[0].peer;
  return directBackend?.connection.batch.native.peer ?? inspected?.peer;
}

/**
 * What a store has counted: see index.d.ts.
 * @param {Store} store
 */
function readMetrics(store) {
  const { carrier, directBackend, calls, counts } = store[kState];
  const own = carrier.isClient ? directBackend : carrier;
  const backends = own === undefined ? [] : nativesOf(own);
  return metricsOf({ counts, backends, calls });
}

/**
 * The backends that a carrier over a connection of the store's own is made of.
 * @param {Pick<Carrier, "native">} carrier
 */
function nativesOf({ native }) {
  const parts = native instanceof MovingBackend ? [native.to, native.from] : [native];
  return /** @type {NativeBackend[]} */ (parts);
}

/**
 * Whether a call that is made now must wait until it is decided what carries it.
 * @param {Store} store
 */
function isHeld(store) {
  const { direct, isClosed } = stateOf(store);
  return direct !== undefined && !isClosed && direct.current() === undefined;
}

/**
 * What a store keeps, once it is attached to the client that it has now.
 * @param {Store} store
 */
function stateOf(store) {
  const state = store[kState];
  if (store.client !== state.client) state.outside(() => attachTo(store, state));
  return state;
}

/**
 * A backend over a connection of the store's own.
 * @param {Store} store
 * @param {Record<string, any>} options
 * @returns {Carrier}
 */
function openOwn(store, options) {
  const reference = new WeakRef(store);
  const first = firstFields(store, options);
  /** @type {(event: string, ...args: unknown[]) => void} */
  const onEvent = (event, ...args) => {
    const alive = reference.deref();
    if (alive === undefined) return;
    if (event in IS_AWAY) alive[kState].away?.(IS_AWAY[event]);
    if (event !== "failed") emitOutside(alive, event, ...args);
  };
  const connection = new Connection(options, nativeFields(first), onEvent);
  const terms = termsOf(store, options);
  const [native] = backendOver(connection, terms, nativeFields(first));
  const indexBackend = indexBackendOf(connection, terms);
  const isCounting = !terms.moves;
  const carrier = { native, sent: first, isClient: false, isCounting, indexBackend };
  return { ...carrier, fields: (own) => own };
}

/**
 * Makes the backend of an index when it is first used.
 * @param {InstanceType<typeof Connection>} connection
 * @param {ReturnType<typeof termsOf>} terms
 */
function indexBackendOf(connection, terms) {
  /** @type {NativeBackend | undefined} */
  let backend;
  return (/** @type {string} */ prefix) => {
    const fields = { prefix, json: true };
    if (backend === undefined) {
      // What is done to the index is a part of a call on a session.
      backend = connection.backend({ ...terms, cache: undefined, counts: new Counts(), fields });
    } else if (backend.fields.prefix !== prefix) backend.configure(fields);
    return backend;
  };
}

/**
 * The backend of a store's index.
 * @param {Store} store
 * @param {Carrier} carrier
 * @param {string} prefix what the keys of an index begin with
 * @param {string} name the method, for messages
 */
function indexOf(store, { indexBackend, fields }, prefix, name) {
  if (indexBackend === undefined) throw carriedByClient(name);
  // Before that of the sessions, but after what a client puts before all keys.
  const own = /** @type {NativeFields} */ ({
    prefix: `${prefix}${store.prefix}`,
    json: true,
  });
  return indexBackend(fields(own).prefix);
}

/**
 * The backend of a store over a connection, and as whom it makes its calls there.
 * @param {InstanceType<typeof Connection>} connection
 * @param {ReturnType<typeof termsOf>} terms
 * @param {NativeFields} fields
 * @returns {[backend: NativeBackend | Moving, callers: NativeBackend["caller"][]]}
 */
function backendOver(connection, terms, fields) {
  const counts = terms.moves ? new Counts() : terms.counts;
  const native = connection.backend({ ...terms, counts, fields });
  if (!terms.moves) return [native, [native.caller]];
  // A session that is found there is moved, so a copy would not last.
  const other = connection.backend({
    ...terms,
    cache: undefined,
    counts,
    fields: otherKeys(fields),
  });
  return [new MovingBackend(native, other), [native.caller, other.caller]];
}

/**
 * What an event says of Redis.
 * @type {Record<string, boolean>}
 */
const IS_AWAY = { ready: false, failed: true, reconnecting: true, end: true };

/**
 * Returns the backend that was decided on: the client's, or that of a connection beside the client.
 * @param {Store} store
 * @param {DirectCarrier} connection
 */
function backendFor(store, connection) {
  const state = store[kState];
  if (!(connection instanceof Connection)) return state.carrier;
  if (state.directBackend?.connection !== connection) {
    const options = optionsOf.get(state);
    const { keyPrefix } = /** @type {import("./client/inspect.js").Inspected} */ (state.inspected);
    const first = firstFields(store, options);
    /** @type {(own: NativeFields) => NativeFields} */
    const fields = (own) => ({
      ...own,
      prefix: keyPrefix + own.prefix,
      // What is written here, the client must be able to read.
      sealsInLetters: !state.readsBytes,
    });
    const terms = termsOf(store, options);
    const [native, callers] = backendOver(connection, terms, fields(nativeFields(first)));
    const indexBackend = indexBackendOf(connection, terms);
    /** @type {Attachment} */ (state.attachment).uses(connection, callers);
    state.directBackend = {
      connection,
      native,
      sent: first,
      fields,
      isClient: false,
      isCounting: !terms.moves,
      indexBackend,
    };
  }
  return state.directBackend;
}

/**
 * Attaches a store to the client that it has now.
 * @param {Store} store
 * @param {State} state
 */
function attachTo(store, state) {
  const { client } = store;
  const options = optionsOf.get(state);
  const transport = checkTransport({ ...options, client }, invalid);
  const reference = new WeakRef(store);
  /** @type {(event: string) => void} */
  const emit = (event) => {
    const alive = reference.deref();
    // The end of a client that the store does not use any more is not the end of the store.
    if (alive === undefined || (event === "end" && !alive[kState].isClosed)) return;
    nextTick(() => emitOutside(alive, event));
  };
  /** @type {(isAway: boolean) => void} */
  const away = (isAway) => {
    const alive = reference.deref()?.[kState];
    alive?.outside(() => nextTick(() => alive.away?.(isAway)));
  };
  const first = firstFields(store, options);
  // Only now: most stores have no client, and to load its room takes a fifth of the package's time.
  const { attach } = require("./client/attach.js");
  // What was loaded by the client before was loaded elsewhere.
  const origin = {};
  const attached = attach(checkClient({ client }, invalid), {
    options,
    transport,
    terms: termsOf(store, options, origin),
    first: nativeFields(first),
    emit,
    away,
  });
  // Calls in flight with the client before are finished.
  state.attachment?.detach(false);
  state.carrier?.native.retire();
  const { clientBackend, inspected, statusOf, readsBytes, calls, attachment } = attached;
  const { direct } = attachment;
  const carrier = { ...clientBackend, sent: first, isClient: true, isCounting: false };
  Object.assign(state, { client, origin, carrier, inspected, statusOf, readsBytes, calls });
  Object.assign(state, { attachment, direct });
  state.directBackend = undefined;
  abandoned.register(store, attachment);
}

/**
 * What a store's calls need beside its fields. Nothing in it holds the store.
 * @param {Store} store
 * @param {Record<string, any>} options
 * @param {object} [origin] stands for the client that they go beside
 */
function termsOf(store, options, origin = store[kState].origin) {
  const reference = new WeakRef(store);
  return {
    bounds: boundsOf(options),
    resurrect: options.resurrect ?? false,
    counts: store[kState].counts,
    moves: store[kState].moves,
    cache: options.cache || undefined,
    /**
     * @param {string} sid
     * @param {Error} error
     */
    corrupt(sid, error) {
      const alive = reference.deref();
      if (alive !== undefined) nextTick(() => alive.emit("corrupt", sid, error));
    },
    /**
     * @param {string} name
     * @param {unknown[]} call
     * @returns {Promise<any>}
     */
    again(name, ...call) {
      const alive = reference.deref();
      if (alive === undefined) throw failure(`${name}: the store is gone`, "ECLOSED");
      const { carrier, origin: present } = alive[kState];
      if (present !== origin) {
        const lost = `${name}: the connection to Redis was lost, and the store has another client by now`;
        throw failure(lost, "ECONNRESET");
      }
      if (name === "move") {
        return /** @type {Moving} */ (withFields(alive, carrier).native).move(
          /** @type {string} */ (call[0]),
        );
      }
      return call.length === 0
        ? withFields(alive, carrier).native[
            /** @type {"clear" | "length" | "ids" | "all" | "rewrite"} */ (name)
          ]()
        : /** @type {any} */ (carrier.native).again(name, ...call);
    },
  };
}

/**
 * What may wait, by the options, which src/napi/options/config.rs checks.
 * @param {Record<string, any>} options
 * @returns {import("./client/client-calls.js").Bounds}
 */
function boundsOf({
  commandTimeout,
  onUnavailable,
  commandsQueueMaxLength,
  commandsQueueMaxBytes,
}) {
  return {
    limit: commandTimeout ?? DEFAULTS.commandTimeout,
    length: commandsQueueMaxLength ?? DEFAULTS.commandsQueueMaxLength,
    bytes: commandsQueueMaxBytes ?? DEFAULTS.commandsQueueMaxBytes,
    failFast: Boolean(onUnavailable),
  };
}

/**
 * Emits an event that no call causes.
 * @param {Store} store
 * @param {[name: string, ...args: unknown[]]} event
 */
function emitOutside(store, ...event) {
  store[kState].outside(() => store.emit(...event));
}

/**
 * Returns a backend that has the fields that the app has changed meanwhile.
 * @param {Store | StoreFields} store
 * @param {Carrier} carrier
 */
function withFields(store, carrier) {
  const { sent } = carrier;
  if (
    store.prefix !== sent.prefix ||
    store.scanCount !== sent.scanCount ||
    store.serializer !== sent.serializer ||
    typeof store.ttl !== typeof sent.ttl ||
    store.disableTTL !== sent.disableTTL ||
    store.disableTouch !== sent.disableTouch ||
    keptOf(store).hasHandles !== sent.hasHandles
  ) {
    const fields = fieldsOf(store);
    checkSerializer(fields.serializer, invalid);
    const scanCountSet = sent.scanCountSet || fields.scanCount !== sent.scanCount;
    // Whatever an app sets later counts as it does in connect-redis, so that a slip in one field
    // does not stop the calls that do not need it. The ttl is checked when it is used.
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

/**
 * The fields a store has when a backend is made for it. While nobody has set `scanCount`, it is ours.
 * @param {Store} store
 * @param {Record<string, any>} options
 */
function firstFields(store, options) {
  return { ...fieldsOf(store), scanCountSet: Boolean(options.scanCount) };
}

/**
 * The fields as src/napi/options/settings.rs reads them.
 * @param {StoreFields} fields
 * @returns {NativeFields}
 */
function nativeFields({ serializer, scanCount, scanCountSet, ...fields }) {
  return {
    ...fields,
    followsCookie: followsCookie(fields),
    readsExpiry: /** @type {number} */ (fields.touchAfter) > 0,
    keepsBase: fields.comparesBy !== undefined,
    json: serializer === JSON,
    scanCount: scanCountSet ? scanCount : undefined,
  };
}

/**
 * The fields of a store, or of a copy that was made here before. `touchAfter` is in milliseconds.
 * @param {StoreFields & {kState?: State}} store
 * @returns {StoreFields}
 */
function fieldsOf(store) {
  const { prefix, scanCount, serializer, ttl, disableTTL, disableTouch } = store;
  const { touchAfter, comparesBy, sealer, hasHandles } = keptOf(store);
  const kept = { touchAfter, comparesBy, sealer, hasHandles };
  return { prefix, scanCount, serializer, ttl, disableTTL, disableTouch, ...kept };
}

/**
 * Where a store, or a copy of its fields, keeps those that an app cannot change.
 * @param {StoreFields & {kState?: State}} store
 */
function keptOf(store) {
  return store[kState] ?? store;
}

module.exports = {
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
};
