"use strict";

// A failover as managed Redis does it: the server becomes a replica under living connections, and its
// name is that of the new master.

const { once } = require("node:events");
const { Redis } = require("ioredis");
const { createClient } = require("redis");
const { RedisStore } = require("..");
const { findRedisServer, versionOfRedis, waitUntil } = require("../scripts/redis-server.js");
const { failure, open, start, watch } = require("./support/faults.js");
const { startProxy } = require("./support/proxy.js");

let opened;

beforeEach(() => {
  opened = [];
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
});

/** A master waits for its replicas before it ends, from Redis 7 on. */
const ENDS_AT_ONCE =
  parseInt(versionOfRedis(findRedisServer()), 10) >= 7 ? ["--shutdown-timeout", "0"] : [];

/** Two servers and a name for the first; `failOver` makes it the second's. */
async function startPair() {
  const [first, second] = [
    await start({ args: ENDS_AT_ONCE }),
    await start({ args: ENDS_AT_ONCE }),
  ];
  const name = await startProxy(first);
  const [old, next] = [await watch(first), await watch(second)];
  opened.push(() => name.stop());
  async function becomeReplica() {
    await old.sendCommand(["REPLICAOF", "127.0.0.1", String(second.port)]);
  }
  return {
    url: name.url,
    port: name.port,
    name,
    second,
    next,
    becomeReplica,
    async failOver() {
      name.point(second);
      await becomeReplica();
    },
  };
}

async function nodeRedis({ url }, options) {
  const client = createClient({ url, ...options });
  client.on("error", () => {});
  opened.push(() => client.isOpen && client.destroy());
  await client.connect();
  return client;
}

async function ioredis({ port }, options) {
  const client = new Redis(port, "127.0.0.1", options);
  client.on("error", () => {});
  opened.push(() => client.disconnect());
  await once(client, "ready");
  return client;
}

function makeStore(options) {
  const store = new RedisStore(options);
  opened.push(() => store.close());
  return store;
}

const inMs = (ms) => ({ cookie: { originalMaxAge: ms, expires: new Date(Date.now() + ms) } });

describe("the name is the new master's", () => {
  test("by url: what is refused is carried out there, in order, and nothing rejects", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url });
    await store.set("a", { n: 0 });
    await pair.failOver();
    const calls = Array.from({ length: 50 }, (_, n) => store.set("a", { n: n + 1 }));
    calls.push(store.set("b", inMs(60_000)), store.get("a"));
    const answers = await Promise.all(calls);
    expect(answers.at(-1)).toEqual({ n: 50 });
    expect(await pair.next.get("sess:a")).toBe('{"n":50}');
    await store.touch("b", inMs(90_000));
    expect(await pair.next.pTTL("sess:b")).toBeGreaterThan(60_000);
    await store.destroy("a");
    expect(await pair.next.exists("sess:a")).toBe(0);
    await store.set("c", { n: 1 });
    await store.clear();
    expect(await pair.next.dbSize()).toBe(0);
  });

  test.each([
    ["set", (store) => store.set("a", { n: 1 }), ["sess:a", "sess:old"]],
    ["touch", (store) => store.touch("old", inMs(60_000)), ["sess:old"]],
    ["destroy", (store) => store.destroy("old"), []],
    ["clear", (store) => store.clear(), []],
  ])("by url: %s alone finds the new master", async (_name, call, left) => {
    const pair = await startPair();
    await pair.next.set("sess:old", "{}");
    const store = open({ url: pair.url });
    await store.set("first", {});
    await pair.failOver();
    await call(store);
    expect((await pair.next.keys("*")).sort()).toEqual(left);
  });

  test("by url: a name that is moved only later is waited for", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url, commandTimeout: 10_000 });
    await store.set("a", { n: 0 });
    await pair.becomeReplica();
    const before = pair.name.connections;
    const stored = store.set("a", { n: 1 });
    await waitUntil("it has looked several times", () => pair.name.connections > before + 2);
    pair.name.point(pair.second);
    expect(await stored).toBeNull();
    expect(await pair.next.get("sess:a")).toBe('{"n":1}');
  });

  test.each(["error", "skip"])(
    "by url with onUnavailable %s: the error is told at once, and the store goes on at the new",
    async (onUnavailable) => {
      const pair = await startPair();
      const store = open({ url: pair.url, onUnavailable });
      await store.set("a", { n: 0 });
      await pair.failOver();
      expect((await failure(store.set("a", { n: 1 }))).code).toBe("READONLY");
      await waitUntil("it works again", () =>
        store.set("a", { n: 2 }).then(
          () => true,
          () => false,
        ),
      );
      expect(await pair.next.get("sess:a")).toBe('{"n":2}');
    },
  );

  test.each([
    [
      "ioredis, whose reconnectOnError acts",
      (pair) =>
        ioredis(pair, { reconnectOnError: (error) => error.message.startsWith("READONLY") && 2 }),
    ],
    [
      "ioredis with autoResendUnfulfilledCommands",
      (pair) =>
        ioredis(pair, {
          reconnectOnError: (error) => error.message.startsWith("READONLY") && 2,
          autoResendUnfulfilledCommands: true,
        }),
    ],
  ])("beside %s", async (_name, make) => {
    const pair = await startPair();
    const store = makeStore({ client: await make(pair) });
    await store.set("a", { n: 0 });
    await pair.failOver();
    await store.set("a", { n: 1 });
    expect(await pair.next.get("sess:a")).toBe('{"n":1}');
  });

  test.each([
    ["node-redis", nodeRedis],
    ["ioredis", ioredis],
  ])("beside %s: the client carries the call, and says what it says", async (_name, make) => {
    const pair = await startPair();
    const client = await make(pair);
    const store = makeStore({ client });
    await store.set("a", { n: 0 });
    expect(store.transport).toBe("native");
    await pair.failOver();
    const error = await failure(store.set("a", { n: 1 }));
    expect(error.code).toBe("READONLY");
    expect(error.message).toContain("the app's Redis client");
    // Once the client is at the new master, so is the store.
    if (client.disconnect && !client.destroy) client.disconnect(true);
    else {
      client.destroy();
      await client.connect();
    }
    await waitUntil("the client is ready", () => client.isReady ?? client.status === "ready");
    await store.set("a", { n: 2 });
    expect(await pair.next.get("sess:a")).toBe('{"n":2}');
    await store.set("a", { n: 3 });
    expect(await client.get("sess:a")).toBe('{"n":3}');
  });

  test("with transport: native, the store finds the new master by itself", async () => {
    const pair = await startPair();
    const store = makeStore({ client: await nodeRedis(pair), transport: "native" });
    await store.set("a", { n: 0 });
    await pair.failOver();
    await store.set("a", { n: 1 });
    expect(await pair.next.get("sess:a")).toBe('{"n":1}');
  });
});

test("a url of a replica serves reads, and says at once that it takes no writes", async () => {
  const pair = await startPair();
  await pair.next.set("sess:a", '{"n":1}');
  await pair.becomeReplica();
  const store = open({ url: pair.url, commandTimeout: 20_000 });
  await waitUntil("the replica has the session", async () => (await store.get("a")) !== null);
  for (let round = 0; round < 3; round += 1) {
    const [read, error] = await Promise.all([
      store.get("a"),
      failure(store.set("a", { n: 2 })),
      failure(store.touch("a", inMs(1000))),
    ]);
    expect(read).toEqual({ n: 1 });
    expect(error.code).toBe("READONLY");
    expect(error.message).toMatch(/replica: connect to its master/);
  }
  // It goes on to look whether the name is a master's now.
  pair.name.point(pair.second);
  await waitUntil("it is", () =>
    store.set("a", { n: 3 }).then(
      () => true,
      () => false,
    ),
  );
  expect(await pair.next.get("sess:a")).toBe('{"n":3}');
});

test("a master that stays a replica rejects writes with READONLY, within commandTimeout", async () => {
  const pair = await startPair();
  const store = open({ url: pair.url, commandTimeout: 400 });
  await store.set("a", { n: 0 });
  await pair.becomeReplica();
  expect((await failure(store.set("a", { n: 1 }))).code).toBe("READONLY");
  // From then on at once, and reads go on.
  expect((await failure(store.set("a", { n: 1 }))).code).toBe("READONLY");
  await waitUntil("reads are served", () =>
    store.get("a").then(
      () => true,
      () => false,
    ),
  );
});
