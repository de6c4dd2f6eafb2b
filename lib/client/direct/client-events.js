"use strict";

// Tells the direct connections beside a client when it comes, goes, and moves.

const { isReady, relayOf } = require("../client-status.js");

/** Methods by which a client moves to another database or user, or ends. */
const MOVES = ["select", "auth", "hello", "reset"].flatMap((name) => [name, name.toUpperCase()]);
const ENDS = ["close", "destroy", "disconnect", "quit", "QUIT", "end"];

/**
 * @typedef {object} Follower a direct connection
 * @property {boolean} isClosed
 * @property {(event: string) => void} onClientEvent
 */

/**
 * The direct connections that follow each client. One listener per client serves them all.
 * @type {WeakMap<object, Set<WeakRef<Follower>>>}
 */
const followers = new WeakMap();

/**
 * Calls `onClientEvent` of a direct connection for events of a client: `ready`, `end`, `moving` before it moves or ends, `moved` after.
 * @param {import("../../types.js").AnyClient} client
 * @param {Follower} direct
 * @returns {() => void} what ends it
 */
function follow(client, direct) {
  let directConnections = followers.get(client);
  if (directConnections === undefined) {
    directConnections = new Set();
    followers.set(client, directConnections);
    listen(client, directConnections);
  }
  // Weakly, so that a store nobody has any more can go.
  const reference = new WeakRef(direct);
  directConnections.add(reference);
  return () => directConnections.delete(reference);
}

/**
 * @param {import("../../types.js").AnyClient} client
 * @param {Set<WeakRef<Follower>>} directConnections
 */
function listen(client, directConnections) {
  /** @param {string} event */
  const push = (event) => {
    for (const reference of directConnections) {
      const direct = reference.deref();
      if (direct === undefined || direct.isClosed) directConnections.delete(reference);
      else direct.onClientEvent(event);
    }
  };
  const relay = relayOf(client);
  for (const [event, meaning] of [
    ["ready", "ready"],
    ["end", "end"],
    ["terminated", "end"],
    ["select", "moved"],
  ]) {
    relay.on(event, () => push(meaning));
  }
  // Neither library says when it is moved, nor in time that it is closed: the calls say so.
  // (ioredis also calls them itself, to log in, before it is ready.)
  /** @param {string} event */
  const whenReady = (event) => () => {
    if (isReady(client)) push(event);
  };
  for (const name of MOVES) announce(client, name, whenReady("moving"), whenReady("moved"));
  // ioredis takes no notice of these by `call` under a name in capitals.
  /** @param {unknown[]} args */
  const isMove = ([name]) => MOVES.includes(String(name).toLowerCase());
  for (const name of ["call", "callBuffer"]) {
    announce(client, name, whenReady("moving"), whenReady("moved"), isMove);
  }
  for (const name of ENDS) announce(client, name, () => push("moving"));
}

/**
 * Has `before` and `after` called around a method of a client, for the arguments that count.
 * @param {import("../../types.js").AnyClient} client
 * @param {string} name
 * @param {() => void} before
 * @param {() => void} [after]
 * @param {(args: unknown[]) => boolean} [counts]
 */
function announce(client, name, before, after = () => {}, counts = (_args) => true) {
  const method = client[name];
  if (typeof method !== "function") return;
  const own = Object.getOwnPropertyDescriptor(client, name);
  Object.defineProperty(client, name, {
    configurable: true,
    writable: true,
    enumerable: own?.enumerable ?? false,
    /** @param {...unknown} args */
    value(...args) {
      if (!counts(args)) return method.apply(this, args);
      before();
      const returned = method.apply(this, args);
      after();
      return returned;
    },
  });
}

module.exports = { follow };
