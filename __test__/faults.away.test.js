"use strict";

// The server is away or unresponsive: calls wait until their timeout, and go on when it is back.

const { once } = require("node:events");
const { spawnSync } = require("node:child_process");
const { mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { RedisStoreError } = require("..");
const { freePort, send, startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const {
  everyCall,
  failures,
  open,
  start,
  stopwatch,
  untilWorks,
  watch,
} = require("./support/faults.js");
const { measured } = require("./support/measured.js");
const { run } = require("./support/run.js");

/** A call may take this much longer than commandTimeout, on a busy machine. */
const NOISE_MS = 1000;

describe("nothing listens", () => {
  test("every call rejects within commandTimeout with ECONNREFUSED, naming operation and server", async () => {
    const port = await freePort();
    const store = open({ url: `redis://user:secret@127.0.0.1:${port}`, commandTimeout: 200 });
    expect(store.status).toBe("connecting");
    const calls = everyCall(store);
    const { errors, longest } = await failures(Object.values(calls));
    for (const [n, name] of Object.keys(calls).entries()) {
      const error = errors[n];
      expect(error).toBeInstanceOf(RedisStoreError);
      expect(error).toBeInstanceOf(Error);
      expect(error.name).toBe("RedisStoreError");
      expect(error.code).toBe("ECONNREFUSED");
      expect(error.message).toMatch(
        new RegExp(`^${name}: no connection to Redis at 127.0.0.1:${port} `),
      );
      expect(error.message).toContain("commandTimeout");
      expect(error.cause).toBeInstanceOf(Error);
      expect(error.message + error.cause.message).not.toMatch(/secret|the-sid/);
    }
    expect(longest).toBeLessThan(200 + NOISE_MS);
    measured("nothing listens", `commandTimeout 200 ms: the longest call took ${longest} ms`);
  });

  test("a missing Unix socket is ECONNREFUSED, never ENOENT", async () => {
    const store = open({ url: "unix:///nowhere/redis.sock", commandTimeout: 100 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ECONNREFUSED");
    expect(error.message).toContain("/nowhere/redis.sock");
  });

  test("a host name that does not exist says so", async () => {
    const store = open({ url: "redis://no-such-host.invalid", commandTimeout: 1000 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ENOTFOUND");
    expect(error.message).toContain("no-such-host.invalid:6379");
  });

  test("a call waits for a server that starts later than the store", async () => {
    const port = await freePort();
    const store = open({ url: `redis://127.0.0.1:${port}`, commandTimeout: 10_000 });
    const { cause } = await failure(
      open({ url: `redis://127.0.0.1:${port}`, commandTimeout: 200 }).get("a"),
    );
    expect(cause.message).toContain("refused");
    const call = store.set("a", { n: 1 });
    const ready = once(store, "ready");
    await start({ port });
    const ms = stopwatch();
    expect(await call).toBeNull();
    measured("server started later than the store", `works ${ms()} ms after it listens`);
    await ready;
    expect(store.status).toBe("ready");
  });
});

test("JS that runs for longer than commandTimeout is not the server's fault", async () => {
  const server = await start();
  const store = open({ url: server.url, commandTimeout: 1000 });
  await once(store, "ready");
  const call = store.get("a");
  const end = Date.now() + 1500;
  while (Date.now() < end);
  expect(await call).toBeNull();
});

describe("the server ends and starts again", () => {
  test("1,000 calls that wait for the server are all answered when it is back", async () => {
    const server = await start();
    const store = open({ url: server.url, commandTimeout: 10_000 });
    await store.set("a", { n: 1 });
    const reconnecting = once(store, "reconnecting");
    await server.kill();
    await reconnecting;
    expect(store.status).toBe("reconnecting");
    const ready = once(store, "ready");
    const waiting = Array.from({ length: 1000 }, (_, n) => store.set(`s${n}`, { n }));
    await server.restart();
    const ms = stopwatch();
    await Promise.all(waiting);
    measured(
      "1,000 calls waiting when the server comes back",
      `1,000 of 1,000 answered ${ms()} ms after it listens`,
    );
    await ready;
    expect(await store.length()).toBe(1000);
  });

  test("a long queue goes out in its order when the server is back", async () => {
    const port = await freePort();
    const store = open({ url: `redis://127.0.0.1:${port}`, commandTimeout: 30_000 });
    const sets = Array.from({ length: 200_000 }, (_, n) => store.set("a", { n }));
    await start({ port });
    await Promise.all(sets);
    expect(await store.get("a")).toEqual({ n: 199_999 });
  }, 60_000);

  test("a server that is killed in mid-flight loses no call", async () => {
    const server = await start();
    const store = open({ url: server.url, commandTimeout: 10_000 });
    await store.set("a", { n: 1 });
    let ended = 0;
    const calls = Array.from({ length: 500 }, (_, n) =>
      store.set(`s${n}`, { n, text: "x".repeat(10_000) }).finally(() => {
        ended += 1;
      }),
    );
    await server.kill();
    await server.restart();
    await Promise.allSettled(calls);
    expect(ended).toBe(500);
    expect(await store.set("b", {})).toBeNull();
  });

  test("no acknowledged write is missing after kill -9 under load if Redis fsyncs always", async () => {
    const KILLS = 3;
    const ACKNOWLEDGED_A_ROUND = 2000;
    const HOUR = 3_600_000;
    const server = await start({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    const store = open({ url: server.url, commandTimeout: 20_000 });
    const totals = { acknowledged: 0, rejected: 0, reads: 0, wrongReads: 0 };
    let isOver = false;

    const inHours = (hours) => ({
      cookie: { originalMaxAge: hours * HOUR, expires: new Date(Date.now() + hours * HOUR) },
    });
    const textOf = (session) =>
      session &&
      `${session.n}/${Math.round((Date.parse(session.cookie.expires) - Date.now()) / HOUR)}`;

    /** Works on one key, and records its possible contents: "n/hours to live", or null. */
    async function work(worker) {
      const sid = `worker-${worker}`;
      let possible = [null];
      // A failed test closes the store.
      for (let n = 0; !isOver && store.status !== "closed"; n += 1) {
        // The content after a call, and the call.
        const [effect, call] = [
          [() => `${n}/1`, () => store.set(sid, { n, ...inHours(1) })],
          [(text) => text?.replace(/\d+$/, "2") ?? null, () => store.touch(sid, inHours(2))],
          [() => `${n}/3`, () => store.set(sid, { n, ...inHours(3) })],
          [() => null, () => store.destroy(sid)],
        ][Math.floor(Math.random() * 4)];
        const error = await failure(call());
        if (error) {
          totals.rejected += 1;
          possible = [...new Set([...possible, ...possible.map(effect)])];
          continue;
        }
        totals.acknowledged += 1;
        possible = [...new Set(possible.map(effect))];
        const read = await store.get(sid).then(textOf, () => undefined);
        if (read === undefined) continue;
        totals.reads += 1;
        if (!possible.includes(read)) totals.wrongReads += 1;
        possible = [read];
      }
      return { key: `sess:${sid}`, possible };
    }

    const workers = Array.from({ length: 24 }, (_, n) => work(n));
    const more = () => {
      const enough = totals.acknowledged + ACKNOWLEDGED_A_ROUND;
      return waitUntil("the workers go on", () => totals.acknowledged >= enough);
    };
    let longestAway = 0;
    for (let kill = 0; kill < KILLS; kill += 1) {
      await more();
      await server.kill();
      await server.restart();
      longestAway = Math.max(longestAway, await untilWorks(() => store.get("a")));
    }
    await more();
    // The last kill: nothing is written after it.
    const killed = server.kill();
    isOver = true;
    await killed;
    await server.restart();
    longestAway = Math.max(longestAway, await untilWorks(() => store.get("a")));
    const keys = await Promise.all(workers);

    const inspector = await watch(server);
    let present = 0;
    for (const { key, possible } of keys) {
      const [session, ttl] = [await inspector.get(key), await inspector.pTTL(key)];
      const text = session && `${JSON.parse(session).n}/${Math.round(ttl / HOUR)}`;
      if (possible.includes(text)) present += 1;
    }
    expect(present).toBe(keys.length);
    expect(totals.wrongReads).toBe(0);
    expect(totals.rejected).toBe(0);
    measured(
      "kill -9 and restart under load",
      `${keys.length} workers, ${KILLS + 1} kills, ${totals.acknowledged} acknowledged writes: ` +
        `${totals.reads} of ${totals.reads} reads find what was acknowledged last, and ` +
        `${present} of ${keys.length} keys have it in the end; ${totals.rejected} calls rejected; ` +
        `works at most ${longestAway} ms after it listens`,
    );
  }, 60_000);
});

describe("the server hangs", () => {
  test("every call ends within commandTimeout + 200 ms, and the store works within 1 s of SIGCONT", async () => {
    const commandTimeout = 300;
    const server = await start();
    const store = open({ url: server.url, commandTimeout });
    await store.set("a", { n: 1 });
    let longest = 0;
    process.kill(server.pid, "SIGSTOP");
    try {
      // For longer than the store keeps a silent connection.
      for (let round = 0; round < 4; round += 1) {
        const failed = await failures(Object.values(everyCall(store)));
        longest = Math.max(longest, failed.longest);
        for (const error of failed.errors) {
          expect(error.code).toBe("ETIMEDOUT");
          expect(error.message).toContain(`127.0.0.1:${server.port}`);
        }
      }
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    const recovered = await untilWorks(() => store.get("a"));
    expect(longest).toBeLessThan(commandTimeout + NOISE_MS);
    expect(recovered).toBeLessThan(1000 + NOISE_MS);
    measured(
      "SIGSTOP",
      `commandTimeout ${commandTimeout} ms: the longest call took ${longest} ms; works ` +
        `${recovered} ms after SIGCONT`,
    );
  });

  test("a server that goes on in time keeps its connection, and answers", async () => {
    const server = await start();
    const inspector = await watch(server);
    const store = open({ url: server.url, commandTimeout: 10_000 });
    await store.set("a", { n: 1 });
    const impatient = open({ url: server.url, commandTimeout: 300 });
    await impatient.get("a");
    const connections = async () =>
      /total_connections_received:(\d+)/.exec(await inspector.info("stats"))[1];
    const before = await connections();
    process.kill(server.pid, "SIGSTOP");
    const call = store.get("a");
    expect((await failure(impatient.get("a"))).code).toBe("ETIMEDOUT");
    process.kill(server.pid, "SIGCONT");
    expect(await call).toEqual({ n: 1 });
    expect(await connections()).toBe(before);
  });
});

describe("the server loads its data", () => {
  const KEYS = 1000;
  const TEXT = "x".repeat(50_000);
  // More than two milliseconds a key: about two seconds. While it loads, a server replies after every
  // 2 MB (Redis 6.2 has no option to do so more often), so the sessions are large.
  const SLOWLY = ["--key-load-delay", "2000", "--rdbcompression", "no"];

  /** Restarts a server, which then loads all its data. */
  async function startLoading(use) {
    const server = await start({ args: SLOWLY });
    const filling = await watch(server);
    const keys = Array.from({ length: KEYS }, (_, n) => [
      `sess:s${n}`,
      JSON.stringify({ n, text: TEXT }),
    ]);
    await filling.mSet(keys);
    await filling.sendCommand(["SAVE"]);
    filling.destroy();
    const used = await use?.(server);
    await server.kill();
    await server.restart();
    expect(await send(server.port, "PING")).toMatch(/^-LOADING/);
    return { server, used };
  }

  const loaded = (server) =>
    waitUntil("the server has loaded", async () =>
      (await send(server.port, "PING")).startsWith("+PONG"),
    );

  test("calls wait until the server has loaded, those of an old store and those of a new one", async () => {
    const { server, used: old } = await startLoading(async ({ url }) => {
      const store = open({ url, commandTimeout: 20_000 });
      await store.get("s0");
      return store;
    });
    const stores = [old, open({ url: server.url, commandTimeout: 20_000 })];
    const ms = stopwatch();
    const calls = stores.flatMap((store, n) => [
      store.get(`s${KEYS - 1}`),
      store.set(`t${n}`, {}),
      store.length(),
    ]);
    const answered = Promise.allSettled(calls).then((results) => ({ results, after: ms() }));
    await loaded(server);
    const loading = ms();
    const { results, after } = await answered;
    for (const { reason } of results) expect(reason).toBeUndefined();
    for (const { value } of [results[0], results[3]]) expect(value.n).toBe(KEYS - 1);
    measured(
      "LOADING",
      `6 of 6 calls waited; answered ${Math.max(0, after - loading)} ms after ${loading} ms of loading`,
    );
  });

  test("calls reject with LOADING if loading takes longer than commandTimeout", async () => {
    const { server } = await startLoading();
    const store = open({ url: server.url, commandTimeout: 1000 });
    const { errors, longest } = await failures([store.get("a"), store.set("a", {})]);
    for (const error of errors) {
      expect(error.code).toBe("LOADING");
      expect(error.message).toMatch(/loading/i);
    }
    await loaded(server);
    const recovered = await untilWorks(() => store.get("a"));
    measured(
      "LOADING",
      `commandTimeout 1000 ms: the longest call took ${longest} ms; works ${recovered} ms after loading`,
    );
  });
});

describe("the server moves", () => {
  let folder;
  let library;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-dns-"));
    library = path.join(folder, "getaddrinfo.so");
    const source = path.join(__dirname, "support", "getaddrinfo.c");
    const built = spawnSync("cc", ["-shared", "-fPIC", "-o", library, source, "-ldl"]);
    if (built.status !== 0) throw new Error(`cc: ${built.error ?? built.stderr}`);
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test("a DNS name that changes its address is looked up anew when the connection is lost", async () => {
    const first = await start();
    // The same port at another address.
    const second = await startRedisServer({ port: first.port, host: "127.0.0.2" });
    try {
      const seconds = await watch(second);
      await seconds.set("sess:a", JSON.stringify({ at: "the second" }));
      const firsts = await watch(first);
      await firsts.set("sess:a", JSON.stringify({ at: "the first" }));
      const result = await run(
        `import { writeFileSync } from "node:fs";
         import { RedisStore } from "connect-redis-rs";
         const { MOVING_TEST, PORT, PID } = process.env;
         writeFileSync(MOVING_TEST, "127.0.0.1");
         const store = new RedisStore({ url: "redis://moving.test:" + PORT });
         console.log((await store.get("a")).at);
         writeFileSync(MOVING_TEST, "127.0.0.2");
         console.log((await store.get("a")).at);
         process.kill(Number(PID), "SIGKILL");
         const from = performance.now();
         while ((await store.get("a"))?.at === "the first");
         console.log((await store.get("a")).at);
         console.log(Math.round(performance.now() - from));`,
        {
          LD_PRELOAD: library,
          MOVING_TEST: path.join(folder, "address"),
          PORT: String(first.port),
          PID: String(first.pid),
        },
      );
      expect(result.stderr).toBe("");
      const [before, still, after, ms] = result.stdout.split("\n");
      expect([before, still, after]).toEqual(["the first", "the first", "the second"]);
      measured("DNS name that changes its address", `found ${ms} ms after the old server's end`);
    } finally {
      await second.stop();
    }
  });
});
