"use strict";

// Inspects an app's Redis client: what it is, and which server it talks to. The facts are from the
// sources of node-redis 4, 5, 6 and ioredis 5, 6.

const { inspectIoredis } = require("./inspect/ioredis.js");
const { inspectNodeRedis, inspectNodeRedis4 } = require("./inspect/node-redis.js");

/**
 * @typedef {object} Inspected what a client was found to be
 * @property {"node-redis 4" | "node-redis" | "ioredis" | "callbacks" | "by its answers" |
 *   "connect-redis" | "connect-redis with node-redis 4" | undefined} dialect how it takes commands; see client-commands.js.
 *   Undefined if nothing tells: then no session is stored, as it might never expire
 * @property {"node-redis" | "ioredis"} [library] what it is for tracers
 * @property {string} name what messages call it
 * @property {boolean} isCluster whether a command on several keys has to be taken apart
 * @property {string} keyPrefix what it puts before every key by itself
 * @property {string} [why] why the store cannot have a connection of its own beside it
 * @property {string} [at] the server's address, for messages
 * @property {{host: string, port?: number, database?: number}} [peer] the same, for those who watch the
 *   calls
 * @property {() => Promise<Server>} [server] which server it talks to, if all of that can be read
 */

/**
 * @typedef {object} Server where a client is connected to, and as whom
 * @property {string} [host]
 * @property {number} [port]
 * @property {string} [path] of a Unix socket, instead of host and port
 * @property {object[]} [cluster] the nodes it starts from, instead of all these
 * @property {{name: string, nodes: object[], username?: string, password?: string, tls?: object}} [sentinel]
 *   likewise
 * @property {string} [username]
 * @property {string} [password]
 * @property {number} [database] not of a cluster, which has one only
 * @property {string} [name] the connection's name
 * @property {number} [family] 4 or 6, if a name must be looked up so
 * @property {object} [tls] Node's options, if it speaks TLS
 */

/**
 * The dialects that the option `clientType` names.
 * @type {Record<string, Inspected["dialect"]>}
 */
const CLIENT_TYPES = {
  "node-redis": "connect-redis",
  "node-redis-4": "connect-redis with node-redis 4",
  ioredis: "ioredis",
  callbacks: "callbacks",
};
exports.CLIENT_TYPES = Object.keys(CLIENT_TYPES);

/**
 * @param {import("../types.js").AnyClient} client
 * @param {string} [clientType] the option: what an app says that its client is
 * @returns {Inspected}
 */
exports.inspect = function inspect(client, clientType) {
  /** @type {Inspected} */
  let inspected;
  try {
    inspected = recognize(client);
  } catch {
    // A wrapper that throws over what it does not have: it gets the calls that connect-redis makes.
    const why = "it may not be looked at";
    const name = "a client of unknown kind";
    inspected = { dialect: "connect-redis", name, isCluster: false, keyPrefix: "", why };
  }
  const isToldApart = inspected.library !== undefined;
  if (!clientType || isToldApart) return inspected;
  const name = `a client given as ${clientType}`;
  return { ...inspected, dialect: CLIENT_TYPES[clientType], name };
};

/**
 * @param {import("../types.js").AnyClient} client
 * @returns {Inspected}
 */
function recognize(client) {
  if (isFunction(client.commandsExecutor)) return inspectNodeRedis4(client);
  if (isFunction(client.withCommandOptions)) return inspectNodeRedis(client);
  const isNamedAsIoredis = isFunction(client.mget) && isFunction(client.get);
  if (isNamedAsIoredis && typeof client.status === "string") return inspectIoredis(client);
  const dialect = dialectByShape(client);
  const name = dialect === "callbacks" ? "a client with callbacks" : "a client of unknown kind";
  return { dialect, name, isCluster: "masters" in client, keyPrefix: "", why: "it is unknown" };
}

/**
 * Returns the dialect of a client that is neither node-redis nor ioredis; undefined if nothing shows it.
 * connect-redis 9 and 10 know one way only, that of node-redis, and a client that has their four
 * calls is taken to be made for them, unless something proves another kind: SET in the way of ioredis
 * would store a session for ever through node-redis, the other way round it is an error.
 * @param {import("../types.js").AnyClient} client
 */
function dialectByShape(client) {
  /** @param {string} name */
  const has = (name) => isFunction(client[name]);
  // The `legacy()` interface of node-redis 5 and 6, and node-redis 3.
  const isLegacy = has("mGet") && has("sendCommand") && has("multi") && !("isOpen" in client);
  if (isLegacy || has("internal_send_command")) return "callbacks";
  if (has("mGet") || has("scanIterator") || "masters" in client) return "connect-redis";
  // connect-redis 8 knew ioredis by the first of these.
  if (has("scanStream") || has("defineCommand")) return "ioredis";
  const isBulk = has("mget") || has("scan");
  if (has("get")) {
    const { get, set } = client;
    const isPromised = isAsync(get) || get._isMockFunction || get.length === 1;
    if (isBulk && isPromised && set?.length === 4) return "ioredis";
    if (!isPromised && (isBulk || get.length >= 2)) return "by its answers";
  }
  if (["get", "set", "expire", "del"].every(has)) return "connect-redis";
  // connect-redis 6 and older gave SET's arguments as an array, and a callback.
  const takesArray = has("set") && client.set.length === 2 && !isAsync(client.set);
  return takesArray && !has("get") ? "callbacks" : undefined;
}

/** @param {Function} method */
function isAsync(method) {
  return method.constructor.name === "AsyncFunction";
}

/** @param {unknown} value */
function isFunction(value) {
  return typeof value === "function";
}
