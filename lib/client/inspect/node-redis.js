"use strict";

// Inspects a client of node-redis 4, 5 or 6. The facts are from their sources.

const { TLS_OPTIONS } = require("../../tls.js");
const {
  oddCommandOption,
  oddOptionOfNodeRedis,
  oddOptionOfNodeRedisCluster,
} = require("../client-options.js");
const { touchedMethod } = require("./overrides.js");
const { pick, wholeServer } = require("./server.js");

/**
 * @param {import("../../types.js").AnyClient} client
 * @returns {import("../inspect.js").Inspected}
 */
function inspectNodeRedis4(client) {
  const name = "node-redis 4";
  const library = "node-redis";
  /** @type {import("../inspect.js").Inspected} */
  const inspected = { dialect: "node-redis 4", name, library, isCluster: false, keyPrefix: "" };
  if ("masters" in client) {
    const why = "node-redis 4 does not say which nodes its cluster starts from";
    return { ...inspected, isCluster: true, name: `${name} cluster`, why };
  }
  return { ...inspected, ...serverOfNodeRedis(client) };
}

/**
 * @param {import("../../types.js").AnyClient} client
 * @returns {import("../inspect.js").Inspected}
 */
function inspectNodeRedis(client) {
  /** @param {string} method */
  const hasMethod = (method) => typeof client[method] === "function";
  // node-redis 6 says which; 5 has none.
  const keyPrefix = String(client._keyPrefix ?? "");
  const isText = ["undefined", "string"].includes(typeof client._keyPrefix);
  const library = "node-redis";
  /** @type {import("../inspect.js").Inspected} */
  const inspected = { dialect: library, name: library, library, isCluster: false, keyPrefix };
  if ("masters" in client) {
    const cluster = { ...inspected, isCluster: true, name: "node-redis cluster" };
    const options = client._options ?? {};
    // node-redis 5 has no such option, and passes over it.
    const ownPrefix = ("_keyPrefix" in client ? options.keyPrefix : undefined) ?? "";
    if (typeof ownPrefix !== "string") return { ...cluster, why: "its keyPrefix is no string" };
    return { ...cluster, keyPrefix: ownPrefix, ...clusterOfNodeRedis(client, options) };
  }
  if (hasMethod("getSentinelNode") || hasMethod("getReplicaClientLease")) {
    return { ...inspected, name: "node-redis sentinel", why: "it hides the master's credentials" };
  }
  if (!("isReady" in client)) {
    return { ...inspected, name: "node-redis pool", why: "a pool hides which server it talks to" };
  }
  if (!isText) return { ...inspected, why: "its keyPrefix is no string" };
  return { ...inspected, ...serverOfNodeRedis(client) };
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

/**
 * @param {import("../../types.js").AnyClient} client
 * @returns {Pick<import("../inspect.js").Inspected, "why" | "at" | "server">}
 */
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

/**
 * @param {import("../../types.js").AnyClient} client
 * @param {Record<string, any>} options the client's
 * @returns {Pick<import("../inspect.js").Inspected, "why" | "at" | "server">}
 */
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

/**
 * What in options of node-redis is beyond the store's own connections.
 * @param {Record<string, any>} options the client's
 * @param {Record<string, any>} socket its options
 */
function oddOfNodeRedis(options, socket) {
  const { credentialsProvider } = options;
  const changes =
    oddOptionOfNodeRedis(options) ?? oddCommandOption({ _commandOptions: options.commandOptions });
  if (changes) return changes;
  if (options.readonly) return "it may be connected to a replica (readonly)";
  // Its options of TLS stand beside the others.
  /** @param {string} key */
  const isOfTls = (key) => Boolean(socket.tls) && TLS_OPTIONS.includes(key);
  /** @param {string} key */
  const isOdd = (key) => socket[key] !== undefined && !SOCKET_OPTIONS.has(key) && !isOfTls(key);
  const odd = Object.keys(socket).find(isOdd);
  if (odd !== undefined) return `its socket has the option ${odd}`;
  if (credentialsProvider && credentialsProvider.type !== "async-credentials-provider") {
    return "its credentialsProvider changes the credentials of a living connection";
  }
  return undefined;
}

/** @param {Record<string, any>} socket its options */
function tlsOfNodeRedis(socket) {
  return socket.tls ? pick(socket, TLS_OPTIONS) : undefined;
}

/**
 * Asks the credentials provider, as the client itself does before each connect.
 * @param {Record<string, any>} options the client's
 */
function credentialsOfNodeRedis(options) {
  const { credentialsProvider } = options;
  return async () => (credentialsProvider ? credentialsProvider.credentials() : options);
}

module.exports = { inspectNodeRedis, inspectNodeRedis4 };
