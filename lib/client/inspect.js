"use strict";

// Reads an app's Redis client: what it is, and which server it talks to. The facts are from the
// sources of node-redis 4, 5, 6 and ioredis 5, 6.

const dns = require("node:dns");
const { isProxy } = require("node:util").types;
const { TLS_OPTIONS, unknownTlsOption } = require("../tls.js");
const {
  oddCommandOption,
  oddOptionOfIoredis,
  oddOptionOfIoredisCluster,
  oddOptionOfNodeRedis,
  oddOptionOfNodeRedisCluster,
} = require("./client-options.js");
const { wrappedMethod } = require("./tracers.js");

/**
 * @typedef {object} Reading what a client was found to be
 * @property {"node-redis 4" | "node-redis" | "ioredis" | "callbacks" | "by its answers" |
 *   "connect-redis" | "connect-redis with node-redis 4" | undefined} dialect how it is asked; see client-commands.js.
 *   Undefined if nothing tells: then no session is stored, as it might never expire
 * @property {"node-redis" | "ioredis"} [library] what it is for tracers
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
 * @property {object[]} [cluster] the nodes it starts from, instead of all these
 * @property {object} [sentinel] `{name, nodes, username, password, tls}`, likewise
 * @property {string} [username]
 * @property {string} [password]
 * @property {number} database
 * @property {string} [name] the connection's name
 * @property {number} [family] 4 or 6, where a name is to be looked up so
 * @property {true | object} [tls] Node's options, where it speaks TLS
 */

/** The dialects that the option `clientType` names. */
const CLIENT_TYPES = {
  "node-redis": "connect-redis",
  "node-redis-4": "connect-redis with node-redis 4",
  ioredis: "ioredis",
  callbacks: "callbacks",
};
exports.CLIENT_TYPES = Object.keys(CLIENT_TYPES);

/**
 * @param {object} client
 * @param {string} [clientType] the option: what an app says that its client is
 * @returns {Reading}
 */
exports.read = function read(client, clientType) {
  let reading;
  try {
    reading = recognize(client);
  } catch {
    // A wrapper that throws over what it has not got: it is asked what connect-redis asks.
    const why = "it may not be looked at";
    const name = "a client of unknown kind";
    reading = { dialect: "connect-redis", name, isCluster: false, keyPrefix: "", why };
  }
  const isToldApart = reading.library !== undefined;
  if (!clientType || isToldApart) return reading;
  const name = `a client given as ${clientType}`;
  return { ...reading, dialect: CLIENT_TYPES[clientType], name };
};

function recognize(client) {
  if (isFunction(client.commandsExecutor)) return readNodeRedis4(client);
  if (isFunction(client.withCommandOptions)) return readNodeRedis(client);
  const isNamedAsIoredis = isFunction(client.mget) && isFunction(client.get);
  if (isNamedAsIoredis && typeof client.status === "string") return readIoredis(client);
  const dialect = dialectByShape(client);
  const name = dialect === "callbacks" ? "a client with callbacks" : "a client of unknown kind";
  return { dialect, name, isCluster: "masters" in client, keyPrefix: "", why: "it is unknown" };
}

/**
 * How a client that is neither node-redis nor ioredis wants to be asked; undefined if nothing tells.
 * connect-redis 9 and 10 know one way only, that of node-redis, and a client that has their four
 * calls is taken to be made for them, unless something proves another kind: SET in the way of ioredis
 * would store a session for ever through node-redis, the other way round it is an error.
 */
function dialectByShape(client) {
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

function isAsync(method) {
  return method.constructor.name === "AsyncFunction";
}

function readNodeRedis4(client) {
  const name = "node-redis 4";
  const library = "node-redis";
  const reading = { dialect: "node-redis 4", name, library, isCluster: false, keyPrefix: "" };
  if ("masters" in client) {
    const why = "node-redis 4 does not say which nodes its cluster starts from";
    return { ...reading, isCluster: true, name: `${name} cluster`, why };
  }
  return { ...reading, ...serverOfNodeRedis(client) };
}

function readNodeRedis(client) {
  // node-redis 6 says which; 5 has none.
  const keyPrefix = String(client._keyPrefix ?? "");
  const isText = ["undefined", "string"].includes(typeof client._keyPrefix);
  const library = "node-redis";
  const reading = { dialect: library, name: library, library, isCluster: false, keyPrefix };
  if ("masters" in client) {
    const cluster = { ...reading, isCluster: true, name: "node-redis cluster" };
    const options = client._options ?? {};
    // node-redis 5 has no such option, and passes over it.
    const ownPrefix = ("_keyPrefix" in client ? options.keyPrefix : undefined) ?? "";
    if (typeof ownPrefix !== "string") return { ...cluster, why: "its keyPrefix is no string" };
    return { ...cluster, keyPrefix: ownPrefix, ...clusterOfNodeRedis(client, options) };
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
  "tls",
]);

/** @returns {Pick<Reading, "why" | "at" | "server">} */
function serverOfNodeRedis(client) {
  const touched = touchedMethod(client);
  if (touched) return { why: touched };
  const options = client.options ?? {};
  const socket = options.socket ?? {};
  if (options.legacyMode) return { why: "it is in legacyMode" };
  const why = oddOfNodeRedis(options, socket) ?? oddCommandOption(client);
  if (why) return { why };
  const where = socket.path
    ? { path: socket.path }
    : { host: socket.host ?? "localhost", port: Number(socket.port ?? 6379) };
  return wholeServer(
    {
      ...where,
      family: socket.family,
      tls: tlsOfNodeRedis(socket),
      database: Number(options.database ?? 0),
      name: options.name,
    },
    credentialsOfNodeRedis(options),
  );
}

/** @returns {Pick<Reading, "why" | "at" | "server">} */
function clusterOfNodeRedis(client, options) {
  const { rootNodes, defaults = {}, nodeAddressMap } = options;
  const changed =
    touchedMethod(client) ?? oddOptionOfNodeRedisCluster(options) ?? oddCommandOption(client);
  if (changed) return { why: changed };
  if (nodeAddressMap) return { why: "it has a nodeAddressMap" };
  if (!Array.isArray(rootNodes)) return { why: "it does not say which nodes it starts from" };
  const socket = defaults.socket ?? {};
  const why = [defaults, ...rootNodes]
    .map((options) => oddOfNodeRedis(options, options.socket ?? {}))
    .find(Boolean);
  if (why) return { why };
  const cluster = rootNodes.map(({ url, socket = {} }) =>
    url === undefined ? { host: socket.host ?? "localhost", port: socket.port } : { url },
  );
  const login = defaults.credentialsProvider || defaults.password ? defaults : (rootNodes[0] ?? {});
  return wholeServer(
    { cluster, tls: tlsOfNodeRedis(socket), name: defaults.name },
    credentialsOfNodeRedis(login),
  );
}

/** What in options of node-redis is beyond the store's own connections. */
function oddOfNodeRedis(options, socket) {
  const { credentialsProvider } = options;
  const changes =
    oddOptionOfNodeRedis(options) ?? oddCommandOption({ _commandOptions: options.commandOptions });
  if (changes) return changes;
  if (options.readonly) return "it may be connected to a replica (readonly)";
  // Its options of TLS stand beside the others.
  const isOfTls = (key) => Boolean(socket.tls) && TLS_OPTIONS.includes(key);
  const isOdd = (key) => socket[key] !== undefined && !SOCKET_OPTIONS.has(key) && !isOfTls(key);
  const odd = Object.keys(socket).find(isOdd);
  if (odd !== undefined) return `its socket has the option ${odd}`;
  if (credentialsProvider && credentialsProvider.type !== "async-credentials-provider") {
    return "its credentialsProvider changes the credentials of a living connection";
  }
  return undefined;
}

function tlsOfNodeRedis(socket) {
  return socket.tls ? pick(socket, TLS_OPTIONS) : undefined;
}

/** Asks for whom to log in as, as the client itself does before each connect. */
function credentialsOfNodeRedis(options) {
  const { credentialsProvider } = options;
  return async () => (credentialsProvider ? credentialsProvider.credentials() : options);
}

function readIoredis(client) {
  const options = client.options ?? {};
  const library = "ioredis";
  const reading = {
    dialect: library,
    name: library,
    library,
    isCluster: Boolean(client.isCluster),
  };
  if (reading.isCluster) {
    const keyPrefix = options.keyPrefix ?? options.redisOptions?.keyPrefix ?? "";
    const cluster = { ...reading, name: "ioredis cluster", keyPrefix };
    return { ...cluster, ...clusterOfIoredis(client, options) };
  }
  return { ...reading, keyPrefix: options.keyPrefix ?? "", ...serverOfIoredis(client, options) };
}

/** @returns {Pick<Reading, "why" | "at" | "server">} */
function serverOfIoredis(client, options) {
  const isReal = typeof client.connector === "object" && typeof client.commandQueue === "object";
  if (!isReal) return { why: "it is not ioredis itself" };
  const why = touchedMethod(client) ?? oddOfIoredis(options);
  if (why) return { why };
  if (options.Connector) return { why: "it has a Connector of its own" };
  if (options.monitor) return { why: "it is a monitor" };
  const { where, why: hidden } = whereIsIoredis(options);
  if (hidden) return { why: hidden };
  return wholeServer(
    {
      ...where,
      family: options.family,
      tls: tlsOfIoredis(options),
      database: Number(options.db ?? 0),
      name: options.connectionName ?? undefined,
    },
    async () => options,
  );
}

function whereIsIoredis(options) {
  if (options.sentinels) {
    const { sentinels, name, role, natMap, sentinelUsername, sentinelPassword } = options;
    if (role === "slave") return { why: "it is connected to a replica (role)" };
    if (natMap) return { why: "it has a natMap" };
    const nodes = sentinels.map(({ host, port }) => ({ host, port: Number(port ?? 26379) }));
    const tls = options.enableTLSForSentinelMode ? options.sentinelTLS || undefined : undefined;
    const unknown = unknownTlsOption(tls);
    if (unknown !== undefined) return { why: `its sentinelTLS has the option ${unknown}` };
    const login = { username: sentinelUsername, password: sentinelPassword };
    return { where: { sentinel: { name, nodes, ...pick(login, Object.keys(login)), tls } } };
  }
  if (options.path) return { where: { path: options.path } };
  return { where: { host: options.host ?? "localhost", port: Number(options.port ?? 6379) } };
}

/** @returns {Pick<Reading, "why" | "at" | "server">} */
function clusterOfIoredis(client, options) {
  const { redisOptions = {}, natMap, dnsLookup, useSRVRecords } = options;
  if (typeof client.connectionPool !== "object") return { why: "it is not ioredis itself" };
  const why =
    touchedMethod(client) ?? oddOptionOfIoredisCluster(options) ?? oddOfIoredis(redisOptions);
  if (why) return { why };
  if (natMap) return { why: "it has a natMap" };
  if (useSRVRecords) return { why: "it finds its nodes by SRV records" };
  if (dnsLookup && dnsLookup !== dns.lookup) return { why: "it has a dnsLookup of its own" };
  const cluster = client.startupNodes.map((node) => {
    if (typeof node === "string") return node.includes("://") ? { url: node } : node;
    if (typeof node === "number") return { host: "127.0.0.1", port: node };
    return { host: node.host ?? "127.0.0.1", port: Number(node.port ?? 6379) };
  });
  const [first] = client.startupNodes;
  const login = redisOptions.password || typeof first !== "object" ? redisOptions : first;
  return wholeServer(
    {
      cluster,
      tls: tlsOfIoredis(redisOptions),
      name: redisOptions.connectionName ?? undefined,
    },
    async () => login,
  );
}

/** What in options of ioredis is beyond the store's own connections. */
function oddOfIoredis(options) {
  const changes = oddOptionOfIoredis(options);
  if (changes) return changes;
  if (options.readOnly) return "it may be connected to a replica (readOnly)";
  const { tls } = options;
  const own = tls && typeof tls === "object" ? tls : {};
  const unknown = unknownTlsOption(pick(own, Object.keys(own), WHERE));
  return unknown === undefined ? undefined : `its tls has the option ${unknown}`;
}

function tlsOfIoredis({ tls }) {
  if (!tls) return undefined;
  return tls === true ? {} : pick(tls, TLS_OPTIONS);
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
  const at = addressOf(where);
  const isWhole = at !== undefined && Number.isInteger(where.database ?? 0);
  if (!isWhole) return { why: "its options do not say which server it talks to" };
  if (where.path !== undefined && process.platform === "win32") {
    return { why: "it talks through a pipe of Windows" };
  }
  return {
    at,
    async server() {
      const { username, password } = (await credentials()) ?? {};
      for (const value of [username, password]) {
        if (value !== undefined && value !== null && typeof value !== "string") {
          throw new TypeError("its username and password are no strings");
        }
      }
      const login = { username: username || undefined, password: password || undefined };
      return { ...where, ...login };
    },
  };
}

/** What messages call the place of a server; undefined where it is none. */
function addressOf({ host, port, path, cluster, sentinel }) {
  if (cluster) return `a cluster of ${cluster.length} known nodes`;
  if (sentinel) return `the master ${JSON.stringify(sentinel.name)} of its sentinels`;
  if (path !== undefined) return typeof path === "string" ? path : undefined;
  return typeof host === "string" && isPort(port) ? `${host}:${port}` : undefined;
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
    }
  }
  const wrapped = wrappedMethod(client);
  if (wrapped) return `its method ${wrapped} is wrapped`;
  // What every sendCommand of the libraries has in it; a tracer's has not.
  const text = String(client.sendCommand);
  const isOwn = OWN_TEXT.test(text) && !REWRITTEN.test(text);
  return isOwn ? undefined : "its method sendCommand is replaced";
}

/** What instrumentation writes into the code of a library when it is loaded (New Relic, dd-trace). */
const REWRITTEN = /orchestrion|tr_ch_apm/;

const OWN_TEXT =
  /VALID_IN_SUBSCRIBER_MODE|scaleReads|disableOfflineQueue|_commandOptions|_RedisClient_sendCommand|_RedisCluster_execute/;

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
