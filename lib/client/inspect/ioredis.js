"use strict";

// Inspects a client of ioredis 5 or 6. The facts are from their sources.

const dns = require("node:dns");
const { TLS_OPTIONS, unknownTlsOption } = require("../../tls.js");
const { oddOptionOfIoredis, oddOptionOfIoredisCluster } = require("../client-options.js");
const { touchedMethod } = require("./overrides.js");
const { pick, wholeServer } = require("./server.js");

/**
 * @param {import("../../types.js").AnyClient} client
 * @returns {import("../inspect.js").Inspected}
 */
function inspectIoredis(client) {
  const options = client.options ?? {};
  const library = "ioredis";
  /** @type {Omit<import("../inspect.js").Inspected, "keyPrefix">} */
  const inspected = {
    dialect: library,
    name: library,
    library,
    isCluster: Boolean(client.isCluster),
  };
  if (inspected.isCluster) {
    const keyPrefix = options.keyPrefix ?? options.redisOptions?.keyPrefix ?? "";
    const cluster = { ...inspected, name: "ioredis cluster", keyPrefix };
    return { ...cluster, ...clusterOfIoredis(client, options) };
  }
  return { ...inspected, keyPrefix: options.keyPrefix ?? "", ...serverOfIoredis(client, options) };
}

/**
 * @param {import("../../types.js").AnyClient} client
 * @param {Record<string, any>} options the client's
 * @returns {Pick<import("../inspect.js").Inspected, "why" | "at" | "server">}
 */
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

/**
 * @param {Record<string, any>} options the client's
 * @returns {{where?: import("../inspect.js").Server, why?: string}}
 */
function whereIsIoredis(options) {
  if (options.sentinels) {
    const { sentinels, name, role, natMap, sentinelUsername, sentinelPassword } = options;
    if (role === "slave") return { why: "it is connected to a replica (role)" };
    if (natMap) return { why: "it has a natMap" };
    const nodes = sentinels.map((/** @type {any} */ { host, port }) => ({
      host,
      port: Number(port ?? 26379),
    }));
    const tls = options.enableTLSForSentinelMode ? options.sentinelTLS || undefined : undefined;
    const unknown = unknownTlsOption(tls);
    if (unknown !== undefined) return { why: `its sentinelTLS has the option ${unknown}` };
    const login = { username: sentinelUsername, password: sentinelPassword };
    return { where: { sentinel: { name, nodes, ...pick(login, Object.keys(login)), tls } } };
  }
  if (options.path) return { where: { path: options.path } };
  return { where: { host: options.host ?? "localhost", port: Number(options.port ?? 6379) } };
}

/**
 * @param {import("../../types.js").AnyClient} client
 * @param {Record<string, any>} options the client's
 * @returns {Pick<import("../inspect.js").Inspected, "why" | "at" | "server">}
 */
function clusterOfIoredis(client, options) {
  const { redisOptions = {}, natMap, dnsLookup, useSRVRecords } = options;
  if (typeof client.connectionPool !== "object") return { why: "it is not ioredis itself" };
  const why =
    touchedMethod(client) ?? oddOptionOfIoredisCluster(options) ?? oddOfIoredis(redisOptions);
  if (why) return { why };
  if (natMap) return { why: "it has a natMap" };
  if (useSRVRecords) return { why: "it finds its nodes by SRV records" };
  if (dnsLookup && dnsLookup !== dns.lookup) return { why: "it has a dnsLookup of its own" };
  const cluster = client.startupNodes.map((/** @type {any} */ node) => {
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

/**
 * What in options of ioredis is beyond the store's own connections.
 * @param {Record<string, any>} options the client's
 */
function oddOfIoredis(options) {
  const changes = oddOptionOfIoredis(options);
  if (changes) return changes;
  if (options.readOnly) return "it may be connected to a replica (readOnly)";
  const { tls } = options;
  const own = tls && typeof tls === "object" ? tls : {};
  const unknown = unknownTlsOption(pick(own, Object.keys(own), WHERE));
  return unknown === undefined ? undefined : `its tls has the option ${unknown}`;
}

/** @param {Record<string, any>} options the client's */
function tlsOfIoredis({ tls }) {
  if (!tls) return undefined;
  return tls === true ? {} : pick(tls, TLS_OPTIONS);
}

/** What ioredis's `tls` may hold besides, as it stands outside, too. */
const WHERE = ["host", "port"];

module.exports = { inspectIoredis };
