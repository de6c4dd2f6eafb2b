"use strict";

// Writes how many bytes JS allocates for a call, as JSON. See costs.js.

const { RedisStore } = require("..");
const { startRedisServer } = require("./redis-server.js");

const CALLS = 4000;
/** More than go out directly: how often JS looks for replies depends on how busy the machine is. */
const AT_ONCE = 64;
const HOUR = 3_600_000;

const session = () => ({
  cookie: { originalMaxAge: HOUR, expires: new Date(Date.now() + HOUR).toISOString(), path: "/" },
  user: "ada",
  pad: "x".repeat(450),
});

/** The bytes that a call allocates; the least of some runs, since a collection or a compilation adds. */
async function allocated(call) {
  const runs = [];
  for (let run = 0; run < 40; run += 1) {
    globalThis.gc();
    const before = process.memoryUsage().heapUsed;
    for (let n = 0; n < CALLS; n += AT_ONCE) {
      await Promise.all(Array.from({ length: AT_ONCE }, call));
    }
    runs.push((process.memoryUsage().heapUsed - before) / CALLS);
  }
  const positive = runs.slice(2).filter((bytes) => bytes > 0);
  return Math.round(Math.min(...positive));
}

async function main() {
  const server = await startRedisServer();
  const plain = new RedisStore({ url: server.url });
  const near = new RedisStore({ url: server.url, cache: { maxStale: 60_000 }, touchAfter: 60 });
  const kept = session();
  await plain.set("sid", kept);
  await near.get("sid");
  const costs = {
    get: await allocated(() => plain.get("sid")),
    set: await allocated(() => plain.set("sid", kept)),
    touch: await allocated(() => plain.touch("sid", kept)),
  };
  await near.get("sid");
  costs["get from a copy"] = await allocated(() => near.get("sid"));
  await Promise.all([plain.close(), near.close()]);
  await server.stop();
  console.log(JSON.stringify(costs));
}

main();
