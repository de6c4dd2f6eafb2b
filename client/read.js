"use strict";

// Reads an app's Redis client: what it is, and which server it talks to. The facts are from the
// sources of node-redis 4, 5, 6 and ioredis 5, 6.

const { isProxy } = require("node:util").types;
const { TLS_OPTIONS, unknownTlsOption } = require("../tls.js");

/**
 * @typedef {object} Reading what a client was found to be
 * @property {"node-redis 4" | "node-redis" | "ioredis" | "callbacks" | "unknown"} dialect how it is
 *   asked; see commands.js
 * @property {string} name what messages call it
 * @property {boolean} isCluster whether a command on several keys has to be taken apart
 * @property {string} keyPrefix what it puts before every key by itself
 * @property {string} [why] why the store cannot have a connection of its own beside it
 * @property {string} [at] the server's address, for messages
 * @property {() => Promise<Server>} [server] which server it talks to, where that can be read whole
 */

/**
 * @typedef {object} Server where a client is connected to, and as whom
 * @property {string} [host]
 * @property {number} [port]
 * @property {string} [path] of a Unix socket, instead of host and port
 * @property {string} [username]
 * @property {string} [password]
 * @property {number} database
 * @property {string} [name] the connection's name
 * @property {number} [family] 4 or 6, where a name is to be looked up so
 * @property {true | object} [tls] Node's options, where it speaks TLS
 */

/** @returns {Reading} */
exports.read = function read(client) {
  if (isFunction(client.commandsExecutor)) return readNodeRedis4(client);
  if (isFunction(client.withCommandOptions)) return readNodeRedis(client);
  const isNamedAsIoredis = isFunction(client.mget) && isFunction(client.get);
  if (isNamedAsIoredis && typeof client.status === "string") return readIoredis(client);
  const dialect = dialectByShape(client);
  const name = dialect === "callbacks" ? "a client with callbacks" : "a client of unknown kind";
  return { dialect, name, isCluster: "masters" in client, keyPrefix: "", why: "it is unknown" };
};

/**
 * How a client that is neither node-redis nor ioredis wants to be asked; undefined where nothing
 * tells. connect-redis 9 and 10 know one way only, that of node-redis.
 */
function dialectByShape(client) {
  const has = (name) => isFunction(client[name]);
  // The `legacy()` interface of node-redis 5 and 6.
  if (has("mGet") && has("sendCommand") && has("multi") && !("isOpen" in client)) {
    return "callbacks";
  }
  if (has("mGet") || has("scanIterator") || "masters" in client) return "unknown";
  if (!has("mget") && !has("scan")) return undefined;
  // Of one parameter, or asynchronous, it can only answer with a promise.
  const { get } = client;
  const isAsync =
    get?.constructor?.name === "AsyncFunction" || get?.length === 1 || get?._isMockFunction;
  return isAsync ? "ioredis" : "callbacks";
}

function readNodeRedis4(client) {
  const name = "node-redis 4";
  const reading = { dialect: "node-redis 4", name, isCluster: false, keyPrefix: "" };
  if ("masters" in client) {
    return { ...reading, isCluster: true, name: `${name} cluster`, why: CLUSTER };
  }
  return { ...reading, ...serverOfNodeRedis(client) };
}

function readNodeRedis(client) {
  // node-redis 6 says which; 5 has none.
  const keyPrefix = String(client._keyPrefix ?? "");
  const isText = ["undefined", "string"].includes(typeof client._keyPrefix);
  const reading = { dialect: "node-redis", name: "node-redis", isCluster: false, keyPrefix };
  if ("masters" in client) {
    return { ...reading, isCluster: true, name: "node-redis cluster", why: CLUSTER };
  }
  if (isFunction(client.getSentinelNode) || isFunction(client.getReplicaClientLease)) {
    return { ...reading, name: "node-redis sentinel", why: "it hides the master's credentials" };
  }
  if (!("isReady" in client)) {
    return { ...reading, name: "node-redis pool", why: "a pool hides which server it talks to" };
  }
  if (!isText) return { ...reading, why: "its keyPrefix is no string" };
  return { ...reading, ...serverOfNodeRedis(client) };
}

const CLUSTER = "connections of its own to a cluster are not supported by this version";

/** Options of a node-redis socket that change nothing about where it connects to. */
const SOCKET_OPTIONS = new Set([
  "connectTimeout",
  "family",
  "host",
  "keepAlive",
  "keepAliveInitialDelay",
  "noDelay",
  "path",
  "port",
  "reconnectStrategy",
  "socketTimeout",
  "tls",
]);

/** @returns {Pick<Reading, "why" | "server">} */
function serverOfNodeRedis(client) {
  const touched = touchedMethod(client);
  if (touched) return { why: touched };
  const options = client.options ?? {};
  const socket = options.socket ?? {};
  const { credentialsProvider } = options;
  if (options.legacyMode) return { why: "it is in legacyMode" };
  if (options.readonly) return { why: "it may be connected to a replica (readonly)" };
  // Its options of TLS stand beside the others.
  const isOfTls = (key) => Boolean(socket.tls) && TLS_OPTIONS.includes(key);
  const odd = Object.keys(socket).find((key) => !SOCKET_OPTIONS.has(key) && !isOfTls(key));
  if (odd !== undefined) return { why: `its socket has the option ${odd}` };
  if (credentialsProvider && credentialsProvider.type !== "async-credentials-provider") {
    return { why: "its credentialsProvider changes the credentials of a living connection" };
  }
  const where = socket.path
    ? { path: socket.path }
    : { host: socket.host ?? "localhost", port: Number(socket.port ?? 6379) };
  return wholeServer(
    {
      ...where,
      family: socket.family,
      tls: socket.tls ? pick(socket, TLS_OPTIONS) : undefined,
      database: Number(options.database ?? 0),
      name: options.name,
    },
    // As the client itself does before each connect.
    async () => (credentialsProvider ? credentialsProvider.credentials() : options),
  );
}

function readIoredis(client) {
  const options = client.options ?? {};
  const reading = { dialect: "ioredis", name: "ioredis", isCluster: Boolean(client.isCluster) };
  if (reading.isCluster) {
    const keyPrefix = options.keyPrefix ?? options.redisOptions?.keyPrefix ?? "";
    return { ...reading, name: "ioredis cluster", keyPrefix, why: CLUSTER };
  }
  return { ...reading, keyPrefix: options.keyPrefix ?? "", ...serverOfIoredis(client, options) };
}

/** @returns {Pick<Reading, "why" | "server">} */
function serverOfIoredis(client, options) {
  const isReal = typeof client.connector === "object" && typeof client.commandQueue === "object";
  if (!isReal) return { why: "it is not ioredis itself" };
  const touched = touchedMethod(client);
  if (touched) return { why: touched };
  if (options.Connector) return { why: "it has a Connector of its own" };
  if (options.sentinels) {
    return { why: "connections of its own by Sentinel are not supported by this version" };
  }
  const tls = options.tls === true ? {} : options.tls || undefined;
  const unknown = unknownTlsOption(pick(tls ?? {}, Object.keys(tls ?? {}), WHERE));
  if (unknown !== undefined) return { why: `its tls has the option ${unknown}` };
  if (options.readOnly) return { why: "it may be connected to a replica (readOnly)" };
  if (options.monitor) return { why: "it is a monitor" };
  const where = options.path
    ? { path: options.path }
    : { host: options.host ?? "localhost", port: Number(options.port ?? 6379) };
  return wholeServer(
    {
      ...where,
      family: options.family,
      tls: tls && pick(tls, TLS_OPTIONS),
      database: Number(options.db ?? 0),
      name: options.connectionName ?? undefined,
    },
    async () => options,
  );
}

/** What ioredis's `tls` may hold besides, as it stands outside, too. */
const WHERE = ["host", "port"];

/** An object with some of the properties of another. */
function pick(from, names, except = []) {
  const picked = names.filter((name) => from[name] !== undefined && !except.includes(name));
  return Object.fromEntries(picked.map((name) => [name, from[name]]));
}

/** A server, where all of it is of the type it must have. */
function wholeServer(where, credentials) {
  const { host, port, path, database } = where;
  const isWhole =
    Number.isInteger(database) &&
    (path === undefined ? typeof host === "string" && isPort(port) : typeof path === "string");
  if (!isWhole) return { why: "its options do not say which server it talks to" };
  return {
    at: path ?? `${host}:${port}`,
    async server() {
      const { username, password } = (await credentials()) ?? {};
      for (const value of [username, password]) {
        if (value !== undefined && value !== null && typeof value !== "string") {
          throw new TypeError("its username and password are no strings");
        }
      }
      return { ...where, username: username || undefined, password: password || undefined };
    },
  };
}

function isPort(port) {
  return Number.isInteger(port) && port > 0 && port < 65536;
}

/**
 * Says which method of a client is not its library's own, so that to go past it could skip what an
 * app does there. A library defines all its commands in one place: whatever comes from elsewhere
 * than `dump`, which nobody overrides, is overridden.
 */
function touchedMethod(client) {
  if (isProxy(client)) return "it is a Proxy";
  const alike = [
    ["dump", ["get", "set", "expire", "del"]],
    ["duplicate", ["sendCommand"]],
  ];
  for (const [model, names] of alike) {
    const home = homeOf(client, model);
    for (const name of names) {
      const method = client[name];
      if (!isFunction(method) || homeOf(client, name) !== home) {
        return `its method ${name} is overridden`;
      }
      // A library makes all its commands from one text.
      if (model === "dump" && String(method) !== String(client[model])) {
        return `its method ${name} is replaced`;
      }
      // The marks that instrumentation and mocks leave on what they wrap.
      if (method.__original || method.__wrapped || method._isMockFunction) {
        return `its method ${name} is wrapped`;
      }
    }
  }
  return undefined;
}

/** The object on the prototype chain that has a property. */
function homeOf(object, name) {
  let home = object;
  while (home && !Object.hasOwn(home, name)) home = Object.getPrototypeOf(home);
  return home;
}
exports.homeOf = homeOf;

function isFunction(value) {
  return typeof value === "function";
}
