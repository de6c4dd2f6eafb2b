"use strict";

// A Redis that is far away: the event loop watches the socket for the replies (src/io/direct.rs).

const { setTimeout: wait } = require("node:timers/promises");
const { useRedis } = require("./support/life-cycle.js");
const { openStore } = require("./support/stores.js");
const { startProxy } = require("./support/proxy.js");
const { run } = require("./support/run.js");

let server;
let inspector;
let proxy;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

/** Opens a store whose replies take so many milliseconds. */
async function openFar(ms, options) {
  proxy = await startProxy(server);
  closing.push(() => proxy.stop());
  const store = openStore(closing, { url: proxy.url, ...options });
  await store.set("a", { n: 0 });
  proxy.delay(ms);
  await store.get("a");
  return store;
}

test("calls that follow one another get each its own answer", async () => {
  const store = await openFar(2);
  for (let n = 1; n <= 100; n += 1) {
    await store.set("a", { n });
    expect(await store.get("a")).toMatchObject({ n });
  }
});

test("calls of all numbers get each its own answer, soon or late", async () => {
  const store = await openFar(2);
  for (let round = 0; round < 60; round += 1) {
    proxy.delay(round % 3);
    const sids = Array.from({ length: 1 + ((round * 7) % 40) }, (_, n) => `${n}`);
    await Promise.all(sids.map((sid) => store.set(sid, { sid, round })));
    const sessions = await Promise.all(sids.map((sid) => store.get(sid)));
    expect(sessions.map(({ sid, round: at }) => [sid, at])).toEqual(
      sids.map((sid) => [sid, round]),
    );
  }
});

test("calls made while others are awaited get each its own answer", async () => {
  const store = await openFar(1);
  for (let round = 0; round < 30; round += 1) {
    proxy.delay(round % 3);
    const calls = Array.from({ length: 20 }, async (_, n) => {
      if (n % 3 === 1) await wait((n * round) % 4);
      if (n % 3 === 2) await new Promise((resolve) => setImmediate(resolve));
      const sid = `${n}`;
      await store.set(sid, { n, round });
      expect(await store.get(sid)).toMatchObject({ n, round });
      await store.destroy(sid);
      expect(await store.get(sid)).toBe(null);
    });
    await Promise.all(calls);
  }
});

test("a reply that comes after others have been sent is waited for", async () => {
  const store = await openFar(20);
  const first = store.get("a");
  await wait(5);
  const second = store.set("b", { n: 2 });
  await wait(1);
  const third = store.length();
  expect(await Promise.all([first, second])).toMatchObject([{ n: 0 }, null]);
  expect(await third).toBe(2);
});

test("a reply that came while JS was busy is no timeout", async () => {
  const store = openStore(closing, { url: server.url, commandTimeout: 1000 });
  await store.set("a", { n: 0 });
  for (let round = 0; round < 2; round += 1) {
    const reply = store.get("a");
    await new Promise((resolve) => process.nextTick(resolve)); // The call is on its way.
    const until = Date.now() + 1500;
    while (Date.now() < until);
    expect(await reply).toMatchObject({ n: 0 });
  }
});

test.each([
  ["JS reads", () => {}],
  ["the I/O thread reads", (store) => store.length()],
])("a reply that came while JS was busy and %s makes no session live longer", async (_, next) => {
  const store = openStore(closing, { url: server.url });
  const ends = Date.now() + 60_000;
  const stale = { cookie: { originalMaxAge: 10_000, expires: new Date() } };
  await inspector.set("sess:a", JSON.stringify(stale), { PXAT: ends });
  await store.get("a");
  const reply = store.get("a");
  await new Promise((resolve) => process.nextTick(resolve)); // The call is on its way.
  const until = Date.now() + 1000;
  while (Date.now() < until);
  await next(store);
  const { cookie } = await reply;
  expect(Date.parse(cookie.expires) - ends).toBeLessThan(500);
});

test("a connection that is lost while a reply is awaited is replaced", async () => {
  const store = await openFar(30);
  for (let round = 1; round <= 5; round += 1) {
    const reply = store.get("a");
    await wait(10);
    await proxy.refuse();
    await proxy.heal();
    expect(await reply).toMatchObject({ n: 0 });
    proxy.delay(30);
    await store.get("a");
  }
});

test("a connection that is lost while several replies are awaited is replaced", async () => {
  const store = await openFar(30);
  for (let round = 1; round <= 5; round += 1) {
    const replies = [store.set("a", { n: round })];
    for (let n = 0; n < 5; n += 1) {
      await wait(2);
      replies.push(store.get("a"));
    }
    await proxy.refuse();
    await proxy.heal();
    const [, ...sessions] = await Promise.all(replies);
    expect(sessions.map(({ n }) => n)).toEqual(Array(5).fill(round));
    proxy.delay(30);
    await store.get("a");
  }
});

test("a server that goes while a reply is awaited is an error in time", async () => {
  const store = await openFar(30, { commandTimeout: 500 });
  const reply = store.get("a");
  await wait(10);
  await proxy.refuse();
  await expect(reply).rejects.toMatchObject({ code: "ECONNREFUSED" });
});

// What the processes below begin with.
const BEGIN = `
  import { readdirSync } from "node:fs";
  import { setTimeout as wait } from "node:timers/promises";
  import { Worker } from "node:worker_threads";
  import { RedisStore } from "connect-redis-rs";
  const opened = () => readdirSync("/proc/self/fd").length;
`;

test("a process with nothing to wait for ends, whether or not its store is closed", async () => {
  await openFar(5);
  for (const end of ["", "await store.close();"]) {
    const result = await run(
      `${BEGIN}
       const store = new RedisStore({ url: process.env.URL });
       for (let n = 0; n < 10; n += 1) await store.get("a");
       console.log("done");
       ${end}`,
      { URL: proxy.url },
    );
    expect(result).toEqual({ code: 0, signal: null, stdout: "done\n", stderr: "" });
  }
});

test("worker threads end while replies are awaited, and leave nothing open", async () => {
  await openFar(5);
  const result = await run(
    `${BEGIN}
     const code = \`
       const { parentPort } = require("node:worker_threads");
       const { RedisStore } = require("connect-redis-rs");
       const store = new RedisStore({ url: process.env.URL });
       (async () => {
         for (let n = 0; ; n += 1) {
           if (n === 5) parentPort.postMessage("under way");
           await store.get("a");
         }
       })();
     \`;
     const employ = async () => {
       const worker = new Worker(code, { eval: true, execArgv: [] });
       await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
       await wait(Math.random() * 10);
       await worker.terminate();
     };
     for (let n = 0; n < 3; n += 1) await employ();
     const before = opened();
     for (let n = 0; n < 12; n += 1) await employ();
     await wait(100);
     // A leak of one descriptor a worker would be 12.
     console.log(opened() <= before + 6);`,
    { URL: proxy.url },
  );
  expect(result).toEqual({ code: 0, signal: null, stdout: "true\n", stderr: "" });
}, 60_000);

test("a store that is closed lets go of what it has watched", async () => {
  await openFar(5);
  const result = await run(
    `${BEGIN}
     const use = async () => {
       const store = new RedisStore({ url: process.env.URL });
       for (let n = 0; n < 5; n += 1) await store.get("a");
       await store.close();
     };
     await use();
     await wait(100);
     const before = opened();
     for (let n = 0; n < 20; n += 1) await use();
     await wait(100);
     console.log(opened() - before);`,
    { URL: proxy.url },
  );
  expect(result).toEqual({ code: 0, signal: null, stdout: "0\n", stderr: "" });
});
