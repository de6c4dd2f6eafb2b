"use strict";

// What an app's client costs: `npm run bench:clients [-- seconds per cell and round]`. For each
// library, in one process and on one Redis: connect-redis with a client, this store through the same
// client, this store on a direct connection beside it, and this store by url. Each ratio is the median
// of the rounds' ratios.

const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { RedisStore: ConnectRedis } = require("connect-redis");
const { RedisStore: ConnectRedis8 } = require("connect-redis-8");
const { RedisStore } = require("..");
const { startRedisServer } = require("../scripts/redis-server.js");
const { callsOf, fill, keepGoing } = require("./load.js");
const { liven, makeSession } = require("./sessions.js");
const { median } = require("./statistics.js");

const ROUNDS = 15;
const PEERS = [
  ["connect-redis 10 + node-redis 6", ConnectRedis, (url) => createClient({ url }).connect()],
  ["connect-redis 8 + ioredis 5", ConnectRedis8, async (url) => new Redis(url)],
  [
    "connect-redis 8 + ioredis 5 with auto-pipelining",
    ConnectRedis8,
    async (url) => new Redis(url, { enableAutoPipelining: true }),
  ],
];

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

async function main() {
  const seconds = Number(process.argv[2] ?? 0.2);
  if (!(seconds > 0)) throw new Error("usage: npm run bench:clients [-- seconds]");
  const redis = await startRedisServer();
  console.log("thousands of operations a second; ratios\n");
  for (const [name, Peer, open] of PEERS) {
    console.log(name);
    const client = await open(redis.url);
    const stores = {
      peer: new Peer({ client, prefix: "peer:" }),
      client: new RedisStore({ client, transport: "client", prefix: "ours:" }),
      direct: new RedisStore({ client, prefix: "ours:" }),
      url: new RedisStore({ url: redis.url, prefix: "ours:" }),
    };
    const session = liven(makeSession());
    for (const store of Object.values(stores)) await fill(store, session);
    for (const operation of ["get", "set", "touch"]) {
      for (const concurrency of [64, 512]) {
        await compare(stores, operation, concurrency, session, seconds);
      }
    }
    for (const store of [stores.client, stores.direct, stores.url]) await store.close();
    await (client.close ?? client.quit).call(client);
  }
  await redis.stop();
}

async function compare(stores, operation, concurrency, session, seconds) {
  const rounds = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const rates = {};
    // Another order each round, because each measurement leaves garbage for the next.
    const names = Object.keys(stores);
    for (let n = 0; n < names.length; n += 1) {
      const name = names[(n + round) % names.length];
      const call = callsOf(stores[name], session)[operation];
      await keepGoing(call, concurrency, seconds / 5);
      const done = await keepGoing(call, concurrency, seconds);
      rates[name] = done.calls / done.seconds;
    }
    rounds.push(rates);
  }
  const rate = (name) => (median(rounds.map((rates) => rates[name])) / 1000).toFixed(1);
  const ratio = (a, b) => median(rounds.map((rates) => rates[a] / rates[b])).toFixed(2);
  console.log(
    `  ${operation.padEnd(5)} ${`${concurrency}`.padStart(3)} calls   connect-redis ${rate("peer")}` +
      `   through the client ${rate("client")} (${ratio("client", "peer")}×)` +
      `   direct ${rate("direct")}   url ${rate("url")} (direct ${ratio("direct", "url")}×)`,
  );
}
