"use strict";

// Store operations against connect-redis 10 + node-redis 6, side by side in one process and on one
// Redis: `npm run bench [-- seconds per cell and round]`. Rounds alternate between the stores; the
// figures are medians of the rounds, the last one that of the rounds' ratios.

const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const OurStore = require("..");
const { startRedisServer } = require("../scripts/redis-server.js");

const { fill, makeSession, measure, median } = require("./measure.js");

const ROUNDS = 9;
const CONCURRENCY = [1, 64, 512];

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

async function main() {
  const seconds = Number(process.argv[2] ?? 0.5);
  if (!(seconds > 0)) throw new Error("usage: npm run bench [-- seconds per cell and round]");
  const redis = await startRedisServer();
  const client = createClient({ url: redis.url });
  await client.connect();
  const stores = {
    "connect-redis": new RedisStore({ client, prefix: "peer:" }),
    "connect-redis-rs": new OurStore({ url: redis.url, prefix: "ours:" }),
  };
  const session = makeSession();
  console.log(
    `Node ${process.version}, sessions of ${JSON.stringify(session).length} bytes, ` +
      `${ROUNDS} rounds of ${seconds} s; thousands of operations a second` +
      `${process.threadCpuUsage ? " (µs of JS-thread CPU each)" : ""}\n`,
  );
  for (const store of Object.values(stores)) await fill(store, session);
  for (const operation of ["get", "set", "touch"]) {
    for (const concurrency of CONCURRENCY) {
      const results = { "connect-redis": [], "connect-redis-rs": [] };
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const [name, store] of Object.entries(stores)) {
          await measure(store, operation, concurrency, session, seconds / 5);
          results[name].push(await measure(store, operation, concurrency, session, seconds));
        }
      }
      report(operation, concurrency, results);
    }
  }
  await stores["connect-redis-rs"].close();
  await client.close();
  await redis.stop();
}

function report(operation, concurrency, results) {
  const of = (name, field) => median(results[name].map((result) => result[field]));
  const cell = (name) => {
    const cpu = of(name, "cpu");
    const rate = (of(name, "rate") / 1000).toFixed(1).padStart(6);
    return Number.isNaN(cpu) ? rate : `${rate} (${cpu.toFixed(1)})`;
  };
  const peers = results["connect-redis"];
  const ratio = median(results["connect-redis-rs"].map(({ rate }, n) => rate / peers[n].rate));
  const calls = String(concurrency).padStart(3);
  const names = Object.keys(results).map((name) => `${name} ${cell(name)}`);
  console.log(
    `${operation.padEnd(5)} ${calls} calls   ${names.join("   ")}   ${ratio.toFixed(2)}×`,
  );
}
