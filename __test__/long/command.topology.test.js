"use strict";

// The command, the pages it is made of, and ping, on a cluster, through sentinels, and over TLS.

const path = require("node:path");
const { RedisStore } = require("connect-redis-rs");
const { startRedisCluster, startRedisSentinel } = require("../../scripts/redis-topologies.js");
const { freePort, startRedisServer } = require("../../scripts/redis-server.js");
const { makeCertificates, needingTls, tlsArgs } = require("../support/certificates.js");
const { start } = require("../support/run.js");
const { bin } = require("../../package.json");

const COMMAND = path.join(__dirname, "..", "..", bin["connect-redis-rs"]);
const COUNT = 500;

const closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function run(...args) {
  const { code, stdout, stderr } = await start([COMMAND, "sessions", ...args]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

function open(options) {
  const store = new RedisStore(options);
  closing.push(() => store.close());
  return store;
}

/** Fills a store, and uses the command on what is there. */
async function prove(store, where) {
  const session = { user: "Ada", cookie: { originalMaxAge: 60_000 } };
  await Promise.all(Array.from({ length: COUNT }, (_, n) => store.set(`sid-${n}`, session)));
  expect(await store.ping()).toBeGreaterThan(0);
  expect(await run("count", ...where)).toBe(`${COUNT}\n`);
  const lines = (await run("list", "--json", ...where)).trim().split("\n");
  const handles = lines.map((line) => JSON.parse(line).handle);
  expect(new Set(handles).size).toBe(COUNT);
  expect(await run("show", handles[COUNT - 1], "--json", ...where)).toContain(handles[COUNT - 1]);
  await run("destroy", ...handles.slice(0, 10), "--yes", ...where);
  expect(await store.length()).toBe(COUNT - 10);
}

test("a cluster", async () => {
  const cluster = await startRedisCluster();
  closing.push(() => cluster.stop());
  const store = open({ cluster: cluster.urls });
  await prove(store, ["--cluster", "-u", cluster.urls.join()]);
  expect(store.metrics().latency.redis.count).toBeGreaterThan(COUNT);
});

test("ping asks each master of a cluster", async () => {
  const cluster = await startRedisCluster();
  closing.push(() => cluster.stop());
  const store = open({ cluster: cluster.urls, commandTimeout: 500 });
  expect(await store.ping()).toBeGreaterThan(0);
  const { pid } = cluster.nodes[2];
  process.kill(pid, "SIGSTOP");
  await expect(store.ping()).rejects.toMatchObject({ code: "ETIMEDOUT" });
  process.kill(pid, "SIGCONT");
});

test("sentinels", async () => {
  const { name, sentinels, stop } = await startRedisSentinel();
  closing.push(stop);
  const nodes = sentinels.map(({ host, port }) => `${host}:${port}`);
  const store = open({ sentinel: { name, nodes } });
  await prove(store, ["--sentinel", nodes.join(), "--master", name]);
});

needingTls(test)("TLS", async () => {
  const environment = await makeCertificates();
  closing.push(() => environment.remove());
  const port = await freePort();
  const server = await startRedisServer({ args: tlsArgs(environment, port) });
  closing.push(() => server.stop());
  const { ca } = environment;
  const store = open({ url: `rediss://localhost:${port}`, tls: { ca } });
  const trusting = ["--cacert", environment.files.ca];
  await prove(store, ["-u", `rediss://localhost:${port}`, ...trusting]);
  await prove(store, ["--tls", "-h", "localhost", "-p", `${port}`, ...trusting]);
  await prove(store, ["-u", `rediss://localhost:${port}`, "--insecure"]);
});
