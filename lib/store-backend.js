"use strict";

// Which backend carries a store's calls, and the fields it was sent: that of the store's own
// connection, that of the app's client, or that of a connection beside the client.

const { AsyncLocalStorage } = require("node:async_hooks");
const { answer } = require("./answer.js");
const { attach, checkTransport } = require("./client/attach.js");
const { failure, invalid } = require("./errors.js");
const { followsCookie } = require("./lifetime.js");
const { Connection } = require("./native/connection.js");
const { defaults: DEFAULTS } = require("./native/crossing.js");
const { checkClient } = require("./options.js");
const { checkSerializer } = require("./serializer.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { nextTick } = process;

/**
 * What a store keeps to itself: its backend (what carries its calls, and the fields it was sent last),
 * and with an app's client the calls that wait for it and the direct connection to its server.
 */
const kState = /** @type {any} */ (Symbol("state"));

/** The options by a store's state; not in it, since to print a store would print passwords. */
const optionsOf = new WeakMap();

/** Detaches a store from its client when the store has been collected. */
const abandoned = new FinalizationRegistry((attachment) => attachment.detach(false));

/**
 * Makes a call of `store` through its backend. If that is not decided yet
 * (client/direct/direct-connection.js), the call is made when it is, with the fields and in the async
 * context that the store has now, unless its deadline has passed by then.
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

/** Whether a call that is made now must wait until it is decided what carries it. */
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

/** Returns the backend that was decided on: the client's, or that of a connection beside the client. */
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
  const transport = checkTransport({ ...options, client });
  const reference = new WeakRef(store);
  const emit = (event) => {
    const alive = reference.deref();
    // The end of a client that the store does not use any more is not the end of the store.
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
  // Calls in flight with the client before are finished.
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

/** What may wait, by the options, which src/napi/options/config.rs checks. */
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

/** Emits an event that no call causes. */
function emitOutside(store, ...event) {
  store[kState].outside(() => store.emit(...event));
}

/** Returns a backend that has the fields that the app has changed meanwhile. */
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

/** The fields a store has when a backend is made for it. While nobody has set `scanCount`, it is ours. */
function firstFields(store, options) {
  return { ...fieldsOf(store), scanCountSet: Boolean(options.scanCount) };
}

/** The fields as src/napi/options/settings.rs reads them. */
function nativeFields({ serializer, scanCount, scanCountSet, ...fields }) {
  return {
    ...fields,
    followsCookie: followsCookie(fields),
    readsExpiry: fields.touchAfter > 0,
    json: serializer === JSON,
    scanCount: scanCountSet ? scanCount : undefined,
  };
}

/** The fields of a store, or of a copy that was made here before. `touchAfter` is in milliseconds. */
function fieldsOf(store) {
  const { prefix, scanCount, serializer, ttl, disableTTL, disableTouch } = store;
  const { touchAfter } = store[kState] ?? store;
  return { prefix, scanCount, serializer, ttl, disableTTL, disableTouch, touchAfter };
}

module.exports = { attachTo, isHeld, kState, openOwn, optionsOf, stateOf, use };
