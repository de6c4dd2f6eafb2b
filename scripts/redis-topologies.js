"use strict";

// Private Redis Clusters and Sentinels, for the tests and the examples.

const { setTimeout: wait } = require("node:timers/promises");
const { freePort, send, startRedisServer, waitUntil } = require("./redis-server.js");

const SLOTS = 16384;
/** How long a node with a cluster-node-timeout of 1 s keeps the votes of an election, and some more. */
const ELECTION_MS = 5000;
/** A master waits 5 s for more replicas before it copies its data to the first. */
const SYNC_AT_ONCE = ["--repl-diskless-sync-delay", "0"];
/** A node's bus port is its port plus this; only Redis 7 and newer can change it. */
const BUS_ABOVE = 10_000;

/**
 * Starts a cluster and waits until it serves every slot.
 * @param {object} [options]
 * @param {number} [options.masters]
 * @param {number} [options.replicas] of each master
 * @param {string[]} [options.args] more arguments for each redis-server
 * @param {{args: (tlsPort: number) => string[]}} [options.tls] makes the nodes also speak TLS, and
 *   announce these ports to each other
 * @returns {Promise<{nodes: object[], urls: string[], addNode: () => Promise<object>,
 *   isWhole: () => Promise<void>, stop: () => Promise<void>}>} the nodes are servers, the masters
 *   first, each with its `id`; `isWhole` waits until all running nodes agree on who serves which slot
 */
async function startRedisCluster({ masters = 3, replicas = 0, args = [], tls } = {}) {
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  async function startNode() {
    const port = await freePortWithBus();
    const cluster = ["--cluster-enabled", "yes"];
    // A short timeout, so that a failover takes a second or two.
    cluster.push("--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0");
    // Without this, a restarted master would load the snapshot that it wrote for its replicas.
    cluster.push("--rdb-del-sync-files", "yes", ...SYNC_AT_ONCE);
    const tlsPort = tls && (await freePortWithBus());
    const secure = tls ? [...tls.args(tlsPort), "--tls-cluster", "yes"] : [];
    const server = await startRedisServer({ port, args: [...cluster, ...secure, ...args] });
    const id = (await send(server.port, "CLUSTER", "MYID")).split("\r\n")[1];
    const node = {
      ...server,
      id,
      tlsPort,
      isDown: false,
      get pid() {
        return server.pid;
      },
      async kill() {
        node.isDown = true;
        await server.kill();
      },
      async restart() {
        await server.restart();
        node.isDown = false;
      },
    };
    nodes.push(node);
    return node;
  }
  const meet = (node) =>
    send(nodes[0].port, "CLUSTER", "MEET", "127.0.0.1", `${node.tlsPort ?? node.port}`);
  const isWhole = () =>
    waitUntil("the cluster is whole", async () => {
      const running = nodes.filter(({ isDown }) => !isDown);
      const views = new Set();
      for (const node of running) {
        if (!(await send(node.port, "CLUSTER", "INFO")).includes("cluster_state:ok")) return false;
        if (/master_link_status:down/.test(await replication(node))) return false;
        views.add(await viewOf(node, running));
      }
      // A master that does not know its replica as such yet ignores its failover without a word.
      return views.size === 1 && !views.has(undefined);
    });
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
      // Single slots, because Redis 6.2 has no ADDSLOTSRANGE.
      const slots = Array.from({ length: to - from + 1 }, (_, slot) => `${from + slot}`);
      await send(node.port, "CLUSTER", "ADDSLOTS", ...slots);
    }
    await isWhole();
    for (const [n, node] of nodes.slice(masters).entries()) {
      await send(node.port, "CLUSTER", "REPLICATE", nodes[n % masters].id);
      await waitUntil("the replica follows", async () =>
        (await replication(node)).includes("master_link_status:up"),
      );
    }
    await isWhole();
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, urls: nodes.map(({ url }) => url), addNode, isWhole, stop };
}

/**
 * Resolves to what a node of a cluster knows of these nodes: their ids, roles, masters and slots;
 * undefined as long as it has no link to one of them.
 */
async function viewOf(node, others) {
  const known = await knownTo(node);
  const views = others.map(({ id }) => {
    const { flags, master, link, slots } = known.find((other) => other.id === id) ?? {};
    const role = /master|slave/.exec(flags)?.[0];
    return link === "connected" ? [id, role, master, ...slots].join(" ") : undefined;
  });
  return views.includes(undefined) ? undefined : views.join("\n");
}

/** Resolves to what CLUSTER NODES says of each node that a node knows. */
async function knownTo(node) {
  // A line with the reply's length, and then one for each node.
  const [, ...lines] = (await send(node.port, "CLUSTER", "NODES")).trim().split("\n");
  return lines.map((line) => {
    const [id, , flags, master, , , , link, ...slots] = line.trim().split(" ");
    return { id, flags, master, link, slots };
  });
}

/** Resolves to a free port whose bus port is also free. */
async function freePortWithBus() {
  for (;;) {
    const port = await freePort();
    const bus = port + BUS_ABOVE;
    if (bus < 2 ** 16 && (await freePort(bus).catch(() => undefined)) === bus) return port;
  }
}

/**
 * Moves slots and their keys from one master of a cluster to another, as `redis-cli --cluster
 * reshard` does.
 */
async function moveSlots(cluster, from, to, slots) {
  const others = (await mastersOf(cluster)).filter((node) => node !== from && node !== to);
  const order = async (node, ...words) => {
    const reply = await send(node.port, ...words);
    if (reply.startsWith("-")) throw new Error(`${words.join(" ")}: ${reply}`);
    return reply;
  };
  const setSlot = (node, ...words) => order(node, "CLUSTER", "SETSLOT", ...words);
  for (const slot of slots) {
    await setSlot(to, slot, "IMPORTING", from.id);
    await setSlot(from, slot, "MIGRATING", to.id);
    for (;;) {
      const reply = await order(from, "CLUSTER", "GETKEYSINSLOT", slot, 10);
      // `*count`, then `$length` and the key in turn.
      const keys = reply
        .split("\r\n")
        .filter((line, place) => place > 0 && place % 2 === 0 && line);
      if (keys.length === 0) break;
      const address = ["127.0.0.1", to.tlsPort ?? to.port];
      await order(from, "MIGRATE", ...address, '""', 0, 5000, "KEYS", ...keys);
    }
    // The new master first: otherwise the old one would redirect clients to a node that does not serve
    // the slot yet.
    for (const node of [to, from, ...others]) {
      await setSlot(node, slot, "NODE", to.id).catch((error) => {
        // A master that has lost its last slot becomes a replica.
        if (!error.message.includes("only with masters")) throw error;
      });
    }
  }
}

/** The slots of a master. */
async function slotsOf(node) {
  const { slots } = (await knownTo(node)).find(({ id }) => id === node.id);
  return slots.flatMap((range) => {
    const [from, to = from] = range.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, n) => from + n);
  });
}

/** The masters of a cluster that run. */
async function mastersOf(cluster) {
  const masters = [];
  for (const node of cluster.nodes) {
    if (!node.isDown && /role:master/.test(await replication(node))) masters.push(node);
  }
  return masters;
}

/** The replica of a master. */
async function replicaOf(cluster, master) {
  for (const node of cluster.nodes) {
    const follows = `master_port:${master.port}\r\n`;
    if (!node.isDown && (await replication(node)).includes(follows)) return node;
  }
  throw new Error(`no replica of the master at port ${master.port}`);
}

/**
 * Makes the replica of a master of a cluster take over. Resolves when all nodes know it.
 *
 * A replica that takes over twice within four seconds counts the votes of its first election again
 * (Redis 7.0): it calls itself master, and the cluster ignores it. So it waits for that time.
 */
async function failOver(cluster, master) {
  // A replica that has not heard of a slot's move would claim the slot again.
  await cluster.isWhole();
  const replica = await replicaOf(cluster, master);
  await wait(Math.max((replica.tookOverAt ?? 0) + ELECTION_MS - Date.now(), 0));
  replica.tookOverAt = Date.now();
  const reply = await send(replica.port, "CLUSTER", "FAILOVER");
  if (!reply.startsWith("+OK")) throw new Error(`CLUSTER FAILOVER: ${reply}`);
  await waitUntil("the master is a replica", async () =>
    /role:slave/.test(await replication(master)),
  );
  await cluster.isWhole();
}

const replication = (server) => send(server.port, "INFO", "replication");

/**
 * Starts a master with replicas, and sentinels that watch it under the name `mymaster`.
 * @param {object} [options]
 * @param {number} [options.replicas]
 * @param {number} [options.count] of sentinels
 * @param {string[]} [options.args] more arguments for master and replicas
 * @param {string[]} [options.sentinelArgs] more for the sentinels
 * @param {string} [options.config] more lines of the sentinels' configuration
 * @returns {Promise<{name: string, master: object, replicas: object[],
 *   sentinels: {host: string, port: number}[], sentinelServers: object[],
 *   stopSentinel: (place: number) => Promise<void>, stop: () => Promise<void>}>}
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
    const master = await startRedisServer({ args: [...SYNC_AT_ONCE, ...args] });
    servers.push(master);
    for (let n = 0; n < replicas; n += 1) {
      const follow = ["--replicaof", "127.0.0.1", `${master.port}`];
      const replica = await startRedisServer({ args: [...SYNC_AT_ONCE, ...follow, ...args] });
      servers.push(replica);
      await waitUntil("the replica follows", async () =>
        (await replication(replica)).includes("master_link_status:up"),
      );
    }
    const sentinels = [];
    const sentinelServers = [];
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
      sentinelServers.push(sentinel);
      sentinels.push({ host: "127.0.0.1", port: sentinel.port });
    }
    for (const { port } of sentinels) {
      await waitUntil("the sentinels know master and replicas, and each other", async () => {
        const said = await send(port, "INFO", "sentinel");
        // NOAUTH: the sentinel requires a password.
        return /NOAUTH/.test(said) || said.includes(`slaves=${replicas},sentinels=${count}`);
      });
    }
    return {
      name: "mymaster",
      master,
      replicas: servers.slice(1, 1 + replicas),
      sentinels,
      sentinelServers,
      stopSentinel: (place) => sentinelServers[place].kill(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

module.exports = {
  SYNC_AT_ONCE,
  failOver,
  mastersOf,
  moveSlots,
  replicaOf,
  slotsOf,
  startRedisCluster,
  startRedisSentinel,
};
