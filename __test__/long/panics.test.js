"use strict";

// A panic of the native side is a bug of this library. These tests provoke panics, in an addon that is
// built for it (src/test_panics.rs): Node keeps running, each call settles, other stores go on.

const { spawnSync } = require("node:child_process");
const { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { run } = require("../support/run.js");

const ROOT = path.join(__dirname, "..", "..");

let server;
let folder;
let addon;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-panics-"));
  addon = path.join(folder, "panics.node");
  copyFileSync(build(), addon);
  server = await startRedisServer();
}, 600_000);

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Builds the library with the panics, not optimised; returns its file. */
function build() {
  const args = ["build", "--features", "test-panics", "--message-format", "json"];
  const { status, stdout, stderr } = spawnSync("cargo", args, { cwd: ROOT, encoding: "utf8" });
  if (status !== 0) throw new Error(`cargo ${args.join(" ")} has failed:\n${stderr}`);
  const files = stdout
    .trim()
    .split("\n")
    .flatMap((line) => JSON.parse(line).filenames ?? []);
  return files.find((file) => file.endsWith("libconnect_redis_rs.so"));
}

/**
 * Runs code with two stores, in a process that loads the addon with panics; resolves to what the code
 * logs. Afterwards the other store and a new one must work.
 */
async function withPanics(code) {
  const { stdout, stderr, ...end } = await run(
    `import { once } from "node:events";
     import { createClient } from "redis";
     import { RedisStore } from "connect-redis-rs";
     const url = process.env.URL_OF_REDIS;
     const store = new RedisStore({ url, prefix: "panics:" });
     const other = new RedisStore({ url });
     const works = async (one) => {
       await one.set("works", { n: 1 });
       if ((await one.get("works")).n !== 1) throw new Error("does not work");
     };
     await works(other);
     const outcome = (call) =>
       call.then((value) => value, (error) => [error.name, error.code, error.message].join());
     const log = (value) => console.log(JSON.stringify(value));
     ${code}
     await works(other);
     await works(new RedisStore({ url }));`,
    { URL_OF_REDIS: server.url, CONNECT_REDIS_RS_ADDON: addon },
  );
  expect({ ...end, stderr }).toEqual({
    code: 0,
    signal: null,
    stderr: expect.stringContaining("the feature test-panics: panic at "),
  });
  return JSON.parse(stdout);
}

const internal = (name) =>
  `RedisStoreError,EINTERNAL,${name}: internal error of connect-redis-rs, please report it`;
const closed = (name) =>
  `RedisStoreError,ECLOSED,${name}: the store is closed; make a new RedisStore to go on`;

test("the addon that is used has none of these panics", () => {
  const files = readdirSync(ROOT).filter((file) => file.endsWith(".node"));
  expect(files).not.toEqual([]);
  for (const file of files) {
    expect(readFileSync(path.join(ROOT, file)).includes("test-panics")).toBe(false);
  }
  expect(readFileSync(addon).includes("test-panics")).toBe(true);
});

test("on the JS thread, in a method: the call rejects, and no other", async () => {
  const seen = await withPanics(`
    const calls = [store.set("a", { n: 1 }), store.get("panic at the call"), store.get("a")];
    log(await Promise.all(calls.map(outcome)));
    await works(store);
  `);
  expect(seen).toEqual([null, internal("get"), { n: 1 }]);
});

test("on the JS thread, while replies are settled: the call rejects, and no other", async () => {
  const seen = await withPanics(`
    await store.set("bad", { text: "panic at the answer" });
    const calls = Array.from({ length: 200 }, (_, n) => store.get(n === 100 ? "bad" : "none"));
    log(await Promise.all(calls.map(outcome)));
    await works(store);
  `);
  expect(seen).toEqual(Array.from({ length: 200 }, (_, n) => (n === 100 ? internal("get") : null)));
});

test("on the JS thread, while all() is settled: the record counts as corrupt", async () => {
  const seen = await withPanics(`
    await store.clear();
    const sids = Array.from({ length: 3000 }, (_, n) => "s" + n);
    await Promise.all(sids.map((sid) => store.set(sid, { n: 1 })));
    await store.set("bad", { text: "panic at the answer" });
    const corrupt = [];
    store.on("corrupt", (sid, error) => corrupt.push(sid, error.code));
    const all = await store.all();
    log([all.length, corrupt]);
    await works(store);
  `);
  expect(seen).toEqual([3000, ["bad", "EINTERNAL"]]);
});

test("on the I/O thread, in one call's reply: the call rejects, and no other", async () => {
  const seen = await withPanics(`
    const cookie = { originalMaxAge: 60000, expires: new Date(Date.now() + 60000) };
    await store.set("bad", { text: "panic at the expiry", cookie });
    await store.set("good", { n: 1, cookie });
    const calls = [store.get("good"), store.get("bad"), store.get("none"), store.get("good")];
    log((await Promise.all(calls.map(outcome))).map((one) => one?.n ?? one));
    await works(store);
  `);
  expect(seen).toEqual([1, internal("get"), null, 1]);
});

test("on the I/O thread, in a scan: it rejects, and the store goes on", async () => {
  const seen = await withPanics(`
    await store.set("bad", { text: "panic at the expiry" });
    const client = createClient({ url });
    await client.connect();
    const through = new RedisStore({ client, transport: "client", prefix: "panics:" });
    const calls = [store.all(), store.get("none"), store.all(), through.all(), through.get("none")];
    log(await Promise.all(calls.map(outcome)));
    await works(store);
    await works(through);
    await Promise.all([store.length(), through.length()]);
    client.destroy();
  `);
  expect(seen).toEqual([internal("all"), null, internal("all"), internal("all"), null]);
});

test("on the I/O thread, under all calls of a store: they reject, and it is closed", async () => {
  const seen = await withPanics(`
    await works(store);
    const ended = once(store, "end");
    const calls = Array.from({ length: 3000 }, (_, n) =>
      store.get(n === 1500 ? "panic at the sending" : "none"));
    const scans = [store.length(), store.all()];
    const outcomes = await Promise.all(calls.map(outcome));
    await ended;
    log({
      outcomes: [...new Set(outcomes)],
      bad: outcomes[1500],
      scans: await Promise.all(scans.map(outcome)),
      status: store.status,
      later: await Promise.all([store.get("a"), store.all()].map(outcome)),
      close: await store.close(),
    });
  `);
  expect(seen).toMatchObject({
    bad: internal("get"),
    scans: [closed("length"), closed("all")],
    status: "closed",
    later: [closed("get"), closed("all")],
    close: null,
  });
  for (const outcome of seen.outcomes) {
    expect([null, internal("get"), closed("get")]).toContain(outcome);
  }
});

test("on the I/O thread, beside a client: the calls reject, and a new connection follows", async () => {
  const seen = await withPanics(`
    const client = createClient({ url });
    await client.connect();
    const beside = new RedisStore({ client });
    await works(beside);
    const transport = beside.transport;
    const bad = await outcome(beside.get("panic at the sending"));
    while (await outcome(beside.get("none")) !== null) await new Promise(setImmediate);
    log([transport, bad, beside.transport, beside.status]);
    await works(beside);
    client.destroy();
  `);
  expect(seen).toEqual(["native", internal("get"), "native", "ready"]);
});
