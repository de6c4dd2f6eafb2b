"use strict";

// The store and its process: when it stays alive, how it ends, what worker threads may do.

const { startRedisServer } = require("../scripts/redis-server.js");
const { run, start } = require("./support/run.js");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

/** Runs code with a store of this server at hand. */
function withStore(code) {
  return run(
    `import { RedisStore } from "connect-redis-rs";
     import { setTimeout as wait } from "node:timers/promises";
     import { Worker } from "node:worker_threads";
     import { countClients, openWitness } from "./__test__/support/witness.js";
     const url = process.env.URL_OF_REDIS;
     const store = new RedisStore({ url });
     ${code}`,
    { URL_OF_REDIS: server.url },
  );
}

const clean = { code: 0, signal: null, stderr: "" };

test("an idle store does not keep the process alive", async () => {
  expect(await withStore("")).toMatchObject(clean);
  expect(await withStore("await store.set('a', {});")).toMatchObject(clean);
});

test("a pending call does", async () => {
  const result = await withStore(`
    store.set("a", { n: 1 }).then(() => store.get("a")).then((s) => console.log(s.n));
    store.length((error, n) => console.log(error, typeof n));
    store.all().then((all) => console.log(Array.isArray(all)));
  `);
  expect(result).toMatchObject(clean);
  expect(result.stdout.split("\n").sort()).toEqual(["", "1", "null number", "true"]);
});

test("a store nobody holds any more still answers, and its connection goes", async () => {
  const result = await withStore(`
    const witness = await openWitness({ url });
    await store.get("a");
    const before = await countClients(witness);
    const dropAll = () =>
      Array.from({ length: 20 }, async (_, n) => {
        const dropped = new RedisStore({ url });
        await Promise.all([dropped.set("d" + n, { n }), dropped.all()]);
      });
    const calls = dropAll();
    gc();
    await Promise.all(calls);
    while ((await countClients(witness)) > before) {
      gc();
      await wait(10);
    }
    witness.destroy();
    console.log("gone");
  `);
  expect(result).toMatchObject({ ...clean, stdout: "gone\n" });
});

test("a callback that throws does not touch its neighbours", async () => {
  const result = await withStore(`
    const thrown = [];
    process.on("unhandledRejection", (error) => thrown.push(error.message));
    let answered = 0;
    for (let n = 0; n < 500; n += 1) {
      store.get("a" + n, () => {
        answered += 1;
        if (n % 100 === 0) throw new Error("mine " + n);
      });
    }
    while (answered < 500) await wait(5);
    await wait(5);
    console.log(answered, thrown.join());
  `);
  expect(result).toMatchObject({
    ...clean,
    stdout: "500 mine 0,mine 100,mine 200,mine 300,mine 400\n",
  });
});

test("a listener that throws is an uncaught exception, as with any emitter", async () => {
  const result = await withStore(`
    process.on("uncaughtException", (error) => console.log(error.message));
    store.on("ready", () => { throw new Error("mine"); });
    console.log(await store.get("none"));
  `);
  expect(result.code).toBe(0);
  expect(result.stdout.split("\n").sort()).toEqual(["", "mine", "null"]);
});

test.each([
  ["process.exit() with calls pending", "store.get('a'); process.exit(0);"],
  ["process.exit() in a callback", "store.get('a', () => process.exit(0)); store.all();"],
  [
    "an uncaught exception",
    "process.on('uncaughtException', () => process.exit(0)); store.get('a'); throw 1;",
  ],
])("%s ends the process cleanly", async (_name, code) => {
  expect(await withStore(code)).toMatchObject(clean);
});

test("worker threads may each have a store, and be ended in mid-flight", async () => {
  const result = await withStore(`
    const code = \`
      const { parentPort, workerData } = require("node:worker_threads");
      const { RedisStore } = require("connect-redis-rs");
      const store = new RedisStore({ url: workerData });
      const go = () => Promise.all(Array.from({ length: 50 }, (_, n) => store.set("w" + n, { n })));
      (async () => {
        await go();
        parentPort.postMessage("works");
        for (;;) await Promise.all([go(), store.all(), store.length()]);
      })();
    \`;
    for (let round = 0; round < 5; round += 1) {
      await Promise.all(
        Array.from({ length: 4 }, async () => {
          const worker = new Worker(code, { eval: true, workerData: url, execArgv: [] });
          await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
          await worker.terminate();
        }),
      );
    }
    await store.set("a", { n: 1 });
    console.log((await store.get("a")).n);
  `);
  expect(result).toMatchObject({ ...clean, stdout: "1\n" });
}, 60_000);

test("a worker that ends in the middle of all() leaves no connection behind", async () => {
  const result = await withStore(`
    const witness = await openWitness({ url });
    await Promise.all(Array.from({ length: 5000 }, (_, n) => store.set("m" + n, { n })));
    const before = await countClients(witness);
    const code = \`
      const { parentPort, workerData } = require("node:worker_threads");
      const { RedisStore } = require("connect-redis-rs");
      const store = new RedisStore({ url: workerData });
      store.get("a").then(() => {
        store.all();
        store.ids();
        parentPort.postMessage("under way");
        for (;;);
      });
    \`;
    for (let n = 0; n < 4; n += 1) {
      const worker = new Worker(code, { eval: true, workerData: url, execArgv: [] });
      await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
      await wait(30);
      await worker.terminate();
    }
    while ((await countClients(witness)) > before) await wait(10);
    witness.destroy();
    console.log("gone");
  `);
  expect(result).toMatchObject({ ...clean, stdout: "gone\n" });
});

test("an addon that only a worker has loaded can go with it", async () => {
  const result = await run(
    `import { Worker } from "node:worker_threads";
     const code = \`
       const { RedisStore } = require("connect-redis-rs");
       new RedisStore({ url: process.env.URL_OF_REDIS }).set("a", {}).then(() => console.log("set"));
     \`;
     for (let round = 0; round < 3; round += 1) {
       await new Promise((resolve) => new Worker(code, { eval: true, execArgv: [] }).once("exit", resolve));
     }
     await new Promise((resolve) => setTimeout(resolve, 100));`,
    { URL_OF_REDIS: server.url },
  );
  expect(result).toMatchObject({ ...clean, stdout: "set\nset\nset\n" });
});

test("many stores opened and closed leave no descriptor and no thread behind", async () => {
  const result = await withStore(`
    import { readdirSync } from "node:fs";
    const open = () => ["fd", "task"].map((kind) => readdirSync("/proc/self/" + kind).length);
    const round = async () => {
      const stores = Array.from({ length: 50 }, () => new RedisStore({ url }));
      await Promise.all(stores.map((one) => one.get("a")));
      await Promise.all(stores.map((one) => one.close()));
    };
    await round();
    const before = open();
    for (let n = 0; n < 10; n += 1) await round();
    const after = open();
    console.log(after[0] <= before[0] + 5, after[1] <= before[1]);
  `);
  expect(result).toMatchObject({ ...clean, stdout: "true true\n" });
});

test("calls do not make the process grow", async () => {
  const result = await withStore(`
    const { rss } = process.memoryUsage;
    const session = { text: "x".repeat(500), cookie: { originalMaxAge: 60000, expires: new Date(Date.now() + 60000) } };
    const round = async () => {
      for (let n = 0; n < 200; n += 1) {
        await Promise.all(Array.from({ length: 100 }, (_, i) =>
          i % 2 ? store.get("a" + i) : store.set("a" + i, session)));
      }
      gc();
    };
    await round();
    await round();
    const before = process.memoryUsage().rss;
    for (let n = 0; n < 4; n += 1) await round();
    const grown = (process.memoryUsage().rss - before) / 2 ** 20;
    console.log(grown < 30 ? "bounded" : "grown by " + grown + " MB");
  `);
  expect(result).toMatchObject({ ...clean, stdout: "bounded\n" });
}, 60_000);

test("npm start proves that sessions live in Redis, and serves its page", async () => {
  let page;
  const result = await start(["demo/server.js"], { PORT: "0", REDIS_URL: "" }, (stdout, child) => {
    const address = /in a browser: (\S+)/.exec(stdout)?.[1];
    if (address && !page) {
      page = fetch(address).then(async (response) => {
        const answer = { status: response.status, text: await response.text() };
        child.kill("SIGTERM");
        return answer;
      });
    }
  });
  expect(result).toMatchObject(clean);
  expect(result.stdout.match(/✓/g)).toHaveLength(9);
  expect(result.stdout).toContain('"user":"Ada"');
  expect((await page).status).toBe(200);
  expect((await page).text).toContain("Nobody is signed in");
});

test("the demo says what is wrong with its environment", async () => {
  for (const [env, said] of [
    [{ PORT: "abc" }, 'PORT must be a number from 0 to 65535, got "abc"'],
    [{ PORT: String(server.port), REDIS_URL: server.url }, `Port ${server.port} is in use`],
    [{ PORT: "0", REDIS_URL: "redis://127.0.0.1:1" }, "Redis cannot be reached"],
  ]) {
    const { code, stderr } = await start(["demo/server.js"], env);
    expect(code).toBe(1);
    expect(stderr).toContain(said);
  }
});
