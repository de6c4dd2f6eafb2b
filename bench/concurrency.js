"use strict";

// What `concurrency` costs: `npm run bench:concurrency [-- seconds per cell and round]`. In one process, on
// the Redis that is installed (which compares by a script) and on Valkey 9 (which compares in SET): the
// store with "last", "detect" and "merge", on sessions that were loaded as express-session loads them and
// that nobody else saves; "both" is a get and the save that follows it. Each ratio is the median of the
// rounds' ratios to "last".

const { RedisStore } = require("..");
const { fetchServer } = require("../scripts/fetch-runtimes.js");
const { startRedisServer, versionOfRedis } = require("../scripts/redis-server.js");
const { cpuEach, cpuNow } = require("./cpu.js");
const { fill, keepGoing } = require("./load.js");
const { SIDS, liven, makeSession } = require("./sessions.js");
const { median } = require("./statistics.js");

const ROUNDS = 15;
const MODES = ["last", "detect", "merge"];
/** Sessions held at once to measure their memory. */
const HELD = 20_000;

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

async function main() {
  const seconds = Number(process.argv[2] ?? 0.2);
  if (!(seconds > 0)) throw new Error("usage: npm run bench:concurrency [-- seconds]");
  const installed = process.env.REDIS_SERVER;
  await measureOn(installed, seconds);
  await measureOn(fetchServer("Valkey 9"), seconds);
  if (installed === undefined) delete process.env.REDIS_SERVER;
}

async function measureOn(command, seconds) {
  if (command !== undefined) process.env.REDIS_SERVER = command;
  const redis = await startRedisServer();
  console.log(`\n${versionOfRedis(command ?? "redis-server")}: thousands of operations a second`);
  const stores = MODES.map((concurrency) => {
    return new RedisStore({ url: redis.url, prefix: `${concurrency}:`, concurrency });
  });
  const loaded = new Map();
  for (const store of stores) {
    await fill(store, liven(makeSession()));
    loaded.set(store, await load(store));
  }
  for (const operation of ["get", "set", "both"]) {
    for (const concurrency of [1, 64, 512]) {
      await compare(stores, loaded, operation, concurrency, seconds);
    }
  }
  if (globalThis.gc)
    for (const [n, store] of stores.entries()) await measureMemory(MODES[n], store);
  for (const store of stores) await store.close();
  await redis.stop();
}

/** The sessions of requests under way, by their sids. */
async function load(store) {
  const sessions = new Map();
  for (const sid of SIDS) sessions.set(sid, await loadOne(store, sid));
  return sessions;
}

async function loadOne(store, sid) {
  const request = { sessionID: sid, sessionStore: store };
  return store.createSession(request, await store.get(sid));
}

async function compare(stores, loaded, operation, concurrency, seconds) {
  const rounds = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const rates = [];
    for (let n = 0; n < stores.length; n += 1) {
      const at = (n + round) % stores.length;
      const store = stores[at];
      const call =
        operation === "get"
          ? (sid) => store.get(sid)
          : operation === "set"
            ? (sid) => store.set(sid, loaded.get(store).get(sid))
            : async (sid) => store.set(sid, await loadOne(store, sid));
      await keepGoing(call, concurrency, seconds / 5);
      const before = cpuNow();
      const done = await keepGoing(call, concurrency, seconds);
      const { jsCpu: js } = cpuEach(before, done.calls);
      rates[at] = { rate: done.calls / done.seconds, js };
    }
    rounds.push(rates);
  }
  const cells = MODES.map((mode, n) => {
    const rate = median(rounds.map((rates) => rates[n].rate)) / 1000;
    const ratio = (of) => median(rounds.map((rates) => rates[n][of] / rates[0][of])).toFixed(2);
    return `${mode} ${rate.toFixed(1)}${n === 0 ? "" : ` (${ratio("rate")}×, CPU of the JS thread ${ratio("js")}×)`}`;
  });
  console.log(
    `  ${operation.padEnd(4)} ${`${concurrency}`.padStart(3)} calls   ${cells.join("   ")}`,
  );
}

/** The memory of the process for each session that was read and is still in use. */
async function measureMemory(mode, store) {
  const memory = () => {
    globalThis.gc();
    return process.memoryUsage().rss;
  };
  const before = memory();
  const held = [];
  while (held.length < HELD) {
    held.push(...(await Promise.all(SIDS.map((sid) => store.get(sid)))));
  }
  const each = (memory() - before) / held.length;
  console.log(`  ${mode}: ${Math.round(each)} bytes of memory for a session under way`);
}
