"use strict";

// The minimum that must work on a platform: the addon loads, its I/O thread connects, replies and
// errors come back. With REDIS_URL, it also stores a session in that Redis and reads it.

const assert = require("node:assert/strict");
const RedisStore = require("connect-redis-rs");

main().then(
  () => console.log(`smoke: works on ${process.platform} ${process.arch}, Node ${process.version}`),
  (error) => {
    console.error("smoke:", error);
    process.exitCode = 1;
  },
);

async function main() {
  const nobody = new RedisStore({ url: "redis://127.0.0.1:1", commandTimeout: 2000 });
  await assert.rejects(nobody.get("sid"), { name: "RedisStoreError", code: "ECONNREFUSED" });
  await nobody.close();

  const { REDIS_URL: url } = process.env;
  if (!url) return console.log("smoke: no session was stored, because REDIS_URL is not set");
  const store = new RedisStore({ url, prefix: "smoke:" });
  const expires = new Date(Date.now() + 60_000).toISOString();
  const session = { user: "Ada", cookie: { originalMaxAge: 60_000, expires } };
  await store.set("sid", session);
  assert.equal((await store.get("sid")).user, "Ada");
  await store.touch("sid", session);
  assert.deepEqual(await store.ids(), ["sid"]);
  await store.destroy("sid");
  assert.equal(await store.get("sid"), null);
  await store.close();
}
