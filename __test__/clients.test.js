"use strict";

// How a store treats its client: which transport it takes and reports, how its direct connection follows
// the client, and the errors for a client that cannot be used. behaviour.*.test.js test the calls
// themselves.

const net = require("node:net");
const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { RedisStore } = require("..");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { startProxy } = require("./support/proxy.js");
const { loadSession } = require("./support/stores.js");
const { countClients, openInspector, waitUntilAlone } = require("./support/inspector.js");

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
  await inspector.flushAll();
});

afterEach(async () => {
  for (const close of opened) await close();
});

function makeStore(options) {
  const store = new RedisStore(options);
  opened.push(() => store.close());
  return store;
}

async function nodeRedis(options) {
  const client = createClient({ url: server.url, ...options });
  client.on("error", () => {});
  opened.push(() => client.isOpen && client.destroy());
  await client.connect();
  return client;
}

function ioredis({ url = server.url, ...options } = {}) {
  const client = new Redis(url, options);
  client.on("error", () => {});
  opened.push(() => client.disconnect());
  return client;
}

/** Waits until it is ready: until then, the client carries the calls. */
async function readyIoredis(options) {
  const client = ioredis(options);
  await client.ping();
  return client;
}

/** The number of connections without the inspector's. */
const connections = async () => (await countClients(inspector)) - 1;

const LIBRARIES = [
  ["node-redis", nodeRedis, (client) => client.close(), (client) => client.connect()],
  ["ioredis", readyIoredis, (client) => client.quit(), (client) => client.connect()],
];

describe.each(LIBRARIES)("a direct connection beside %s", (_name, open, close, reopen) => {
  test("is made with the first call, and only one", async () => {
    const client = await open();
    const store = makeStore({ client });
    expect(store.client).toBe(client);
    expect(store.transport).toBe("native");
    await Promise.all(Array.from({ length: 50 }, (_, n) => store.set(`s${n}`, { n })));
    expect(store.status).toBe("ready");
    expect(await connections()).toBe(2);
    expect(await client.get("sess:s7")).toBe('{"n":7}');
  });

  test("closes with the client, and calls reject until the client is opened again", async () => {
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    await close(client);
    await waitUntil("all connections are gone", async () => (await connections()) === 0);
    const error = await store.get("a").catch((thrown) => thrown);
    expect(error).toMatchObject({ name: "RedisStoreError", code: "ECLOSED" });
    expect(error.message).toContain("client");
    expect(await connections()).toBe(0);
    await reopen(client);
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(await connections()).toBe(2);
    expect(store.transport).toBe("native");
  });

  test("emits ready, and again after it was lost and reconnected", async () => {
    const client = await open();
    const store = makeStore({ client });
    const events = [];
    for (const event of ["ready", "reconnecting", "end"]) store.on(event, () => events.push(event));
    await store.set("a", { n: 1 });
    await waitUntil("it is ready", () => events.length === 1);
    await inspector.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await waitUntil("it is ready again", async () => {
      await store.get("a").catch(() => {});
      return events.length === 3;
    });
    expect(events).toEqual(["ready", "reconnecting", "ready"]);
  });

  test("closes with the store; the client stays open", async () => {
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    await store.close();
    expect(store.status).toBe("closed");
    await waitUntil("the store's connection is gone", async () => (await connections()) === 1);
    await expect(store.get("a")).rejects.toMatchObject({ code: "ECLOSED" });
    expect(await client.get("sess:a")).toBe('{"n":1}');
  });

  test("is not used while the client is in another database, and is used again afterwards", async () => {
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    await client.select(5);
    await store.set("a", { n: 2 });
    expect(store.transport).toBe("client");
    expect(await client.get("sess:a")).toBe('{"n":2}');
    expect(await inspector.get("sess:a")).toBe('{"n":1}');
    expect(await store.get("a")).toEqual({ n: 2 });
    client.select(0); // not awaited
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(store.transport).toBe("native");
  });

  test("is not used after the client sends a raw SELECT", async () => {
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    if (!client.call) return; // With node-redis, a raw SELECT is noticed within a second.
    for (const name of ["SELECT", "select", "Select"]) {
      await client.call(name, "4");
      await store.set("a", { n: name });
      expect(await client.get("sess:a")).toBe(`{"n":"${name}"}`);
      await client.call(name, "0");
      await store.set("a", { n: 0 });
      expect(await client.get("sess:a")).toBe('{"n":0}');
    }
  });

  test("is not used after the client logs in as another user", async () => {
    await inspector.sendCommand(["ACL", "SETUSER", "eve", "on", ">x", "~*", "&*", "+@all"]);
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("native");
    if (client.sendCommand.length === 2 && client.call) await client.auth("eve", "x");
    else await client.auth({ username: "eve", password: "x" });
    await store.set("a", { n: 2 });
    expect(store.transport).toBe("client");
    await inspector.sendCommand(["ACL", "DELUSER", "eve"]);
  });

  test("is made again after the server was away", async () => {
    const own = await startRedisServer();
    const other = await open();
    const client = other.duplicate(other.options.socket ? { url: own.url } : { port: own.port });
    client.on("error", () => {});
    if ("isOpen" in client) await client.connect();
    const store = makeStore({ client });
    try {
      await store.set("a", { n: 1 });
      await own.stop();
      const waiting = store.set("b", { n: 2 });
      const again = await startRedisServer({ port: own.port });
      try {
        await waiting;
        expect(await store.get("b")).toEqual({ n: 2 });
        expect(store.transport).toBe("native");
      } finally {
        await store.close();
        await (client.destroy ?? client.disconnect).call(client);
        await again.stop();
      }
    } finally {
      await own.stop();
    }
  });

  test("is not made with transport: client", async () => {
    const client = await open();
    const store = makeStore({ client, transport: "client" });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("client");
    expect(await connections()).toBe(1);
  });

  test("adds no listeners that stay on the client, even with many stores", async () => {
    const client = await open();
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    for (let n = 0; n < 30; n += 1) {
      const store = new RedisStore({ client });
      await store.set(`s${n}`, { n });
      await store.close();
    }
    expect(warn).not.toHaveBeenCalled();
    warn.mockRestore();
    expect(client.listenerCount("ready")).toBeLessThan(5);
    await waitUntil("their connections are gone", async () => (await connections()) === 1);
  });
});

describe.each(LIBRARIES)("beside %s, nothing is lost", (name, open, close) => {
  test("when the client is closed right after the first calls", async () => {
    const client = await open();
    if (client.status) await client.ping(); // ready
    const store = makeStore({ client });
    await inspector.set("sess:gone", "{}");
    const calls = [store.set("a", { n: 1 }), store.destroy("gone"), store.set("b", { n: 2 })];
    await close(client);
    expect(await Promise.all(calls)).toEqual([null, null, null]);
    expect(await inspector.keys("*")).toEqual(expect.arrayContaining(["sess:a", "sess:b"]));
    expect(await inspector.dbSize()).toBe(2);
  });

  test("when the direct connection is lost: the client carries the calls in flight", async () => {
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1, cookie: {} });
    const id = /id=(\d+)[^\n]*lib-name=connect-redis-rs/;
    const list = async () => inspector.sendCommand(["CLIENT", "LIST"]);
    const before = (await list()).split("\n");
    const own = before.filter((line) => line).at(-1);
    // No new connection is possible: only the client is left.
    await inspector.configSet("maxclients", String(await countClients(inspector)));
    try {
      expect(own).toMatch(/id=\d+/);
      await inspector.sendCommand([
        "CLIENT",
        "KILL",
        "ID",
        (id.exec(own) ?? /id=(\d+)/.exec(own))[1],
      ]);
      const calls = [
        store.get("a"),
        store.set("b", { n: 2 }),
        store.touch("a", {}),
        store.get("b"),
      ];
      const [a, , , b] = await Promise.all(calls);
      expect([a, b]).toEqual([{ n: 1, cookie: {} }, { n: 2 }]);
      expect(await store.destroy("a")).toBeNull();
      expect(await store.get("a")).toBeNull();
    } finally {
      await inspector.configSet("maxclients", "10000");
    }
    expect(await inspector.exists("sess:a")).toBe(0);
  });

  test("when the server is gone: of calls that are handed back none overtakes another", async () => {
    const own = await startRedisServer();
    opened.push(() => own.stop());
    // node-redis's own limit, of five seconds, is too short for a busy machine.
    const unlimited = name === "node-redis" ? { commandOptions: { timeout: undefined } } : {};
    const client = await open({ url: own.url, ...unlimited });
    if (client.status) await client.ping(); // ready
    const store = makeStore({ client, commandTimeout: 30_000 });
    await store.set("first", {});
    expect(store.transport).toBe("native");
    process.kill(own.pid, "SIGSTOP");
    const sids = Array.from({ length: 5_000 }, (_, n) => `s${n}`);
    const calls = sids.map((sid) => store.set(sid, {}));
    await new Promise(setImmediate); // They are on their way.
    process.kill(own.pid, "SIGKILL");
    // Until the I/O thread has handed them back; the event loop does not turn meanwhile.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    calls.push(store.destroy(sids.at(-1)));
    await own.kill();
    await own.restart();
    await Promise.all(calls);
    const left = await openInspector(own);
    left.on("error", () => {}); // The server ends before it.
    opened.push(() => left.destroy());
    expect(await left.dbSize()).toBe(sids.length - 1);
    expect(await left.exists(`sess:${sids.at(-1)}`)).toBe(0);
  });

  test("when the server is gone: what is over time is not made after a later call", async () => {
    const own = await startRedisServer();
    opened.push(() => own.stop());
    const client = await open({ url: own.url });
    if (client.status) await client.ping(); // ready
    const store = makeStore({ client, commandTimeout: 1000 });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("native");
    process.kill(own.pid, "SIGSTOP");
    const saved = store.set("a", { n: 2 });
    await new Promise(setImmediate); // It is on its way.
    await own.kill();
    await new Promise((resolve) => setTimeout(resolve, 100));
    const calls = await Promise.allSettled([saved, store.destroy("a")]);
    expect(calls.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await own.restart();
    await client.ping().catch(() => client.ping()); // What the client had still to send is sent.
    expect(await client.exists("sess:a")).toBe(0);
  });

  test("when the server is gone, and the store has a client of another by then: the call rejects", async () => {
    const own = await startRedisServer();
    opened.push(() => own.stop());
    const client = await open({ url: own.url });
    if (client.status) await client.ping(); // ready
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("native");
    process.kill(own.pid, "SIGSTOP");
    const saved = store.set("a", { n: 2 }).catch((error) => error);
    await new Promise((resolve) => setTimeout(resolve, 20));
    store.client = await open();
    expect(await store.get("a")).toBeNull();
    await own.kill();
    const error = await saved;
    expect(error).toMatchObject({ name: "RedisStoreError", code: "ECONNRESET" });
    expect(error.message).toContain("another client");
    expect(await inspector.dbSize()).toBe(0);
  });

  test("when the store is given another client before it is decided who carries the call", async () => {
    const own = await startRedisServer();
    opened.push(() => own.stop());
    const proxy = await startProxy(own);
    opened.push(() => proxy.stop());
    const client = await open({ url: proxy.url });
    if (client.status) await client.ping(); // ready
    const store = makeStore({ client });
    proxy.delay(50);
    const saved = store.set("a", { n: 1 });
    store.client = await open();
    expect(await store.get("a")).toBeNull();
    expect(await saved).toBeNull();
    expect(await client.exists("sess:a")).toBe(1);
    expect(await inspector.dbSize()).toBe(0);
    expect(await store.set("b", { n: 2 })).toBeNull();
    expect(await inspector.exists("sess:b")).toBe(1);
  });

  test("when the direct connection is left between the calls of a session that moves (hashIds)", async () => {
    const proxy = await startProxy(server);
    opened.push(() => proxy.stop());
    const client = await open({ url: proxy.url });
    if (client.status) await client.ping(); // ready
    const store = makeStore({ client, hashIds: "migrate" });
    await store.set("a", { n: 1 });
    await store.set("b", { n: 2 });
    expect(store.transport).toBe("native");
    proxy.delay(50);
    const calls = [store.destroy("a"), store.touch("b", {}), store.get("c")];
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.get = client.get.bind(client); // From here on the client carries the calls.
    calls.push(store.get("b"));
    expect(await Promise.all(calls)).toEqual([null, null, null, { n: 2 }]);
    expect(await inspector.dbSize()).toBe(1);
  });

  test.each(["client", undefined])(
    "when the app gives the store another client between the calls of a session that moves (transport: %p)",
    async (transport) => {
      const proxy = await startProxy(server);
      opened.push(() => proxy.stop());
      const client = await open({ url: proxy.url });
      const store = makeStore({ client, hashIds: "migrate", transport });
      await store.set("c", { n: 3 });
      expect(store.transport).toBe(transport ?? "native");
      const discarded = await loadSession(store, "c");
      await inspector.flushAll();
      await store.set("a", { n: 1 });
      await store.set("b", { n: 2 });
      proxy.delay(50);
      // "c" is gone, so it is looked for at its old key, too.
      const calls = [store.destroy("a"), store.touch("b", {}), store.set("c", discarded)];
      await new Promise((resolve) => setTimeout(resolve, 20));
      store.client = await open();
      calls.push(store.get("b"));
      expect(await Promise.all(calls)).toEqual([null, null, null, { n: 2 }]);
      expect(await inspector.dbSize()).toBe(1);
    },
  );

  test("when it changes its database: earlier calls go to the old database", async () => {
    const client = await open();
    if (client.status) await client.ping();
    const store = makeStore({ client });
    const calls = [store.set("zero", { n: 0 })];
    for (const database of [1, 2, 0]) {
      calls.push(client.select(database));
      calls.push(store.set(`in${database}`, { n: database }));
    }
    await Promise.all(calls);
    expect((await inspector.keys("*")).sort()).toEqual(["sess:in0", "sess:zero"]);
    for (const database of [1, 2]) {
      const other = await openInspector(server, { database });
      expect(await other.keys("*")).toEqual([`sess:in${database}`]);
      await other.close();
    }
  });

  test("when the prefix is changed while a call waits", async () => {
    const client = await open();
    const store = makeStore({ client });
    const stored = store.set("a", { n: 1 });
    store.prefix = "new:";
    await stored;
    expect(await inspector.keys("*")).toEqual(["sess:a"]);
  });
});

describe("a client that is changed later", () => {
  test("by a spy carries the calls from then on", async () => {
    const client = await nodeRedis();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("native");
    jest.spyOn(client, "get").mockRejectedValue(new Error("boom"));
    await expect(store.get("a")).rejects.toThrow("boom");
    client.get.mockRestore();
    expect(await store.get("a")).toEqual({ n: 1 });
  });

  test("for another client is replaced by that client", async () => {
    const other = await startRedisServer();
    try {
      const first = await nodeRedis();
      const second = createClient({ url: other.url });
      second.on("error", () => {});
      await second.connect();
      const store = makeStore({ client: first });
      await store.set("a", { n: 1 });
      store.client = second;
      expect(await store.get("a")).toBeNull();
      await store.set("a", { n: 2 });
      expect(await second.get("sess:a")).toBe('{"n":2}');
      expect(await first.get("sess:a")).toBe('{"n":1}');
      await waitUntil(
        "the direct connection of the first client is closed",
        async () => (await connections()) === 1,
      );
      await store.close();
      second.destroy();
    } finally {
      await other.stop();
    }
  });

  test("in its options is followed to its new server", async () => {
    const other = await startRedisServer();
    try {
      const client = ioredis();
      const store = makeStore({ client });
      await store.set("a", { n: 1 });
      client.options.port = other.port;
      client.disconnect(true);
      await waitUntil("the client is there", async () => {
        await store.set("b", { n: 2 }).catch(() => {});
        return (await client.get("sess:b")) === '{"n":2}';
      });
      await store.set("c", { n: 3 });
      expect(await client.get("sess:c")).toBe('{"n":3}');
      await store.close();
      client.disconnect();
    } finally {
      await other.stop();
    }
  });
});

describe("a user with no more rights than connect-redis needs", () => {
  test.each(["+@connection", "-@connection"])("(%s) is served", async (connection) => {
    const rights = [
      "+get",
      "+set",
      "+expire",
      "+del",
      "+scan",
      "+mget",
      connection,
      "+hello",
      "+auth",
    ];
    const rules = ["reset", "on", ">x", "~*", "&*", ...rights];
    await inspector.sendCommand(["ACL", "SETUSER", "poor", ...rules]);
    const clients = [
      await nodeRedis({ username: "poor", password: "x" }),
      new Redis(server.port, { username: "poor", password: "x", enableReadyCheck: false }),
    ];
    opened.push(() => clients[1].disconnect());
    for (const client of clients) {
      const store = makeStore({ client });
      await store.set("a", {
        n: 1,
        cookie: { originalMaxAge: 5, expires: new Date(Date.now() + 9000) },
      });
      await store.touch("a", { cookie: { expires: new Date(Date.now() + 90_000) } });
      expect(await inspector.pTTL("sess:a")).toBeGreaterThan(80_000);
      expect(await store.get("a")).toMatchObject({ n: 1 });
      expect(await store.length()).toBe(1);
      expect(await store.all()).toMatchObject([{ n: 1, id: "a" }]);
      await store.clear();
      expect(await inspector.dbSize()).toBe(0);
    }
  });
});

describe("CLIENT INFO", () => {
  /** Starts a proxy that closes a connection after CLIENT INFO, as some proxies do. */
  async function startProxy() {
    const sockets = new Set();
    let count = 0;
    const proxy = net.createServer((from) => {
      count += 1;
      const to = net.connect(server.port, "127.0.0.1");
      for (const socket of [from, to]) {
        sockets.add(socket);
        socket.on("error", () => {});
      }
      from.on("data", (data) => {
        if (/CLIENT\r\n\$4\r\nINFO/i.test(data.toString())) from.destroy();
        else to.write(data);
      });
      to.pipe(from);
      from.on("close", () => to.destroy());
    });
    await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    opened.push(() => {
      proxy.close();
      for (const socket of sockets) socket.destroy();
    });
    return { port: proxy.address().port, connections: () => count };
  }

  test("that costs a client its connection is not sent again and again", async () => {
    const proxy = await startProxy();
    const clients = [
      await nodeRedis({ url: `redis://127.0.0.1:${proxy.port}` }),
      new Redis(proxy.port, { maxRetriesPerRequest: 1, retryStrategy: () => 5 }),
    ];
    clients[1].on("error", () => {});
    opened.push(() => clients[1].disconnect());
    for (const client of clients) {
      const store = makeStore({ client });
      for (let n = 0; n < 40; n += 1) await store.set("a", { n }).catch(() => {});
      const before = proxy.connections();
      for (let n = 0; n < 50; n += 1) {
        await store.set("a", { n });
        expect(await client.get("sess:a")).toBe(`{"n":${n}}`);
      }
      expect(store.transport).toBe("client");
      expect(proxy.connections()).toBe(before);
      expect(before).toBeLessThan(20);
    }
  });

  test("is not sent in the middle of a transaction, nor twice at once", async () => {
    const client = ioredis();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    client.multi({ pipeline: false });
    client.set("x", "1");
    // CLIENT INFO must not be sent, so there is nothing to wait for: calls go on for longer than the
    // second after which the store would check the client again.
    for (let n = 0; n < 15; n += 1) {
      await store.get("a");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    client.get("x");
    expect(await client.exec()).toEqual([
      [null, "OK"],
      [null, "1"],
    ]);
    expect(store.transport).toBe("native");
    const busy = await nodeRedis();
    const other = makeStore({ client: busy });
    await other.set("b", { n: 1 });
    await inspector.configResetStat();
    const blocked = busy.blPop("list", 10);
    // Nor here: a second CLIENT INFO must not be sent, for more than three of the store's intervals.
    for (let n = 0; n < 35; n += 1) {
      expect(await other.get("b")).toEqual({ n: 1 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await inspector.lPush("list", "x");
    await blocked;
    expect(await busy.get("sess:b")).toBe('{"n":1}');
    const stats = await inspector.info("commandstats");
    // Redis 6.2 counts all subcommands of CLIENT together; this test sends no other.
    expect(Number(/cmdstat_client(?:\|info)?:calls=(\d+)/.exec(stats)?.[1] ?? 0)).toBe(1);
  });
});

test("commandTimeout limits the whole call, and null means its default", async () => {
  const client = createClient({ url: "redis://127.0.0.1:1" });
  client.on("error", () => {});
  client.connect().catch(() => {});
  opened.push(() => client.destroy());
  const own = await nodeRedis();
  for (const transport of ["auto", "client"]) {
    const store = makeStore({ client: own, transport, commandTimeout: null });
    expect(await store.set("a", { n: 1 })).toBeNull();
  }
  const store = makeStore({ client, commandTimeout: 2000 });
  const started = Date.now();
  await expect(store.set("a", {})).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(Date.now() - started).toBeLessThan(3900);
});

test.each([
  ["throws null", () => Promise.reject(null)],
  ["throws", () => Promise.reject(new Error("no vault"))],
])("a credentials provider that %s later leaves the calls to the client", async (_name, later) => {
  let calls = 0;
  const credentials = async () => {
    calls += 1;
    return calls === 1 ? {} : later();
  };
  const client = await nodeRedis({
    credentialsProvider: { type: "async-credentials-provider", credentials },
  });
  const store = makeStore({ client });
  await store.set("a", { n: 1 });
  expect(await store.get("a")).toEqual({ n: 1 });
  expect(store.transport).toBe("client");
});

describe("a client that is not open", () => {
  test("of node-redis rejects the calls, as the client itself does, until it is connected", async () => {
    const client = createClient({ url: server.url });
    client.on("error", () => {});
    const store = makeStore({ client });
    expect(store.status).toBe("closed");
    await expect(store.get("a")).rejects.toMatchObject({ code: "ECLOSED" });
    await client.connect();
    expect(await store.get("a")).toBeNull();
    expect(store.status).toBe("ready");
    await client.close();
  });

  test("of ioredis with lazyConnect is opened by the first call", async () => {
    const client = ioredis({ lazyConnect: true });
    const store = makeStore({ client });
    expect(await connections()).toBe(0);
    await store.set("a", { n: 1 });
    expect(await client.get("sess:a")).toBe('{"n":1}');
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(await connections()).toBe(2);
  });

  test("and never connects rejects the calls within commandTimeout", async () => {
    const client = createClient({ url: "redis://127.0.0.1:1" });
    client.on("error", () => {});
    client.connect().catch(() => {});
    const store = makeStore({ client, commandTimeout: 300 });
    const started = Date.now();
    const error = await store.get("a").catch((thrown) => thrown);
    expect(Date.now() - started).toBeLessThan(2000);
    expect(error).toMatchObject({ name: "RedisStoreError", code: "ECONNREFUSED" });
    expect(error.message).toContain("commandTimeout");
    expect(error.message).toContain("127.0.0.1:1");
    client.destroy();
  });

  test("stores waiting calls with the values from when they were made", async () => {
    const client = createClient({ url: server.url });
    client.on("error", () => {});
    opened.push(() => client.destroy());
    client.connect().catch(() => {});
    const store = makeStore({ client });
    const session = { n: 1, cookie: { expires: new Date(Date.now() + 60_000) } };
    const stored = store.set("a", session);
    session.n = 2;
    await stored;
    expect(await store.get("a")).toMatchObject({ n: 1 });
  });
});

describe("a client that allows no direct connection", () => {
  test.each([
    ["a Proxy", async () => new Proxy(await nodeRedis(), {})],
    [
      "a user without the right to CLIENT INFO",
      async () => {
        // All of CLIENT: Redis 6.2 cannot remove the right to a subcommand.
        const rules = ["on", ">x", "~*", "&*", "+@all", "-client"];
        await inspector.sendCommand(["ACL", "SETUSER", "poor", "reset", ...rules]);
        return nodeRedis({ username: "poor", password: "x" });
      },
    ],
    [
      "a method replaced on its prototype",
      async () => {
        class Mine extends Redis {}
        const commander = Object.getPrototypeOf(Redis.prototype);
        const home = Object.hasOwn(commander, "get") ? commander : Redis.prototype;
        const { get } = home;
        home.get = function prefixed(...args) {
          return get.apply(this, args);
        };
        opened.push(() => {
          home.get = get;
        });
        const client = new Mine(server.url);
        opened.push(() => client.disconnect());
        return client;
      },
    ],
    [
      "a Proxy of node-redis 4",
      async () => {
        const client = require("redis-4").createClient({ url: server.url });
        await client.connect();
        opened.push(() => client.disconnect());
        return new Proxy(client, {
          get(target, name, receiver) {
            const value = Reflect.get(target, name, name === "isOpen" ? target : receiver);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    ],
    [
      "spies",
      async () => {
        const client = await nodeRedis();
        jest.spyOn(client, "get");
        return client;
      },
    ],
    [
      "an instrumented prototype",
      async () => {
        class Traced extends Redis {}
        const original = Traced.prototype.get;
        Traced.prototype.get = Object.assign(
          function get(...args) {
            return original.apply(this, args);
          },
          { __original: original },
        );
        const client = new Traced(server.url);
        opened.push(() => client.disconnect());
        return client;
      },
    ],
    [
      "a Connector of its own",
      async () => {
        const { StandaloneConnector } = require("ioredis/built/connectors");
        return ioredis({ Connector: StandaloneConnector });
      },
    ],
    ["a lookup of its own", () => nodeRedis({ socket: { lookup: require("node:dns").lookup } })],
  ])("(%s) carries the calls itself", async (_name, make) => {
    const client = await make();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(store.transport).toBe("client");
    expect(await connections()).toBe(1);
  });

  test("carries the calls itself if the server accepts no other connection", async () => {
    const client = await nodeRedis();
    await inspector.configSet("maxclients", String(await countClients(inspector)));
    try {
      const store = makeStore({ client });
      await store.set("a", { n: 1 });
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(store.transport).toBe("client");
    } finally {
      await inspector.configSet("maxclients", "10000");
    }
  });
});

describe("transport: native", () => {
  test("throws if the client's server cannot be determined, and says why and what to do", async () => {
    const client = new Proxy(await nodeRedis(), {});
    expect(() => new RedisStore({ client, transport: "native" })).toThrow(
      expect.objectContaining({
        name: "TypeError",
        code: "ERR_INVALID_ARG_VALUE",
        message: expect.stringMatching(/native.*it is a Proxy.*url/),
      }),
    );
  });

  test("rejects calls if the client's database is not the one in its options", async () => {
    const client = await nodeRedis();
    const store = makeStore({ client, transport: "native" });
    await store.set("a", { n: 1 });
    await client.select(4);
    await expect(store.get("a")).rejects.toThrow("database 4");
    await client.select(0);
    expect(await store.get("a")).toEqual({ n: 1 });
  });
});

describe("an invalid option", () => {
  const six = () => ({
    get() {},
    set() {},
    expire() {},
    del() {},
    mGet() {},
    scanIterator() {},
  });
  test.each([
    ["client: undefined", { client: undefined }, /client is undefined/],
    ["client: null", { client: null }, /client is null/],
    [
      "a client that is a string",
      { client: "redis://u:secret@h" },
      /a string; a server is given as url/,
    ],
    ["a client that is a Promise", { client: Promise.resolve(six()) }, /Promise: await it/],
    [
      "an unknown clientType",
      { client: six(), clientType: "redis" },
      /clientType must be one of "node-redis", "node-redis-4", "ioredis", "callbacks", got "redis"/,
    ],
    [
      "an unknown transport",
      { client: six(), transport: "rust" },
      /transport must be one of "auto", "native", "client", got "rust"/,
    ],
    ["transport: client without a client", { transport: "client" }, /there is no client/],
    ["transport: native with a fake", { client: six(), transport: "native" }, /"native"/],
  ])("(%s) throws a TypeError that says why", (_name, options, message) => {
    let thrown;
    try {
      new RedisStore(options);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(TypeError);
    expect(thrown.message).toMatch(message);
    expect(thrown.message).not.toContain("secret");
    expect(thrown.code).toBe("ERR_INVALID_ARG_VALUE");
  });
});

describe("a fake", () => {
  test("sees exactly the calls that connect-redis makes", async () => {
    const { RedisStore: ConnectRedis } = require("connect-redis");
    const calls = async (Store, { prefix = "sess:", ...options } = {}) => {
      const seen = [];
      const note =
        (name, reply) =>
        (...args) => {
          seen.push([name, ...args]);
          return reply;
        };
      const client = {
        get: note("get", Promise.resolve('{"n":1}')),
        set: note("set", Promise.resolve("OK")),
        expire: note("expire", Promise.resolve(1)),
        del: note("del", Promise.resolve(1)),
        mGet: note("mGet", Promise.resolve(['{"n":1}', '{"n":2}'])),
        async *scanIterator(...args) {
          seen.push(["scanIterator", ...args]);
          yield [`${prefix}a`, `${prefix}b`];
        },
      };
      const store = new Store({ client, prefix, ...options });
      const session = { n: 1, cookie: { expires: new Date(Date.now() + 59_500) } };
      await store.get("a");
      await store.set("a", session);
      await store.set("b", { n: 1 });
      await store.touch("a", session);
      await store.destroy("a");
      await store.length();
      await store.ids();
      await store.all();
      await store.clear();
      await store.set("a", { cookie: { expires: new Date(0) } });
      await store.set("a", session, () => {});
      const loaded = store.createSession(
        { sessionID: "a" },
        { cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() + 59_500) } },
      );
      await store.set("a", loaded);
      return JSON.stringify(seen).replace(/\d{4}-\d\d-\d\dT[\d:.]+Z|59\d{3}/g, "…");
    };
    expect(await calls(RedisStore)).toBe(await calls(ConnectRedis));
    const options = { disableTTL: true, prefix: "p:", scanCount: 5 };
    expect(await calls(RedisStore, options)).toBe(await calls(ConnectRedis, options));
  });

  test("may throw, return no promise or never answer, and the store goes on", async () => {
    const client = {
      get: () => '{"n":1}',
      set() {
        throw new Error("mine, for sess:secret-sid");
      },
      expire: () => new Promise(() => {}),
      del: () => Promise.reject("a string"),
      mGet: async () => [null, '{"n":2}'],
      async *scanIterator() {
        yield "sess:a";
        yield "sess:b";
      },
    };
    const store = makeStore({ client, commandTimeout: 200 });
    expect(await store.get("a")).toEqual({ n: 1 });
    const error = await store.set("secret-sid", {}).catch((thrown) => thrown);
    expect(error).toMatchObject({ name: "RedisStoreError", code: "ECLIENT" });
    expect(error.message).toContain("mine");
    expect(require("node:util").inspect(error)).not.toContain("secret-sid");
    await expect(store.touch("a", {})).rejects.toMatchObject({ code: "ETIMEDOUT" });
    await expect(store.destroy("a")).rejects.toThrow("a string");
    expect((await store.ids()).sort()).toEqual(["a", "b"]);
    expect(await store.all()).toEqual([{ n: 2, id: "b" }]);
  });

  test("whose scan fails rejects with an error that names the call", async () => {
    const client = {
      ...Object.fromEntries(
        ["get", "set", "expire", "del"].map((name) => [name, async () => null]),
      ),
      mGet: async () => [],
      async *scanIterator() {
        yield* [];
        throw new Error("NOPERM this user has no permissions to run the 'scan' command");
      },
    };
    const store = makeStore({ client });
    for (const method of ["length", "ids", "all", "clear"]) {
      const error = await store[method]().catch((thrown) => thrown);
      expect(error).toMatchObject({ name: "RedisStoreError", code: "NOPERM" });
      expect(error.message).toMatch(new RegExp(`^${method}: the app's Redis client`));
    }
    client.scanIterator = async function* () {
      yield await new Promise(() => {});
    };
    const late = makeStore({ client, commandTimeout: 100 });
    await expect(late.ids()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    const closing = makeStore({ client });
    const waiting = closing.ids();
    await closing.close();
    await expect(waiting).rejects.toMatchObject({ code: "ECLOSED" });
  });

  test.each([
    ["arguments", (key, value, _mode, _seconds, callback) => [key, value, callback]],
    ["an array", ([key, value], callback) => [key, value, callback]],
  ])("for connect-redis 6, with %s, is recognised by how it answers", async (_name, take) => {
    const stored = new Map();
    const later = (callback, reply) => setImmediate(callback, null, reply);
    const keep = (...args) => {
      const [key, value, callback] = take(...args);
      stored.set(key, value);
      later(callback, "OK");
    };
    const client = {
      get: (key, callback) => later(callback, stored.get(key) ?? null),
      set:
        take.length === 2
          ? (args, callback) => keep(args, callback)
          : (key, value, mode, seconds, callback) => keep(key, value, mode, seconds, callback),
      del: (keys, callback) => later(callback, keys.filter((key) => stored.delete(key)).length),
      expire: (_key, _seconds, callback) => later(callback, 1),
      mget: (keys, callback) =>
        later(
          callback,
          keys.map((key) => stored.get(key) ?? null),
        ),
      scan: (_cursor, ...rest) => later(rest.at(-1), ["0", [...stored.keys()]]),
    };
    const store = makeStore({ client });
    expect(store.transport).toBe("client");
    await store.set("a", { n: 1 });
    expect(await store.get("a")).toEqual({ n: 1 });
    const cookie = { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000) };
    const loaded = store.createSession({ sessionID: "a" }, { n: 2, cookie });
    await store.set("a", loaded);
    expect(await store.get("a")).toMatchObject({ n: 2 });
    expect(await store.all()).toMatchObject([{ n: 2, id: "a" }]);
    await store.destroy("a");
    expect(stored.size).toBe(0);
  });

  test("with ioredis's names for bulk commands may answer at once", async () => {
    const client = {
      get: jest.fn(() => '{"n":1}'),
      set: jest.fn(() => "OK"),
      del: jest.fn(() => 1),
      expire: jest.fn(() => 1),
      mget: (keys) => keys.map(() => '{"n":1}'),
      scan: () => ["0", ["sess:a"]],
    };
    const store = makeStore({ client, commandTimeout: 500 });
    await store.set("a", { n: 1 });
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
    await store.destroy("a");
    expect(client.set).toHaveBeenCalledWith("sess:a", '{"n":1}', {
      expiration: { type: "EX", value: 86400 },
    });
  });
});

describe("messages", () => {
  const { run } = require("./support/run.js");

  test("DEBUG and NODE_DEBUG show which transport was taken and why, once and without secrets", async () => {
    const code = `
      import { createClient } from "redis";
      import { RedisStore } from "./index.mjs";
      const client = await createClient({ url: process.env.URL_OF_REDIS }).connect();
      const stores = [new RedisStore({ client }), new RedisStore({ client: new Proxy(client, {}) })];
      for (const store of stores) for (const sid of ["a", "b"]) await store.set(sid, {});
      await client.close();
    `;
    await inspector.sendCommand(["ACL", "SETUSER", "dora", "on", ">hunter2", "~*", "&*", "+@all"]);
    const env = { URL_OF_REDIS: server.url.replace("//", "//dora:hunter2@") };
    for (const name of ["DEBUG", "NODE_DEBUG"]) {
      const { stderr, code: exit } = await run(code, { ...env, [name]: "connect-redis-rs" });
      expect(exit).toBe(0);
      expect(stderr.match(/transport native: .*127\.0\.0\.1/g)).toHaveLength(1);
      expect(stderr.match(/transport client: .*it is a Proxy/g)).toHaveLength(1);
      expect(stderr).not.toContain("hunter2");
    }
    expect((await run(code, env)).stderr).toBe("");
  });

  test("a process ends by itself when its client is closed, even if the store is open", async () => {
    const code = `
      import { createClient } from "redis";
      import { RedisStore } from "./index.mjs";
      const client = await createClient({ url: process.env.URL_OF_REDIS }).connect();
      const store = new RedisStore({ client });
      await store.set("a", { n: 1 });
      await client.close();
      console.log("done");
    `;
    const { stdout, stderr, code: exit } = await run(code, { URL_OF_REDIS: server.url });
    expect({ stdout, stderr, exit }).toEqual({ stdout: "done\n", stderr: "", exit: 0 });
  });

  test("an error of the client keeps its code, and shows no session id", async () => {
    const client = await nodeRedis();
    const store = makeStore({ client, transport: "client" });
    await inspector.lPush("sess:secret-sid", "x");
    const error = await store.get("secret-sid").catch((thrown) => thrown);
    expect(error).toMatchObject({ name: "RedisStoreError", code: "WRONGTYPE" });
    expect(error.message).toContain("get: ");
    expect(require("node:util").inspect(error, { depth: 9 })).not.toContain("secret-sid");
    const own = ioredis({ enableOfflineQueue: false, lazyConnect: true });
    await own.connect();
    const other = makeStore({ client: own, transport: "client" });
    const again = await other.get("secret-sid").catch((thrown) => thrown);
    expect(again.code).toBe("WRONGTYPE");
    expect(require("node:util").inspect(again, { depth: 9 })).not.toContain("secret-sid");
  });
});

test("a client with many stores does not warn of a leak of listeners", async () => {
  const { run } = require("./support/run.js");
  const code = `
    import { Redis } from "ioredis";
    import { createClient } from "redis";
    import { RedisStore } from "./index.mjs";
    const url = process.env.URL_OF_REDIS;
    const clients = [createClient({ url }), new Redis(url)];
    clients[0].connect();
    const stores = clients.flatMap((client) => Array.from({ length: 15 }, () => new RedisStore({ client })));
    const call = () => Promise.all(stores.map((store) => store.get("a")));
    await call();
    while (clients[1].status !== "ready") await new Promise((resolve) => setTimeout(resolve, 20));
    await call();
    // A second later, the next call makes the store send CLIENT INFO through node-redis again.
    const checks = async () =>
      /cmdstat_client(?:\\|info)?:calls=(\\d+)/.exec(await clients[0].info("commandstats"))[1];
    const before = await checks();
    const end = Date.now() + 10_000;
    while ((await checks()) === before && Date.now() < end) await call();
    console.log((await checks()) > before);
    clients[0].destroy();
    clients[1].disconnect();
    console.log("done");
  `;
  const result = await run(code, { URL_OF_REDIS: server.url });
  expect(result).toEqual({ code: 0, signal: null, stdout: "true\ndone\n", stderr: "" });
});

test("a store that is garbage-collected closes its connection; the client stays open", async () => {
  const { run } = require("./support/run.js");
  const code = `
    import { createClient } from "redis";
    import { RedisStore } from "./index.mjs";
    const client = await createClient({ url: process.env.URL_OF_REDIS }).connect();
    const count = async () => (await client.sendCommand(["CLIENT", "LIST"])).trim().split("\\n").length;
    const before = await count();
    await (async () => {
      for (let n = 0; n < 10; n += 1) {
        const store = new RedisStore({ client });
        await store.set("a", { n });
        await store.ids();
      }
    })();
    const during = await count();
    for (let n = 0; n < 200 && (await count()) > before; n += 1) {
      globalThis.gc();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    console.log(during - before, (await count()) - before);
    client.destroy();
  `;
  const { stdout, stderr } = await run(code, { URL_OF_REDIS: server.url });
  expect({ stdout, stderr }).toEqual({ stdout: "1 0\n", stderr: "" });
});
