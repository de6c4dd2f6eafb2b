"use strict";

// Private Redis Clusters and Sentinels, for the tests and the examples.

const { freePort, send, startRedisServer, waitUntil } = require("./redis-server.js");

const SLOTS = 16384;
/** How far above its port a node's bus is; only since Redis 7 can it be put elsewhere. */
const BUS_ABOVE = 10_000;

/**
 * Starts a cluster and waits until it serves every slot.
 * @param {object} [options]
 * @param {number} [options.masters]
 * @param {number} [options.replicas] of each master
 * @param {string[]} [options.args] more arguments for each redis-server
 * @param {{args: (tlsPort: number) => string[]}} [options.tls] makes its nodes speak TLS, too, and
 *   name each other by those ports
 * @returns {Promise<{nodes: object[], urls: string[], addNode: () => Promise<object>,
 *   stop: () => Promise<void>}>} the nodes are servers, the masters first, each with its `id`
 */
async function startRedisCluster({ masters = 3, replicas = 0, args = [], tls } = {}) {
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  async function startNode() {
    const port = await freePortWithBus();
    const cluster = ["--cluster-enabled", "yes"];
    // Short, so that a failover takes a second or two.
    cluster.push("--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0");
    const tlsPort = tls && (await freePortWithBus());
    const secure = tls ? [...tls.args(tlsPort), "--tls-cluster", "yes"] : [];
    const server = await startRedisServer({ port, args: [...cluster, ...secure, ...args] });
    const id = (await send(server.port, "CLUSTER", "MYID")).split("\r\n")[1];
    const node = Object.assign(server, { id, tlsPort });
    nodes.push(node);
    return node;
  }
  const meet = (node) =>
    send(nodes[0].port, "CLUSTER", "MEET", "127.0.0.1", `${node.tlsPort ?? node.port}`);
  const isWhole = async () => {
    for (const node of nodes) {
      await waitUntil("the cluster is whole", async () => {
        const info = await send(node.port, "CLUSTER", "INFO");
        const knows = info.includes(`cluster_known_nodes:${nodes.length}`);
        return knows && info.includes("cluster_state:ok");
      });
    }
  };
  /** Adds a master without slots. */
  async function addNode() {
    const node = await startNode();
    await meet(node);
    await isWhole();
    return node;
  }
  try {
    for (let n = 0; n < masters * (1 + replicas); n += 1) await startNode();
    for (const [n, node] of nodes.entries()) {
      if (n > 0) await meet(node);
      if (n >= masters) continue;
      const from = Math.ceil((SLOTS * n) / masters);
      const to = Math.ceil((SLOTS * (n + 1)) / masters) - 1;
      // One by one, as Redis 6.2 knows no ranges.
      const slots = Array.from({ length: to - from + 1 }, (_, slot) => `${from + slot}`);
      await send(node.port, "CLUSTER", "ADDSLOTS", ...slots);
    }
    await isWhole();
    for (const [n, node] of nodes.slice(masters).entries()) {
      await send(node.port, "CLUSTER", "REPLICATE", nodes[n % masters].id);
      await waitUntil("the replica follows", async () =>
        (await send(node.port, "INFO", "replication")).includes("master_link_status:up"),
      );
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, urls: nodes.map(({ url }) => url), addNode, stop };
}

/** A free port whose bus would have a free one, too. */
async function freePortWithBus() {
  for (;;) {
    const port = await freePort();
    const bus = port + BUS_ABOVE;
    if (bus < 2 ** 16 && (await freePort(bus).catch(() => undefined)) === bus) return port;
  }
}

/**
 * Moves slots from one master of a cluster to another, keys and all, as `redis-cli --cluster
 * reshard` does.
 */
async function moveSlots(cluster, from, to, slots) {
  const masters = cluster.nodes.filter((node) => !node.isGone);
  for (const slot of slots) {
    await send(to.port, "CLUSTER", "SETSLOT", `${slot}`, "IMPORTING", from.id);
    await send(from.port, "CLUSTER", "SETSLOT", `${slot}`, "MIGRATING", to.id);
    for (;;) {
      const reply = await send(from.port, "CLUSTER", "GETKEYSINSLOT", `${slot}`, "10");
      const keys = reply.split("\r\n").filter((_, place) => place > 0 && place % 2 === 0);
      if (keys.filter(Boolean).length === 0) break;
      const named = keys.filter(Boolean);
      const address = ["127.0.0.1", `${to.port}`, '""', "0", "5000", "KEYS"];
      await send(from.port, "MIGRATE", ...address, ...named);
    }
    for (const node of [to, from, ...masters]) {
      await send(node.port, "CLUSTER", "SETSLOT", `${slot}`, "NODE", to.id);
    }
  }
}

/**
 * Starts a master with replicas, and sentinels that watch it under the name `mymaster`.
 * @param {object} [options]
 * @param {number} [options.replicas]
 * @param {number} [options.count] of sentinels
 * @param {string[]} [options.args] more arguments for master and replicas
 * @param {string[]} [options.sentinelArgs] more for the sentinels
 * @param {string} [options.config] more lines of the sentinels' configuration
 * @returns {Promise<{name: string, master: object, replicas: object[],
 *   sentinels: {host: string, port: number}[], stop: () => Promise<void>}>}
 */
async function startRedisSentinel({
  replicas = 0,
  count = 1,
  args = [],
  sentinelArgs = [],
  config = "",
} = {}) {
  const servers = [];
  const stop = async () => {
    for (const server of servers.toReversed()) await server.stop();
  };
  try {
    const master = await startRedisServer({ args });
    servers.push(master);
    for (let n = 0; n < replicas; n += 1) {
      const follow = ["--replicaof", `127.0.0.1 ${master.port}`, "--repl-diskless-sync-delay", "0"];
      const replica = await startRedisServer({ args: [...follow, ...args] });
      servers.push(replica);
      await waitUntil("the replica follows", async () =>
        (await send(replica.port, "INFO", "replication")).includes("master_link_status:up"),
      );
    }
    const sentinels = [];
    const quorum = Math.floor(count / 2) + 1;
    for (let n = 0; n < count; n += 1) {
      const lines = [
        `sentinel monitor mymaster 127.0.0.1 ${master.port} ${quorum}`,
        "sentinel down-after-milliseconds mymaster 1000",
        "sentinel failover-timeout mymaster 5000",
        config,
      ];
      const sentinel = await startRedisServer({
        sentinel: `${lines.join("\n")}\n`,
        args: sentinelArgs,
      });
      servers.push(sentinel);
      sentinels.push({ host: "127.0.0.1", port: sentinel.port });
    }
    for (const { port } of sentinels) {
      await waitUntil("the sentinels know master and replicas, and each other", async () => {
        const said = await send(port, "INFO", "sentinel");
        // It may want a password.
        return /NOAUTH/.test(said) || said.includes(`slaves=${replicas},sentinels=${count}`);
      });
    }
    return { name: "mymaster", master, replicas: servers.slice(1, 1 + replicas), sentinels, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

module.exports = { moveSlots, startRedisCluster, startRedisSentinel };
