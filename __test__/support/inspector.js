"use strict";

const { createClient, createCluster } = require("redis");
const { waitUntil } = require("../../scripts/redis-server.js");

/** The commands of an inspector that take a key. */
const BY_KEY = "get set del exists expire ttl pTTL pExpire lPush lLen zAdd zCard zScore".split(" ");

/** Connects an ordinary client beside the store, to see what Redis really stores. */
async function openInspector(server, options = {}) {
  const client = createClient({ url: server.url, RESP: 2, ...options });
  await client.connect();
  return client;
}

/** The number of clients connected to the server, including the inspector. */
async function countClients(inspector) {
  return Number(/connected_clients:(\d+)/.exec(await inspector.info("clients"))[1]);
}

/** Waits until the inspector is the only client: a server notices a closed connection late. */
async function waitUntilAlone(inspector) {
  await waitUntil("all other clients are gone", async () => (await countClients(inspector)) === 1);
}

/** An inspector for stores whose client has a keyPrefix: it shows keys without the prefix. */
function withPrefix(inspector, keyPrefix) {
  const prefixed = Object.create(inspector);
  for (const name of BY_KEY) {
    prefixed[name] = (key, ...args) => inspector[name](keyPrefix + key, ...args);
  }
  prefixed.keys = async (pattern) =>
    (await inspector.keys(keyPrefix + pattern)).map((key) => key.slice(keyPrefix.length));
  prefixed.close = () => inspector.close();
  return prefixed;
}

/** An inspector for a cluster: it sees the keys of all masters. */
async function openClusterInspector(cluster) {
  const client = createCluster({ rootNodes: cluster.urls.map((url) => ({ url })) });
  await client.connect();
  const onEach = async (call) =>
    Promise.all(client.masters.map(async (master) => call(await client.nodeClient(master))));
  const names = [...BY_KEY, "close"];
  return {
    ...Object.fromEntries(names.map((name) => [name, (...args) => client[name](...args)])),
    keys: async (pattern) => (await onEach((node) => node.keys(pattern))).flat(),
    dbSize: async () => (await onEach((node) => node.dbSize())).reduce((sum, n) => sum + n, 0),
    flushDb: () => onEach((node) => node.flushDb()),
  };
}

/** An inspector for a fake that keeps its data in memory: it sends its commands to the fake. */
function inspectorOfFake(fake) {
  const send = (name, ...args) =>
    new Promise((resolve, reject) => {
      fake[name](...args, (error, reply) => (error ? reject(error) : resolve(reply)));
    });
  const names = [...BY_KEY, "keys"];
  return {
    ...Object.fromEntries(
      names.map((name) => [name, (...args) => send(name.toLowerCase(), ...args)]),
    ),
    dbSize: async () => (await send("keys", "*")).length,
    flushDb: () => send("flushdb"),
    close: async () => {},
  };
}

module.exports = {
  countClients,
  openClusterInspector,
  openInspector,
  waitUntilAlone,
  withPrefix,
  inspectorOfFake,
};
