"use strict";

// Private Redis Clusters and Sentinels, for the tests and the examples.

const { freePort, send, startRedisServer, waitUntil } = require("./redis-server.js");

const SLOTS = 16384;

/**
 * Starts a cluster of masters and waits until it serves every slot.
 * @param {number} [masters]
 * @returns {Promise<{nodes: {port: number}[], urls: string[], stop: () => Promise<void>}>}
 */
async function startRedisCluster(masters = 3) {
  const nodes = [];
  const stop = async () => {
    await Promise.all(nodes.map((node) => node.stop()));
  };
  try {
    for (let n = 0; n < masters; n += 1) {
      const bus = await freePort();
      const args = ["--cluster-enabled", "yes", "--cluster-port", `${bus}`];
      nodes.push({ ...(await startRedisServer({ args })), bus });
    }
    const [first] = nodes;
    for (const [n, node] of nodes.entries()) {
      const from = Math.ceil((SLOTS * n) / masters);
      const to = Math.ceil((SLOTS * (n + 1)) / masters) - 1;
      await send(node.port, "CLUSTER", "ADDSLOTSRANGE", `${from}`, `${to}`);
      await send(first.port, "CLUSTER", "MEET", "127.0.0.1", `${node.port}`, `${node.bus}`);
    }
    for (const node of nodes) {
      await waitUntil("the cluster is whole", async () => {
        const info = await send(node.port, "CLUSTER", "INFO");
        return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${masters}`);
      });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes, urls: nodes.map(({ url }) => url), stop };
}

/**
 * Starts a master and a sentinel that watches it under the name `mymaster`.
 * @returns {Promise<{name: string, master: {port: number, url: string},
 *   sentinels: {host: string, port: number}[], stop: () => Promise<void>}>}
 */
async function startRedisSentinel() {
  const master = await startRedisServer();
  let sentinel;
  const stop = async () => {
    await sentinel?.stop();
    await master.stop();
  };
  try {
    sentinel = await startRedisServer({
      sentinel: `sentinel monitor mymaster 127.0.0.1 ${master.port} 1\n`,
    });
    await waitUntil("the sentinel knows its master", async () => {
      const said = await send(sentinel.port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster");
      return said.includes(`${master.port}`);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  const sentinels = [{ host: "127.0.0.1", port: sentinel.port }];
  return { name: "mymaster", master, sentinels, stop };
}

module.exports = { startRedisCluster, startRedisSentinel };
