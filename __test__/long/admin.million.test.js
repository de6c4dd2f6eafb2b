"use strict";

// The admin page over a million sessions, all of one user: each of its answers costs what it shows.

const express = require("express");
const { RedisStore } = require("connect-redis-rs");
const { admin } = require("connect-redis-rs/admin");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { openInspector } = require("../support/inspector.js");

const COUNT = 1_000_000;
const AT_ONCE = 50_000;

/** Stores sessions from number ARGV[1] on, and lists them in the user's set KEYS[1]. */
const FILL = `local text = '{"user":"crawler","cookie":{"originalMaxAge":36000000}}'
for n = ARGV[1], ARGV[1] + ARGV[2] - 1 do
  redis.call('SET', string.format('sess:planted-%d', n), text, 'PX', 36000000)
  redis.call('ZADD', KEYS[1], ARGV[3], string.format('planted-%d', n))
end`;

let server;
let inspector;
let store;
let listening;

beforeAll(async () => {
  server = await startRedisServer();
  inspector = await openInspector(server);
  store = new RedisStore({ url: server.url, user: "user", onUnavailable: "error" });
  await store.set("planted-0", { user: "crawler", cookie: { originalMaxAge: 36_000_000 } });
  const [usersKey] = await inspector.keys("idx:sess:user:*");
  const end = `${Date.now() + 36_000_000}`;
  for (let n = 0; n < COUNT; n += AT_ONCE) {
    await inspector.eval(FILL, { keys: [usersKey], arguments: [`${n}`, `${AT_ONCE}`, end] });
  }
  const app = express();
  app.use("/", admin(store, { authorize: () => true, write: true, show: ["user"] }));
  await new Promise((resolve) => {
    listening = app.listen(0, "127.0.0.1", resolve);
  });
}, 120_000);

afterAll(async () => {
  listening?.closeAllConnections();
  listening?.close();
  await store?.close();
  await inspector?.close();
  await server?.stop();
});

const origin = () => `http://127.0.0.1:${listening.address().port}`;

async function go(path, init) {
  const response = await fetch(`${origin()}${path}`, init);
  const text = await response.text();
  expect(text).not.toContain("planted-");
  const handles = [...text.matchAll(/<tr data-handle="(\w+)"/g)].map(([, handle]) => handle);
  return { status: response.status, text, handles };
}

function destroy(body) {
  const headers = {
    "content-type": "application/json",
    "x-connect-redis-rs": "admin",
    origin: origin(),
  };
  return go("/destroy", { method: "POST", headers, body: JSON.stringify(body) });
}

/** How many commands Redis gets while something is done. */
async function commandsOf(make) {
  const read = async () =>
    Number(/total_commands_processed:(\d+)/.exec(await inspector.info("stats"))[1]);
  const before = await read();
  const made = await make();
  return { made, commands: (await read()) - before };
}

test("a page takes some steps of SCAN, and leads to the next one", async () => {
  const { made: seen, commands } = await commandsOf(async () => {
    const all = new Set();
    for (let n = 0, path = "/"; n < 50; n += 1) {
      const { text, handles } = await go(path);
      for (const handle of handles) all.add(handle);
      [path] = /\/\?at=[^"]+/.exec(text);
    }
    return all;
  });
  expect(seen.size).toBeGreaterThan(50 * 30);
  expect(commands).toBeLessThan(50 * 500);
});

test("all are counted, and the count is kept for a while", async () => {
  expect((await go("/count")).text).toBe(`{"count":${COUNT}}`);
  const { made, commands } = await commandsOf(() => go("/count"));
  expect(made.text).toBe(`{"count":${COUNT}}`);
  expect(commands).toBeLessThan(10);
});

test("a search by user reads no more sessions than it shows, about", async () => {
  const { made, commands } = await commandsOf(() => go("/?user=crawler"));
  expect(made.handles).toHaveLength(200);
  expect(made.text).toContain(`About ${COUNT - 200} more are not shown`);
  expect(commands).toBeLessThan(5000);
});

test("a session of the list is destroyed, and so is one of the search", async () => {
  const { handles: listed } = await go("/");
  expect((await destroy({ handle: listed[0], at: "" })).status).toBe(200);
  const { handles: found } = await go("/?user=crawler");
  const handle = found.find((one) => one !== listed[0]);
  expect((await destroy({ handle, of: "crawler" })).status).toBe(200);
  expect(await store.length()).toBe(COUNT - 2);
});

test("a handle that stands for none is looked for in all, and other requests are answered meanwhile", async () => {
  let isOver = false;
  const search = go(`/session?handle=${"0".repeat(24)}`).finally(() => {
    isOver = true;
  });
  let answered = 0;
  while (!isOver) {
    await store.get("planted-17");
    answered += 1;
  }
  expect((await search).status).toBe(404);
  expect(answered).toBeGreaterThan(50);
});
