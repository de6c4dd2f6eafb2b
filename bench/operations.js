"use strict";

// Store operations against connect-redis 10 + node-redis 6, side by side in one process and on one
// Redis: `npm run bench [-- seconds per cell and round]`. Rounds alternate between the stores; the
// figures are medians of the rounds, the last one that of the rounds' ratios.

const { RedisStore } = require("connect-redis");
const { createClient } = require("redis");
const OurStore = require("..");
const { startRedisServer } = require("../scripts/redis-server.js");

const ROUNDS = 9;
const CONCURRENCY = [1, 64, 512];
const SIDS = Array.from({ length: 1000 }, (_, n) => `s${n}`);
const MAX_AGE_MS = 3_600_000;

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
  for (const store of Object.values(stores)) {
    for (const sid of SIDS) await store.set(sid, session);
  }
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

/** Keeps `concurrency` calls going for `seconds`. */
async function measure(store, operation, concurrency, session, seconds) {
  const call = {
    get: (sid) => store.get(sid),
    set: (sid) => store.set(sid, session),
    touch: (sid) => store.touch(sid, session),
  }[operation];
  let calls = 0;
  let running = true;
  const started = performance.now();
  setTimeout(() => {
    running = false;
  }, seconds * 1000);
  const cpu = process.threadCpuUsage?.();
  const worker = async () => {
    while (running) {
      calls += 1;
      await call(SIDS[calls % SIDS.length]);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const elapsed = (performance.now() - started) / 1000;
  const used = cpu && process.threadCpuUsage(cpu);
  return { rate: calls / elapsed, cpu: used ? (used.user + used.system) / calls : Number.NaN };
}

function report(operation, concurrency, results) {
  const middle = (numbers) => numbers.sort((a, b) => a - b)[ROUNDS >> 1];
  const median = (name, field) => middle(results[name].map((result) => result[field]));
  const cell = (name) => {
    const cpu = median(name, "cpu");
    const rate = (median(name, "rate") / 1000).toFixed(1).padStart(6);
    return Number.isNaN(cpu) ? rate : `${rate} (${cpu.toFixed(1)})`;
  };
  const peers = results["connect-redis"];
  const ratio = middle(results["connect-redis-rs"].map(({ rate }, n) => rate / peers[n].rate));
  const calls = String(concurrency).padStart(3);
  const names = Object.keys(results).map((name) => `${name} ${cell(name)}`);
  console.log(
    `${operation.padEnd(5)} ${calls} calls   ${names.join("   ")}   ${ratio.toFixed(2)}×`,
  );
}

/** A session of about 600 bytes, as an app that has a user signed in would hold. */
function makeSession() {
  return {
    cookie: {
      originalMaxAge: MAX_AGE_MS,
      expires: new Date(Date.now() + MAX_AGE_MS).toISOString(),
      secure: true,
      httpOnly: true,
      path: "/",
      sameSite: "lax",
    },
    passport: { user: "64f1c0ffee64f1c0ffee64f1" },
    csrfSecret: "Zm9vYmFyYmF6cXV4Zm9vYmFy",
    returnTo: "/account/settings?tab=security",
    views: 42,
    flash: { info: ["Your profile was saved."], error: [] },
    cart: [
      { sku: "A-1001", quantity: 2, price: 19.9, title: "Coffee, whole beans, 500 g" },
      { sku: "B-2002", quantity: 1, price: 249, title: "Grinder with steel burrs" },
    ],
    preferences: { locale: "en-GB", theme: "dark", currency: "EUR", newsletter: false },
  };
}
