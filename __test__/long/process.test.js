"use strict";

// The store and its process: what keeps the process alive, how it ends, worker threads.

const { startRedisServer } = require("../../scripts/redis-server.js");
const { measured } = require("../support/measured.js");
const { run } = require("../support/run.js");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

/** Describes what a process has open, before and after a test. */
function beforeAndAfter(before, after) {
  const names = Object.keys(before);
  return names.map((name) => `${name} ${before[name]} → ${after[name]}`).join(", ");
}

/** Runs code with a `store` of this server, and helpers of these tests. */
function withStore(code, onOutput) {
  return run(
    `import { RedisStore } from "connect-redis-rs";
     import cluster from "node:cluster";
     import { fork } from "node:child_process";
     import { once } from "node:events";
     import { readdirSync } from "node:fs";
     import { setTimeout as wait } from "node:timers/promises";
     import { Worker } from "node:worker_threads";
     import { countClients, openInspector } from "./__test__/support/inspector.js";
     const url = process.env.URL_OF_REDIS;
     const store = new RedisStore({ url });
     ${code}`,
    { URL_OF_REDIS: server.url },
    onOutput,
  );
}

/** Code that counts what a store could leak: see `settled`. */
const COUNTING = `
  const inspector = await openInspector({ url });
  const count = async () => ({
    connections: await countClients(inspector),
    descriptors: readdirSync("/proc/self/fd").length,
    threads: readdirSync("/proc/self/task").length,
  });
  /** Counts again until no count is higher than before, for ten seconds at most. */
  const settled = async (before) => {
    for (const end = Date.now() + 10_000; ; await wait(20)) {
      const after = await count();
      const left = Object.keys(before).some((name) => after[name] > before[name]);
      if (!left || Date.now() > end) return after;
    }
  };
  const megabytes = async () => {
    // A second collection frees what the finalizers of the first have released.
    for (let n = 0; n < 3; n += 1) {
      gc();
      await wait(20);
    }
    return Math.round(process.memoryUsage().rss / 2 ** 20);
  };
`;

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
    const inspector = await openInspector({ url });
    await store.get("a");
    const before = await countClients(inspector);
    const dropAll = () =>
      Array.from({ length: 20 }, async (_, n) => {
        const dropped = new RedisStore({ url });
        await Promise.all([dropped.set("d" + n, { n }), dropped.all()]);
      });
    const calls = dropAll();
    gc();
    await Promise.all(calls);
    while ((await countClients(inspector)) > before) {
      gc();
      await wait(10);
    }
    inspector.destroy();
    console.log("gone");
  `);
  expect(result).toMatchObject({ ...clean, stdout: "gone\n" });
});

test("a callback that throws among 500 of one batch does not touch its neighbours", async () => {
  const result = await withStore(`
    const thrown = [];
    process.on("unhandledRejection", (error) => thrown.push(error.message));
    const calls = new Map();
    for (let n = 0; n < 500; n += 1) {
      store.get("a" + n, () => {
        calls.set(n, (calls.get(n) ?? 0) + 1);
        if (n % 100 === 0) throw new Error("mine " + n);
      });
    }
    while (calls.size < 500 || thrown.length < 5) await wait(5);
    const twice = [...calls].filter(([, count]) => count === 2).map(([n]) => n);
    console.log(calls.size, twice.join(), thrown.join());
  `);
  expect(result).toMatchObject({
    ...clean,
    stdout: "500 0,100,200,300,400 mine 0,mine 100,mine 200,mine 300,mine 400\n",
  });
});

test("a callback that throws ends a process that does not listen for it, as a rejection does", async () => {
  const result = await withStore(`
    store.get("a", () => { throw new Error("mine"); });
    setInterval(() => {}, 1000);
  `);
  expect(result).toMatchObject({ code: 1, stdout: "" });
  expect(result.stderr).toMatch(/error: mine/i);
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
  ["process.exit() in the event ready", "store.on('ready', () => process.exit(0)); store.all();"],
  [
    "process.exit() in a callback among 500",
    "for (let n = 0; n < 500; n += 1) store.get('a', () => n === 250 && process.exit(0));",
  ],
  [
    "an uncaught exception",
    "process.on('uncaughtException', () => process.exit(0)); store.get('a'); throw 1;",
  ],
])("%s ends the process cleanly", async (_name, code) => {
  expect(await withStore(code)).toMatchObject(clean);
});

describe("SIGTERM with calls pending", () => {
  const busy = `
    const outcomes = [];
    const ask = () => {
      const calls = [store.all(), ...Array.from({ length: 500 }, (_, n) => store.set("t" + n, { n }))];
      outcomes.push(...calls.map((call) => call.then(() => "answered", (error) => error.code)));
      return Promise.allSettled(calls);
    };
  `;
  const terminate = (stdout, child) => {
    if (stdout === "busy\n") child.kill("SIGTERM");
  };

  test("ends the process at once if nobody listens for it", async () => {
    const result = await withStore(
      `${busy}
      await ask();
      console.log("busy");
      for (;;) await ask();`,
      terminate,
    );
    expect(result).toEqual({ code: null, signal: "SIGTERM", stdout: "busy\n", stderr: "" });
  });

  test("leaves a listener the time to close the store, and every call has its end", async () => {
    const result = await withStore(
      `${busy}
      let isOver = false;
      process.once("SIGTERM", async () => {
        isOver = true;
        ask();
        console.log(await store.close());
        for (const outcome of await Promise.all(outcomes)) counts[outcome] = (counts[outcome] ?? 0) + 1;
        console.log(JSON.stringify(counts));
      });
      const counts = {};
      await ask();
      console.log("busy");
      while (!isOver) await ask();`,
      terminate,
    );
    expect(result).toMatchObject(clean);
    const [, closed, counts] = result.stdout.split("\n");
    expect(closed).toBe("null");
    const { answered, ECLOSED, ...others } = JSON.parse(counts);
    expect(answered).toBeGreaterThanOrEqual(501);
    expect(ECLOSED).toBeGreaterThan(0);
    expect((answered + ECLOSED) % 501).toBe(0);
    expect(others).toEqual({});
  });

  test("ends a process in time whose server does not answer", async () => {
    const silent = await startRedisServer();
    try {
      const result = await run(
        `import { RedisStore } from "connect-redis-rs";
         const store = new RedisStore({ url: process.env.URL_OF_REDIS, commandTimeout: 600_000 });
         await store.set("a", {});
         process.kill(Number(process.env.PID_OF_REDIS), "SIGSTOP");
         for (const call of [store.get("a"), store.set("a", {}), store.length()]) {
           call.catch((error) => console.log(error.code));
         }
         process.once("SIGTERM", () => store.close());
         console.log("busy");`,
        { URL_OF_REDIS: silent.url, PID_OF_REDIS: String(silent.pid) },
        terminate,
      );
      expect(result).toMatchObject({ ...clean, stdout: "busy\nECLOSED\nECLOSED\nECLOSED\n" });
    } finally {
      await silent.stop();
    }
  });
});

describe("worker threads", () => {
  test("50 workers, ended in the middle of whatever they do, leave nothing behind", async () => {
    const result = await withStore(`
      ${COUNTING}
      await Promise.all(Array.from({ length: 2000 }, (_, n) => store.set("m" + n, { n })));
      const { connections } = await count();
      const code = \`
        const { parentPort, workerData: { url, way } } = require("node:worker_threads");
        const { RedisStore } = require("connect-redis-rs");
        // Kept, because an unreferenced store may be collected before its event.
        const store = (globalThis.store = new RedisStore({ url }));
        const hang = () => {
          parentPort.postMessage("under way");
          for (;;);
        };
        const ways = {
          connecting: hang,
          async calls() {
            for (let round = 0; ; round += 1) {
              const calls = Array.from({ length: 50 }, (_, n) => store.set("w" + n, { n }));
              if (round === 3) parentPort.postMessage("under way");
              await Promise.all([...calls, store.length(), store.all()]);
            }
          },
          scans: () => store.get("a").then(() => {
            store.all();
            store.ids();
            hang();
          }),
          callback: () => store.get("a", hang),
          event: () => store.once("ready", hang).get("a"),
        };
        ways[way]();
      \`;
      const ways = ["connecting", "calls", "scans", "callback", "event"];
      const employ = async (way) => {
        const worker = new Worker(code, { eval: true, workerData: { url, way }, execArgv: [] });
        await new Promise((resolve, reject) =>
          worker.once("message", resolve).once("error", reject).once("exit", reject));
        await wait(Math.random() * 20);
        await worker.terminate();
      };
      // Node opens some things once, for the first workers: that is no leak.
      await Promise.all(ways.map(employ));
      const before = await settled({ connections });
      const megabytesBefore = await megabytes();
      let isOver = false;
      const mine = (async () => {
        for (let n = 0; !isOver; n += 1) {
          await store.set("mine", { n });
          if ((await store.get("mine")).n !== n) throw new Error("not mine");
        }
      })();
      for (let wave = 0; wave < 5; wave += 1) await Promise.all([...ways, ...ways].map(employ));
      isOver = true;
      await mine;
      const after = await settled(before);
      inspector.destroy();
      console.log(JSON.stringify([
        { ...before, megabytes: megabytesBefore },
        { ...after, megabytes: await megabytes() },
      ]));
    `);
    expect(result).toMatchObject(clean);
    const [before, after] = JSON.parse(result.stdout);
    measured("50 worker threads ended in mid-flight", beforeAndAfter(before, after));
    expect(after.connections).toBeLessThanOrEqual(before.connections);
    // One for the store of this thread: it watches its socket once a reply came late.
    expect(after.descriptors).toBeLessThanOrEqual(before.descriptors + 1);
    // A tenth of the threads of 50 workers: the runtime sometimes starts a thread of its own.
    expect(after.threads).toBeLessThanOrEqual(before.threads + 5);
    expect(after.megabytes - before.megabytes).toBeLessThan(120);
  }, 120_000);

  test("several at once, each with a store, get each its own answers", async () => {
    const result = await withStore(`
      const code = \`
        const { workerData: { url, name } } = require("node:worker_threads");
        const { RedisStore } = require("connect-redis-rs");
        const store = new RedisStore({ url, prefix: name + ":" });
        (async () => {
          for (let round = 0; round < 20; round += 1) {
            const sids = Array.from({ length: 100 }, (_, n) => "s" + n);
            await Promise.all(sids.map((sid) => store.set(sid, { name, sid, round })));
            const sessions = await Promise.all(sids.map((sid) => store.get(sid)));
            for (const [n, session] of sessions.entries()) {
              const is = [session.name, session.sid, session.round].join();
              if (is !== [name, sids[n], round].join()) throw new Error(name + " got " + is);
            }
            if ((await store.all()).some((session) => session.name !== name)) throw new Error("all");
            if ((await store.length()) !== 100) throw new Error("length");
          }
        })();
      \`;
      const ends = await Promise.all(Array.from({ length: 8 }, (_, n) => {
        const worker = new Worker(code, { eval: true, workerData: { url, name: "w" + n }, execArgv: [] });
        return once(worker, "exit");
      }));
      console.log(ends.join());
    `);
    expect(result).toMatchObject({ ...clean, stdout: "0,0,0,0,0,0,0,0\n" });
  }, 60_000);

  test("an addon that only workers have loaded can go with them, and come again", async () => {
    const result = await run(
      `import { Worker } from "node:worker_threads";
       const code = \`
         const { workerData } = require("node:worker_threads");
         const { RedisStore } = require("connect-redis-rs");
         const store = new RedisStore({ url: process.env.URL_OF_REDIS });
         store.set("a", {}).then(() => {
           console.log("set");
           if (workerData % 2) process.exit();
         });
       \`;
       const end = (n) =>
         new Promise((resolve, reject) =>
           new Worker(code, { eval: true, workerData: n, execArgv: [] })
             .once("exit", resolve)
             .once("error", reject));
       for (let round = 0; round < 5; round += 1) {
         await Promise.all([0, 1, 2, 3].map(end));
       }
       // A crash after the workers' end must not happen, so there is nothing to wait for.
       await new Promise((resolve) => setTimeout(resolve, 100));`,
      { URL_OF_REDIS: server.url },
    );
    expect(result).toMatchObject({ ...clean, stdout: "set\n".repeat(20) });
  }, 60_000);
});

describe("several processes", () => {
  // The ways in which a process with a busy store (support/busy.js) ends.
  const ENDS = `
    const ends = [
      (child) => child.kill("SIGKILL"),
      (child) => child.kill("SIGTERM"),
      (child) => child.send("exit"),
      (child) => child.send("close"),
    ];
    /** Waits for a child's first answers. */
    const works = (child) =>
      new Promise((resolve, reject) => {
        child.once("message", resolve);
        child.once("exit", (...end) => reject(new Error("ended: " + end)));
      });
  `;
  const ended = [
    [null, "SIGKILL"],
    [null, "SIGTERM"],
    [0, null],
    [0, null],
  ];

  test("fork: a parent's pending calls do not mind how its children end", async () => {
    const result = await withStore(`
      ${COUNTING}
      ${ENDS}
      await store.get("a");
      const { connections } = await count();
      let isOver = false;
      const mine = (async () => {
        for (let n = 0; !isOver; n += 1) {
          await store.set("mine", { n });
          if ((await store.get("mine")).n !== n) throw new Error("not mine");
        }
      })();
      const seen = await Promise.all(ends.map(async (end) => {
        const child = fork("__test__/support/busy.js", { execArgv: [] });
        await works(child);
        const ended = once(child, "exit");
        end(child);
        return await ended;
      }));
      isOver = true;
      await mine;
      const left = (await settled({ connections })).connections - connections;
      inspector.destroy();
      console.log(JSON.stringify({ seen, left }));
    `);
    expect(result).toMatchObject(clean);
    const { seen, left } = JSON.parse(result.stdout);
    expect(seen).toEqual(ended);
    expect(left).toBeLessThanOrEqual(0);
  }, 60_000);

  test("cluster: workers share their sessions, and are replaced however they end", async () => {
    const result = await withStore(`
      ${COUNTING}
      ${ENDS}
      await store.get("a");
      const { connections } = await count();
      cluster.setupPrimary({ exec: "__test__/support/busy.js", execArgv: [] });
      const hire = async () => {
        const { process } = cluster.fork();
        await works(process);
        return process;
      };
      let workers = await Promise.all(ends.map(hire));
      const seen = [];
      for (let round = 0; round < 3; round += 1) {
        workers = await Promise.all(workers.map(async (worker, n) => {
          if ((await store.get(worker.pid + ":0")).sid !== worker.pid + ":0") throw new Error("not shared");
          const ended = once(worker, "exit");
          ends[n](worker);
          seen[4 * round + n] = await ended;
          return hire();
        }));
      }
      await Promise.all(workers.map((worker) => {
        worker.send("close");
        return once(worker, "exit");
      }));
      const left = (await settled({ connections })).connections - connections;
      inspector.destroy();
      console.log(JSON.stringify({ seen, left }));
    `);
    expect(result).toMatchObject(clean);
    const { seen, left } = JSON.parse(result.stdout);
    expect(seen).toEqual([...ended, ...ended, ...ended]);
    expect(left).toBeLessThanOrEqual(0);
  }, 60_000);
});

test("10,000 stores opened and closed leave no connection, descriptor or thread behind", async () => {
  const result = await withStore(`
    ${COUNTING}
    await store.get("a");
    const { connections } = await count();
    const round = async () => {
      const stores = Array.from({ length: 250 }, () => new RedisStore({ url }));
      await Promise.all(stores.map(async (one, n) => {
        // Every second store is closed while it connects.
        if (n % 2) await one.get("a");
        await one.close();
      }));
    };
    // Warm-up: until the allocator has enough memory.
    for (let n = 0; n < 20; n += 1) await round();
    const before = await settled({ connections });
    const megabytesBefore = await megabytes();
    for (let n = 0; n < 40; n += 1) await round();
    const after = await settled(before);
    inspector.destroy();
    console.log(JSON.stringify([
      { ...before, megabytes: megabytesBefore },
      { ...after, megabytes: await megabytes() },
    ]));
  `);
  expect(result).toMatchObject(clean);
  const [before, after] = JSON.parse(result.stdout);
  measured("10,000 stores opened and closed", beforeAndAfter(before, after));
  expect(after.connections).toBeLessThanOrEqual(before.connections);
  expect(after.descriptors).toBeLessThanOrEqual(before.descriptors);
  expect(after.threads).toBeLessThanOrEqual(before.threads);
  expect(after.megabytes - before.megabytes).toBeLessThan(80);
}, 120_000);

test("1,000,000 calls do not make the process grow", async () => {
  const result = await withStore(`
    ${COUNTING}
    inspector.destroy();
    const expires = new Date(Date.now() + 60000);
    const session = { text: "x".repeat(500), cookie: { originalMaxAge: 60000, expires } };
    const calls = [
      (sid) => store.set(sid, session),
      (sid) => store.get(sid),
      (sid) => store.touch(sid, session),
      (sid) => store.destroy(sid),
    ];
    let made = 0;
    const round = async (rounds) => {
      for (const end = made + rounds; made < end; ) {
        await Promise.all(Array.from({ length: 500 }, (_, n) => calls[n % 4]("a" + (n >> 2))));
        made += 500;
      }
    };
    await round(100_000);
    const figures = [await megabytes()];
    for (let n = 0; n < 4; n += 1) {
      await round(250_000);
      figures.push(await megabytes());
    }
    console.log(JSON.stringify(figures));
  `);
  expect(result).toMatchObject(clean);
  const figures = JSON.parse(result.stdout);
  measured("1,000,000 calls", `${figures.join(", ")} MB, before and after each 250,000`);
  // 30 bytes a call; a leaked call would be several hundred bytes.
  expect(figures.at(-1) - figures[0]).toBeLessThan(30);
}, 120_000);
