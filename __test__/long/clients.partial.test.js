"use strict";

// A client with only some methods, such as wrappers and mocks: the methods it has work, and a missing
// method rejects the call that needs it.

const { RedisStore } = require("../..");

/** Made anew for each test: its time to live is a minute, rounded up to whole seconds. */
let SESSION;

beforeEach(() => {
  SESSION = {
    n: 1,
    cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000) },
  };
});

/** Records the arguments of a client's SET calls. */
function recorder() {
  const seen = [];
  return { seen, note: (...args) => seen.push(args) };
}

/** Whether SET has an expiry, in any dialect. */
const hasExpiry = (args) => /"EX"/.test(JSON.stringify(args));

test("a wrapper that only has set, with arguments and a callback, stores", async () => {
  const { seen, note } = recorder();
  const client = {
    set(args, cb) {
      note(args);
      cb(null, "OK");
    },
  };
  const store = new RedisStore({ client });
  expect(await store.set("a", SESSION)).toBeNull();
  expect(seen).toEqual([[["sess:a", JSON.stringify(SESSION), "EX", 60]]]);
  await expect(store.get("a")).rejects.toMatchObject({
    name: "RedisStoreError",
    message: expect.stringMatching(/^get: .*no method get/),
  });
  await store.close();
});

test("a mock with connect-redis's four methods is called as connect-redis calls it", async () => {
  const stored = new Map();
  const client = {
    get: jest.fn(async (key) => stored.get(key) ?? null),
    set: jest.fn(async (key, value) => stored.set(key, value) && "OK"),
    del: jest.fn(async ([key]) => Number(stored.delete(key))),
    expire: jest.fn(async () => 1),
  };
  const store = new RedisStore({ client });
  await store.set("a", SESSION);
  expect(client.set).toHaveBeenCalledWith("sess:a", JSON.stringify(SESSION), {
    expiration: { type: "EX", value: 60 },
  });
  expect(await store.get("a")).toMatchObject({ n: 1 });
  await store.touch("a", SESSION);
  expect(client.expire).toHaveBeenCalledWith("sess:a", 60);
  await store.destroy("a");
  expect(client.del).toHaveBeenCalledWith(["sess:a"]);
  await expect(store.all()).rejects.toThrow(/no method scanIterator/);
  await store.close();
});

test.each([
  ["get", (store) => store.get("a")],
  ["set", (store) => store.set("a", SESSION)],
  ["expire", (store) => store.touch("a", SESSION)],
  ["del", (store) => store.destroy("a")],
  ["scanIterator", (store) => store.ids()],
  ["scanIterator", (store) => store.length()],
  ["scanIterator", (store) => store.clear()],
])("a client without %s rejects only the call that needs it", async (method, call) => {
  const store = new RedisStore({ client: { connect() {}, on() {} } });
  const error = await call(store).catch((thrown) => thrown);
  expect(error).toMatchObject({ name: "RedisStoreError", code: "ECLIENT" });
  expect(error.message).toContain(`no method ${method}`);
  await store.close();
});

describe("a client whose type cannot be read from its methods", () => {
  const make = (note) => ({
    get: async () => null,
    set: async (...args) => {
      note(...args);
      return "OK";
    },
  });

  test("stores nothing that might never expire, and the error says which option to set", async () => {
    const { seen, note } = recorder();
    const store = new RedisStore({ client: make(note) });
    expect(await store.get("a")).toBeNull();
    await expect(store.set("a", SESSION)).rejects.toThrow(/clientType: "node-redis"/);
    expect(seen).toEqual([]);
    await store.close();
  });

  test.each([
    ["node-redis", [{ expiration: { type: "EX", value: 60 } }]],
    ["node-redis-4", [{ EX: 60 }]],
    ["ioredis", ["EX", 60]],
  ])("is called as clientType %s says", async (clientType, rest) => {
    const { seen, note } = recorder();
    const store = new RedisStore({ client: make(note), clientType });
    await store.set("a", SESSION);
    expect(seen).toEqual([["sess:a", JSON.stringify(SESSION), ...rest]]);
    expect(hasExpiry(seen)).toBe(true);
    await store.close();
  });

  test("is called with callbacks if clientType says so", async () => {
    const { seen, note } = recorder();
    const client = {
      set(...args) {
        note(...args.slice(0, -1));
        args.at(-1)(null, "OK");
      },
      get: (_key, cb) => cb(null, null),
    };
    const store = new RedisStore({ client, clientType: "callbacks" });
    await store.set("a", SESSION);
    expect(seen).toEqual([["sess:a", JSON.stringify(SESSION), "EX", 60]]);
    expect(await store.get("a")).toBeNull();
    await store.close();
  });
});

describe("every wrapper of a real node-redis client stores a session that expires", () => {
  const { createClient } = require("redis");
  const { startRedisServer } = require("../../scripts/redis-server.js");
  let server;
  let client;

  beforeAll(async () => {
    server = await startRedisServer();
    client = await createClient({ url: server.url }).connect();
  });

  afterAll(async () => {
    client?.destroy();
    await server?.stop();
  });

  class Wrapper {
    async get(key) {
      return client.get(key);
    }
    async set(key, value, options) {
      return client.set(key, value, options);
    }
    async del(keys) {
      return client.del(keys);
    }
    async expire(key, seconds) {
      return client.expire(key, seconds);
    }
  }
  const del = (keys) => client.del(keys);
  const expire = (key, seconds) => client.expire(key, seconds);

  test.each([
    ["with mget", () => Object.assign(new Wrapper(), { mget: async (keys) => client.mGet(keys) })],
    ["with scan", () => Object.assign(new Wrapper(), { scan: async () => ["0", []] })],
    [
      "of any arguments, with mget",
      () => ({
        get: (...args) => client.get(args[0]),
        set: (...args) => client.set(...args),
        mget: (...args) => client.mGet(...args),
        del,
        expire,
      }),
    ],
    [
      "whose get takes options",
      () => ({
        get: (key, _options) => client.get(key),
        set: async (key, value, options) => client.set(key, value, options),
        del,
        expire,
      }),
    ],
    [
      "whose asynchronous get takes options",
      () => ({
        get: async (key, _options) => client.get(key),
        set: async (key, value, options = {}) => client.set(key, value, options),
        del,
        expire,
      }),
    ],
    [
      "that throws if a method is missing",
      () =>
        new Proxy(new Wrapper(), {
          get(target, name) {
            if (typeof name === "string" && !(name in target)) throw new Error(`no such ${name}`);
            return target[name];
          },
        }),
    ],
  ])("%s", async (_name, make) => {
    const store = new RedisStore({ client: make() });
    await store.set("a", SESSION);
    expect(await client.ttl("sess:a")).toBeGreaterThan(0);
    expect(await store.get("a")).toMatchObject({ n: 1 });
    await store.touch("a", SESSION);
    await store.destroy("a");
    expect(await store.get("a")).toBeNull();
    await store.close();
  });
});

test("a method that is added to a mock later is called", async () => {
  const client = { on() {} };
  const store = new RedisStore({ client });
  await expect(store.get("a")).rejects.toThrow(/no method get/);
  client.get = jest.fn(async () => '{"n":1}');
  expect(await store.get("a")).toEqual({ n: 1 });
  await store.close();
});
