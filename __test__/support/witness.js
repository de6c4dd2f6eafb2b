"use strict";

const { createClient, createCluster } = require("redis");
const { waitUntil } = require("../../scripts/redis-server.js");

/** What a witness is asked of a key. */
const BY_KEY = "get set del exists expire ttl pTTL pExpire lPush lLen".split(" ");

/** An ordinary client beside the store, to see what is really in Redis. */
async function openWitness(server, options = {}) {
  const client = createClient({ url: server.url, RESP: 2, ...options });
  await client.connect();
  return client;
}

/** How many clients are connected to the server, the witness among them. */
async function countClients(witness) {
  return Number(/connected_clients:(\d+)/.exec(await witness.info("clients"))[1]);
}

/** Waits until the witness is the only client: a server notices late that one has gone. */
async function waitUntilAlone(witness) {
  await waitUntil("all others are gone", async () => (await countClients(witness)) === 1);
}

/** A witness for stores whose client puts something before every key: it sees keys without that. */
function withPrefix(witness, keyPrefix) {
  const prefixed = Object.create(witness);
  for (const name of BY_KEY) {
    prefixed[name] = (key, ...args) => witness[name](keyPrefix + key, ...args);
  }
  prefixed.keys = async (pattern) =>
    (await witness.keys(keyPrefix + pattern)).map((key) => key.slice(keyPrefix.length));
  prefixed.close = () => witness.close();
  return prefixed;
}

/** A witness for a cluster: it sees the keys of all masters. */
async function openClusterWitness(cluster) {
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

/** A witness for a fake that keeps its data to itself: it looks through the fake. */
function witnessOfFake(fake) {
  const ask = (name, ...args) =>
    new Promise((resolve, reject) => {
      fake[name](...args, (error, reply) => (error ? reject(error) : resolve(reply)));
    });
  const names = [...BY_KEY, "keys"];
  return {
    ...Object.fromEntries(
      names.map((name) => [name, (...args) => ask(name.toLowerCase(), ...args)]),
    ),
    dbSize: async () => (await ask("keys", "*")).length,
    flushDb: () => ask("flushdb"),
    close: async () => {},
  };
}

module.exports = {
  countClients,
  openClusterWitness,
  openWitness,
  waitUntilAlone,
  withPrefix,
  witnessOfFake,
};
