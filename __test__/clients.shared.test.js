"use strict";

// All stores of one client share one direct connection, which stays open as long as one of them is open.

const { once } = require("node:events");
const { AsyncLocalStorage } = require("node:async_hooks");
const Ioredis = require("ioredis").Redis;
const { createClient } = require("redis");
const { RedisStore } = require("..");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { countClients, openInspector, waitUntilAlone } = require("./support/inspector.js");
const { run } = require("./support/run.js");

let server;
let inspector;
let opened;

beforeAll(async () => {
  server = await startRedisServer();
  inspector = await openInspector(server);
});

afterAll(async () => {
  await inspector?.close();
  await server?.stop();
});

beforeEach(async () => {
  opened = [];
  await waitUntilAlone(inspector);
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
  await inspector.flushDb();
});

/** The number of connections without the inspector's and one client's. */
const beside = async () => (await countClients(inspector)) - 2;

const LIBRARIES = [
  [
    "node-redis",
    async () => {
      const client = createClient({ url: server.url });
      client.on("error", () => {});
      opened.push(() => client.isOpen && client.destroy());
      await client.connect();
      return client;
    },
  ],
  [
    "ioredis",
    async () => {
      const client = new Ioredis(server.port, "127.0.0.1");
      client.on("error", () => {});
      opened.push(() => client.disconnect());
      await once(client, "ready");
      return client;
    },
  ],
];

describe.each(LIBRARIES)("of %s", (_name, open) => {
  test("thirty stores have one connection, and each its own prefix, ttl and serializer", async () => {
    const client = await open();
    const wrap = (n) => ({
      parse: (text) => ({ ...JSON.parse(text), by: n }),
      stringify: JSON.stringify,
    });
    const stores = Array.from(
      { length: 30 },
      (_, n) =>
        new RedisStore({
          client,
          prefix: `p${n}:`,
          ttl: 100 + n,
          ...(n % 3 === 0 && { serializer: wrap(n) }),
          ...(n % 5 === 0 && { disableTTL: true }),
        }),
    );
    await Promise.all(stores.map((store, n) => store.set("a", { n })));
    const read = await Promise.all(stores.map((store) => store.get("a")));
    expect(read).toEqual(stores.map((_, n) => (n % 3 === 0 ? { n, by: n } : { n })));
    expect(await beside()).toBe(1);
    for (const [n, store] of stores.entries()) {
      expect(store.transport).toBe("native");
      const ttl = await inspector.pTTL(`p${n}:a`);
      if (n % 5 === 0) expect(ttl).toBe(-1);
      else expect(Math.ceil(ttl / 1000)).toBe(100 + n);
      expect(await store.ids()).toEqual(["a"]);
    }
    stores[1].prefix = "other:";
    await stores[1].set("a", { n: "other" });
    expect(await stores[2].get("a")).toEqual({ n: 2 });
    expect(await inspector.get("other:a")).toBe('{"n":"other"}');
    await stores[7].clear();
    expect(await stores[8].length()).toBe(1);
    for (const store of stores.slice(1)) await store.close();
    expect(await beside()).toBe(1);
    expect(await stores[0].get("a")).toEqual({ n: 0, by: 0 });
    await stores[0].close();
    await waitUntil("the connection is gone", async () => (await beside()) === 0);
    const next = new RedisStore({ client });
    opened.push(() => next.close());
    expect(await next.get("a")).toBeNull();
    expect(await beside()).toBe(1);
  });

  test("closing one rejects its waiting calls, and no calls of the others", async () => {
    const client = await open();
    const [one, other] = ["one:", "other:"].map((prefix) => new RedisStore({ client, prefix }));
    opened.push(() => other.close());
    await Promise.all([one.set("a", { n: 1 }), other.set("a", { n: 2 })]);
    const calls = [one.get("a"), one.all(), other.get("a"), other.all()].map((call) =>
      call.catch((error) => error.code),
    );
    await one.close();
    expect(await Promise.all(calls)).toEqual(["ECLOSED", "ECLOSED", { n: 2 }, [{ n: 2, id: "a" }]]);
    await expect(one.set("a", {})).rejects.toMatchObject({ code: "ECLOSED" });
    await expect(one.length()).rejects.toMatchObject({ code: "ECLOSED" });
    expect(await other.length()).toBe(1);
    expect(one.status).toBe("closed");
    expect(other.status).toBe("ready");
  });

  test("each emits ready and end, in the async context in which it was made", async () => {
    const client = await open();
    const storage = new AsyncLocalStorage();
    const events = [];
    const stores = ["a", "b"].map((name) =>
      storage.run(name, () => {
        const store = new RedisStore({ client, prefix: name });
        for (const event of ["ready", "reconnecting", "end"]) {
          store.on(event, () => events.push([name, event, storage.getStore()]));
        }
        return store;
      }),
    );
    await storage.run("a call", () => stores[0].get("x"));
    await waitUntil("both are ready", () => events.length === 2);
    await storage.run("closing", () => Promise.all(stores.map((store) => store.close())));
    await waitUntil("both have ended", () => events.length === 4);
    expect(events.sort()).toEqual([
      ["a", "end", "a"],
      ["a", "ready", "a"],
      ["b", "end", "b"],
      ["b", "ready", "b"],
    ]);
  });

  test("stores with other timeouts keep them, on a separate connection", async () => {
    const client = await open();
    const stores = [1000, 1000, 2000].map(
      (commandTimeout) => new RedisStore({ client, commandTimeout }),
    );
    opened.push(...stores.map((store) => () => store.close()));
    await Promise.all(stores.map((store) => store.get("a")));
    expect(await beside()).toBe(2);
  });
});

test("a store for each request: one connection in all, and none after the last store", async () => {
  const { stdout, stderr } = await run(
    `
    import { createClient } from "redis";
    import { RedisStore } from "./index.mjs";
    const client = await createClient({ url: process.env.URL_OF_REDIS }).connect();
    const count = async () =>
      (await client.sendCommand(["CLIENT", "LIST"])).trim().split("\\n").length;
    const before = await count();
    const listeners = () => client.eventNames().reduce((sum, name) => sum + client.listenerCount(name), 0);
    let most = 0;
    let listening;
    for (let n = 0; n < 300; n += 1) {
      const store = new RedisStore({ client, onUnavailable: "error", ttl: () => 60 + Number(store === 1) });
      await store.set("s" + n, { n });
      await store.get("s" + n);
      most = Math.max(most, await count());
      listening ??= listeners();
    }
    console.log(most - before, listeners() - listening);
    for (let n = 0; n < 300 && (await count()) > before; n += 1) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log((await count()) - before);
    client.destroy();
    `,
    { URL_OF_REDIS: server.url },
  );
  expect({ stdout, stderr }).toEqual({ stdout: "1 0\n0\n", stderr: "" });
});
