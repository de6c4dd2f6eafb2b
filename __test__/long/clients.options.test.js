"use strict";

// Options that change what a client's calls do: a direct connection would behave differently, so the
// client carries the calls. docs/clients.md has the table.

const { readFileSync } = require("node:fs");
const path = require("node:path");
const { once } = require("node:events");
const Ioredis = require("ioredis").Redis;
const nodeRedis = require("redis");
const { RedisStore } = require("../..");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { openInspector } = require("../support/inspector.js");

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

beforeEach(() => {
  opened = [];
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
  await inspector.flushDb();
});

async function ioredis(options) {
  const client = new Ioredis(server.port, "127.0.0.1", options);
  client.on("error", () => {});
  opened.push(() => client.disconnect());
  await once(client, "ready");
  return client;
}

async function createClient(options, derive = (client) => client) {
  const client = nodeRedis.createClient({ url: server.url, ...options });
  client.on("error", () => {});
  opened.push(() => client.isOpen && client.destroy());
  await client.connect();
  return derive(client);
}

async function transportWith(client) {
  const store = new RedisStore({ client });
  opened.push(() => store.close());
  await store.set("a", { n: 1 });
  expect(await store.get("a")).toEqual({ n: 1 });
  return store.transport;
}

const { RESP_TYPES } = nodeRedis;

describe("the client carries the calls with", () => {
  test.each([
    ["enableOfflineQueue: false", { enableOfflineQueue: false }],
    ["commandTimeout", { commandTimeout: 1000 }],
    ["maxRetriesPerRequest", { maxRetriesPerRequest: 1 }],
    ["socketTimeout", { socketTimeout: 1000 }],
    ["autoResendUnfulfilledCommands: false", { autoResendUnfulfilledCommands: false }],
    ["reconnectOnError", { reconnectOnError: () => false }],
    ["an option that is not known", { someday: true }],
  ])("ioredis's %s", async (_name, options) => {
    expect(await transportWith(await ioredis(options))).toBe("client");
  });

  test.each([
    ["disableOfflineQueue", { disableOfflineQueue: true }],
    ["commandsQueueMaxLength", { commandsQueueMaxLength: 100 }],
    ["commandOptions", { commandOptions: { timeout: 1000 } }],
    ["socketTimeout", { socket: { socketTimeout: 1000, host: "127.0.0.1" } }],
    ["clientSideCache", { clientSideCache: { maxEntries: 10 } }],
    ["an option that is not known", { someday: true }],
  ])("node-redis's %s", async (_name, options) => {
    expect(await transportWith(await createClient(options))).toBe("client");
  });

  test.each([
    ["withTypeMapping", (client) => client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })],
    ["withCommandOptions", (client) => client.withCommandOptions({ timeout: 900 })],
    ["withAbortSignal", (client) => client.withAbortSignal(new AbortController().signal)],
    ["asap", (client) => client.asap()],
  ])("node-redis's %s", async (_name, derive) => {
    expect(await transportWith(await createClient({}, derive))).toBe("client");
  });
});

describe("the direct connection carries the calls with", () => {
  test.each([
    ["maxRetriesPerRequest: null, as BullMQ wants it", { maxRetriesPerRequest: null }],
    ["retryStrategy", { retryStrategy: () => 50 }],
    ["connectTimeout and keepAlive", { connectTimeout: 999, keepAlive: 5, noDelay: false }],
    ["enableAutoPipelining", { enableAutoPipelining: true }],
    ["undefined options", { commandTimeout: undefined, reconnectOnError: null, other: undefined }],
  ])("ioredis's %s", async (_name, options) => {
    expect(await transportWith(await ioredis(options))).toBe("native");
  });

  test.each([
    ["pingInterval", { pingInterval: 60_000 }],
    ["reconnectStrategy", { socket: { reconnectStrategy: () => 50, host: "127.0.0.1" } }],
    ["scripts and modules", { scripts: {}, modules: {}, functions: {} }],
    ["undefined options", { disableOfflineQueue: undefined, other: undefined }],
  ])("node-redis's %s", async (_name, options) => {
    expect(await transportWith(await createClient(options))).toBe("native");
  });

  test("node-redis's client made from another without an option of its own", async () => {
    const client = await createClient({}, (made) => made.withCommandOptions({}));
    expect(await transportWith(client)).toBe("native");
  });
});

describe("a client without a connection carries the calls, and its options apply", () => {
  test.each([
    [
      "disableOfflineQueue of node-redis",
      (url) => nodeRedis.createClient({ url, disableOfflineQueue: true }),
    ],
    ["enableOfflineQueue of ioredis", (url) => new Ioredis(url, { enableOfflineQueue: false })],
    [
      "maxRetriesPerRequest of ioredis",
      (url) => new Ioredis(url, { maxRetriesPerRequest: 0, retryStrategy: () => 5 }),
    ],
  ])("%s", async (_name, make) => {
    const client = make("redis://127.0.0.1:1");
    client.on("error", () => {});
    client.connect?.().catch(() => {});
    const store = new RedisStore({ client, commandTimeout: 20_000 });
    // The client rejects the call, long before commandTimeout.
    await expect(store.get("a")).rejects.toMatchObject({ name: "RedisStoreError" });
    await store.close();
    await (client.destroy ?? client.disconnect).call(client);
  });
});

test("keyPrefix counts only if the library has the option: node-redis 6 does, 5 ignores it", () => {
  const { inspect } = require("../../lib/client/inspect.js");
  const options = { rootNodes: [{ url: "redis://127.0.0.1:1" }], keyPrefix: "k:" };
  expect(inspect(nodeRedis.createCluster(options)).keyPrefix).toBe("k:");
  expect(inspect(require("redis-5").createCluster(options)).keyPrefix).toBe("");
});

test.each([
  ["commandOptions", { commandOptions: { timeout: 200 } }],
  ["readonly", { readonly: true }],
])("a cluster of node-redis whose defaults have %s carries the calls itself", (_name, defaults) => {
  const { inspect } = require("../../lib/client/inspect.js");
  const options = { rootNodes: [{ url: "redis://127.0.0.1:1" }] };
  expect(inspect(nodeRedis.createCluster(options)).why).toBeUndefined();
  expect(inspect(nodeRedis.createCluster({ ...options, defaults })).why).toBeDefined();
});

test("each option in the table of docs/clients.md is treated as it says", () => {
  const text = readFileSync(path.join(__dirname, "../../docs/clients.md"), "utf8");
  const options = require("../../lib/client/client-options.js");
  const rows = [...text.matchAll(/^\| (ioredis|node-redis) +\| ([^|]+)\| (native|client)/gm)];
  expect(rows.length).toBeGreaterThan(7);
  for (const [, library, names, carrier] of rows) {
    for (const [, name] of names.matchAll(/`(\w+)/g)) {
      const odd = library === "ioredis" ? options.oddOptionOfIoredis : options.oddOptionOfNodeRedis;
      // Another test covers `withTypeMapping()` and similar methods.
      if (/^(with|asap)/.test(name)) continue;
      const isLookedAtElsewhere = [
        "commandOptions",
        "readonly",
        "legacyMode",
        "socket",
        "credentialsProvider",
      ];
      if (isLookedAtElsewhere.includes(name)) continue;
      const isOdd = [false, true, 1].some((value) => odd({ [name]: value }) !== undefined);
      expect([name, isOdd ? "client" : "native"]).toEqual([name, carrier]);
    }
  }
});
