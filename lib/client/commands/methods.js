"use strict";

// Which methods a client has, and what more than one dialect needs of them.

const { isProxy } = require("node:util").types;
const { homeOf } = require("../inspect/overrides.js");

/**
 * Whether a method is the library's own, and not one that an app has put in its place.
 * @param {import("../../types.js").AnyClient} client
 * @param {string} name
 */
function isOwn(client, name) {
  return !isProxy(client) && homeOf(client, name) === homeOf(client, "dump");
}

/**
 * What deletes many keys: UNLINK, but DEL if that is the client's own and UNLINK is not.
 * @param {import("../../types.js").AnyClient} client
 */
function nameOfUnlink(client) {
  const hasBoth = typeof client.unlink === "function" && !isProxy(client);
  return hasBoth && homeOf(client, "unlink") === homeOf(client, "del") ? "unlink" : "del";
}

/**
 * The clients of a cluster's masters; of anything else, the client itself.
 * @param {import("../../types.js").AnyClient} client
 */
async function* mastersOf(client) {
  if (!("masters" in client)) {
    yield client;
    return;
  }
  for (const master of client.masters) yield await client.nodeClient(master);
}

/**
 * A method of a client; that it is missing is said as V8 says it.
 * @param {import("../../types.js").AnyClient} client
 * @param {string} name
 * @returns {(...args: any[]) => any}
 */
function methodOf(client, name) {
  if (typeof client[name] === "function") return client[name];
  throw new TypeError(`client.${name} is not a function`);
}

/**
 * Whether a client has a command under the second name alone.
 * @param {import("../../types.js").AnyClient} client
 * @param {string} name
 * @param {string} other
 */
function isMissing(client, name, other) {
  return typeof client[name] !== "function" && typeof client[other] === "function";
}

/**
 * node-redis 4 iterates over keys, 5 and 6 over arrays of keys.
 * @param {AsyncIterable<string | string[]>} keys
 */
async function* inLots(keys) {
  const LOT = 1000;
  /** @type {string[]} */
  let lot = [];
  for await (const some of keys) {
    if (Array.isArray(some)) yield some;
    else if (lot.push(some) === LOT) {
      yield lot;
      lot = [];
    }
  }
  if (lot.length > 0) yield lot;
}

module.exports = { inLots, isMissing, isOwn, mastersOf, methodOf, nameOfUnlink };
