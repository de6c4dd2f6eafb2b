"use strict";

// Whether an app's client has its connection.

const { EventEmitter, errorMonitor } = require("node:events");
const { isProxy } = require("node:util").types;

/** @typedef {import("../addon/addon.js").NativeStore["status"]} Status */

/** What clients tell of their connections. */
const EVENTS = ["ready", "end", "terminated", "close", "reconnecting", "select"];

/**
 * The last error of each client that is listened to, and which have been ready.
 * @type {WeakMap<object, any>}
 */
const troubles = new WeakMap();
/** @type {WeakSet<object>} */
const readied = new WeakSet();

/**
 * Relays the events of each client: a client warns if it has many listeners.
 * @type {WeakMap<object, EventEmitter>}
 */
const relays = new WeakMap();

/**
 * Returns an emitter of a client's events, which stays silent if the client has none.
 * @param {import("../types.js").AnyClient} client
 * @returns {EventEmitter}
 */
function relayOf(client) {
  let relay = relays.get(client);
  if (relay === undefined) {
    relay = new EventEmitter().setMaxListeners(0);
    relays.set(client, relay);
    if (!isProxy(client) && typeof client.on === "function") listen(client, relay);
  }
  return relay;
}

/**
 * @param {import("../types.js").AnyClient} client
 * @param {EventEmitter} relay
 */
function listen(client, relay) {
  if (isReady(client)) readied.add(client);
  client.on("ready", () => readied.add(client));
  for (const event of EVENTS) client.on(event, () => relay.emit(event));
  // Watched without a listener: an app without one must learn of an error as it would without us.
  client.on(errorMonitor, (/** @type {any} */ error) => {
    troubles.set(client, error);
    relay.emit("trouble");
  });
}

/**
 * @param {import("../types.js").AnyClient} client
 * @returns {boolean}
 */
function isReady(client) {
  if (client.isReady === undefined && typeof client.isOpen === "boolean") {
    return client.isOpen; // A cluster of node-redis 5 does not say.
  }
  return client.isReady === true || client.status === "ready";
}

/**
 * Whether a client has been closed, or has given up. One that was never opened may still open.
 * @param {import("../types.js").AnyClient} client
 * @returns {boolean}
 */
function isEnded(client) {
  return typeof client.isOpen === "boolean" ? !client.isOpen : client.status === "end";
}

/**
 * Whether a client that is listened to has been ready before.
 * @param {import("../types.js").AnyClient} client
 */
function hasBeenReady(client) {
  return readied.has(client);
}

/**
 * What keeps a client from being ready, if it has emitted that.
 * @param {import("../types.js").AnyClient} client
 */
function troubleOf(client) {
  return isReady(client) ? undefined : troubles.get(client);
}

/**
 * ioredis's states, in the store's words.
 * @type {Record<string, Status>}
 */
const STATES_OF_IOREDIS = {
  wait: "connecting",
  connecting: "connecting",
  connect: "connecting",
  reconnecting: "reconnecting",
  close: "reconnecting",
  end: "closed",
};

/**
 * The status of a client's connection, in the store's words; `ready` if it has none.
 * @param {import("../types.js").AnyClient} client
 * @returns {Status}
 */
function statusOf(client) {
  if (isProxy(client)) return "ready"; // It may not bear to be looked at.
  const { isOpen, isReady, status } = client;
  if (typeof isOpen === "boolean") {
    if (!isOpen) return "closed";
    if (isReady !== false) return "ready";
    return hasBeenReady(client) ? "reconnecting" : "connecting";
  }
  return STATES_OF_IOREDIS[status] ?? "ready";
}

/**
 * Whether a client is known to have no connection.
 * @param {import("../types.js").AnyClient} client
 */
function isAway(client) {
  const status = statusOf(client);
  return status === "reconnecting" || (status === "connecting" && troubleOf(client) !== undefined);
}

/**
 * Waits until a client is ready; true if it has ended instead. One that opens with
 * its first command (ioredis's lazyConnect) is ready for that.
 * @param {import("../types.js").AnyClient} client
 * @returns {Promise<boolean>}
 */
function untilReady(client) {
  return new Promise((resolve) => {
    const relay = relayOf(client);
    const look = () => {
      if (!isReady(client) && client.status !== "wait" && !isEnded(client)) return;
      relay.off("ready", look);
      relay.off("end", look);
      relay.off("terminated", look);
      resolve(isEnded(client));
    };
    relay.on("ready", look);
    relay.on("end", look);
    relay.on("terminated", look);
    look();
  });
}

/**
 * Calls `tell(isAway)` whenever a client may have lost its connection, or have it again.
 * @param {import("../types.js").AnyClient} client
 * @param {(isAway: boolean) => void} tell
 * @returns {() => void} what ends it
 */
function watch(client, tell) {
  const relay = relayOf(client);
  const look = () => tell(isAway(client) || statusOf(client) === "closed");
  const events = [...EVENTS, "trouble"];
  for (const event of events) relay.on(event, look);
  return () => {
    for (const event of events) relay.off(event, look);
  };
}

module.exports = {
  isAway,
  isEnded,
  isReady,
  relayOf,
  statusOf,
  troubleOf,
  untilReady,
  watch,
};
