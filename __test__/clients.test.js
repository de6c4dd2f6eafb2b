"use strict";

// What a store does about the client it is given, beside carrying its calls: which transport it
// takes and says, how a connection of its own follows the client, and what it says of a client that
// cannot be used. What the calls do is in behaviour.*.test.js.

const net = require("node:net");
const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { RedisStore } = require("..");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
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

function ioredis(options) {
  const client = new Redis(server.url, options);
  client.on("error", () => {});
  opened.push(() => client.disconnect());
  return client;
}

/** Once it is ready: until then the client carries the calls itself. */
async function readyIoredis(options) {
  const client = ioredis(options);
  await client.ping();
  return client;
}

/** How many connections there are beside the inspector. */
const connections = async () => (await countClients(inspector)) - 1;

const LIBRARIES = [
  ["node-redis", nodeRedis, (client) => client.close(), (client) => client.connect()],
  ["ioredis", readyIoredis, (client) => client.quit(), (client) => client.connect()],
];

describe.each(LIBRARIES)(
  "a connection of the store's own beside %s",
  (_name, open, close, reopen) => {
    test("is made with the first call, and there is only one", async () => {
      const client = await open();
      const store = makeStore({ client });
      expect(store.client).toBe(client);
      expect(store.transport).toBe("native");
      await Promise.all(Array.from({ length: 50 }, (_, n) => store.set(`s${n}`, { n })));
      expect(store.status).toBe("ready");
      expect(await connections()).toBe(2);
      expect(await client.get("sess:s7")).toBe('{"n":7}');
    });

    test("goes when the client is closed, and calls reject until it is opened again", async () => {
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

    test("says that it is ready, and again when it is lost and there again", async () => {
      const client = await open();
      const store = makeStore({ client });
      const events = [];
      for (const event of ["ready", "reconnecting", "end"])
        store.on(event, () => events.push(event));
      await store.set("a", { n: 1 });
      await waitUntil("it is ready", () => events.length === 1);
      await inspector.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
      await waitUntil("it is ready again", async () => {
        await store.get("a").catch(() => {});
        return events.length === 3;
      });
      expect(events).toEqual(["ready", "reconnecting", "ready"]);
    });

    test("goes when the store is closed; the client stays", async () => {
      const client = await open();
      const store = makeStore({ client });
      await store.set("a", { n: 1 });
      await store.close();
      expect(store.status).toBe("closed");
      await waitUntil("the store's connection is gone", async () => (await connections()) === 1);
      await expect(store.get("a")).rejects.toMatchObject({ code: "ECLOSED" });
      expect(await client.get("sess:a")).toBe('{"n":1}');
    });

    test("gives way to the client when that moves to another database, and comes back", async () => {
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

    test("gives way to the client when that moves by a raw SELECT", async () => {
      const client = await open();
      const store = makeStore({ client });
      await store.set("a", { n: 1 });
      if (!client.call) return; // node-redis's are noticed within a second.
      for (const name of ["SELECT", "select", "Select"]) {
        await client.call(name, "4");
        await store.set("a", { n: name });
        expect(await client.get("sess:a")).toBe(`{"n":"${name}"}`);
        await client.call(name, "0");
        await store.set("a", { n: 0 });
        expect(await client.get("sess:a")).toBe('{"n":0}');
      }
    });

    test("gives way to the client when that logs in as another user", async () => {
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

    test("is there again after the server was away", async () => {
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

    test("leaves the client's listeners as they are, however many stores there are", async () => {
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
  },
);

describe.each(LIBRARIES)("beside %s, nothing is lost", (_name, open, close) => {
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

  test("when the store's own connection is: the client carries what was under way", async () => {
    const client = await open();
    const store = makeStore({ client });
    await store.set("a", { n: 1, cookie: {} });
    const id = /id=(\d+)[^\n]*lib-name=connect-redis-rs/;
    const list = async () => inspector.sendCommand(["CLIENT", "LIST"]);
    const before = (await list()).split("\n");
    const own = before.filter((line) => line).at(-1);
    // Nobody can connect any more: the client is all there is.
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

  test("when it moves: what was called before it goes where it was before", async () => {
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
  test("by a spy is asked itself from then on", async () => {
    const client = await nodeRedis();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("native");
    jest.spyOn(client, "get").mockRejectedValue(new Error("boom"));
    await expect(store.get("a")).rejects.toThrow("boom");
    client.get.mockRestore();
    expect(await store.get("a")).toEqual({ n: 1 });
  });

  test("for another is the other", async () => {
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
      await waitUntil("the first's connection is gone", async () => (await connections()) === 1);
      await store.close();
      second.destroy();
    } finally {
      await other.stop();
    }
  });

  test("in its options is followed to where it connects then", async () => {
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
  /** A proxy that closes a connection on which it sees CLIENT INFO, as some proxies do. */
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

  test("that costs a client its connection is not asked for again and again", async () => {
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

  test("is not asked for in the middle of a transaction, nor twice at once", async () => {
    const client = ioredis();
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    client.multi({ pipeline: false });
    client.set("x", "1");
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
    for (let n = 0; n < 35; n += 1) {
      expect(await other.get("b")).toEqual({ n: 1 });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await inspector.lPush("list", "x");
    await blocked;
    expect(await busy.get("sess:b")).toBe('{"n":1}');
    const stats = await inspector.info("commandstats");
    // Redis 6.2 counts all of CLIENT together; nothing else of it is asked here.
    expect(Number(/cmdstat_client(?:\|info)?:calls=(\d+)/.exec(stats)?.[1] ?? 0)).toBe(1);
  });
});

test("commandTimeout is the whole time of a call, and null is its default", async () => {
  const client = createClient({ url: "redis://127.0.0.1:1" });
  client.on("error", () => {});
  client.connect().catch(() => {});
  opened.push(() => client.destroy());
  const own = await nodeRedis();
  for (const transport of ["auto", "client"]) {
    const store = makeStore({ client: own, transport, commandTimeout: null });
    expect(await store.set("a", { n: 1 })).toBeNull();
  }
  const store = makeStore({ client, commandTimeout: 400 });
  const started = Date.now();
  await expect(store.set("a", {})).rejects.toMatchObject({ code: "ECONNREFUSED" });
  expect(Date.now() - started).toBeLessThan(790);
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
  test("of node-redis rejects the calls, as it does itself, until it is connected", async () => {
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

  test("and never gets there rejects the calls within commandTimeout", async () => {
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

  test("has calls that wait for it stored as they were when they were made", async () => {
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

describe("a client the store cannot go beside", () => {
  test.each([
    ["a Proxy", async () => new Proxy(await nodeRedis(), {})],
    [
      "a user without the right to CLIENT INFO",
      async () => {
        // All of CLIENT: from Redis 6.2 a part of it cannot be taken away.
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

  test("carries the calls itself if there is no room for another connection", async () => {
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
  test("throws if the server cannot be read, and says why and what to do", async () => {
    const client = new Proxy(await nodeRedis(), {});
    expect(() => new RedisStore({ client, transport: "native" })).toThrow(
      expect.objectContaining({
        name: "TypeError",
        code: "ERR_INVALID_ARG_VALUE",
        message: expect.stringMatching(/native.*it is a Proxy.*url/),
      }),
    );
  });

  test("rejects calls if the client is elsewhere than its options say", async () => {
    const client = await nodeRedis();
    const store = makeStore({ client, transport: "native" });
    await store.set("a", { n: 1 });
    await client.select(4);
    await expect(store.get("a")).rejects.toThrow("database 4");
    await client.select(0);
    expect(await store.get("a")).toEqual({ n: 1 });
  });
});

describe("an option that cannot be", () => {
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
      "a clientType there is not",
      { client: six(), clientType: "redis" },
      /clientType must be one of "node-redis", "node-redis-4", "ioredis", "callbacks", got "redis"/,
    ],
    [
      "a transport there is not",
      { client: six(), transport: "rust" },
      /transport must be one of "auto", "native", "client", got "rust"/,
    ],
    ["transport: client without a client", { transport: "client" }, /there is no client/],
    ["transport: native with a fake", { client: six(), transport: "native" }, /"native"/],
  ])("(%s) throws a TypeError that says so", (_name, options, message) => {
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

  test("that throws, returns no promise or never answers does no harm", async () => {
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

  test("whose scan fails has that said, by the call's name", async () => {
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
  ])("of connect-redis 6's time, with %s, is told apart by how it answers", async (_name, take) => {
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

describe("what is said", () => {
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

  test("a process ends by itself when its client is closed, also with the store left open", async () => {
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

test("however many stores a client has, it warns of no leak of listeners", async () => {
  const { run } = require("./support/run.js");
  const code = `
    import { Redis } from "ioredis";
    import { createClient } from "redis";
    import { RedisStore } from "./index.mjs";
    const url = process.env.URL_OF_REDIS;
    const clients = [createClient({ url }), new Redis(url)];
    clients[0].connect();
    const stores = clients.flatMap((client) => Array.from({ length: 15 }, () => new RedisStore({ client })));
    const ask = () => Promise.all(stores.map((store) => store.get("a")));
    await ask();
    // A second after a call, each store asks the client which server it uses.
    await new Promise((resolve) => setTimeout(resolve, 1200));
    await ask();
    clients[0].destroy();
    clients[1].disconnect();
    console.log("done");
  `;
  const result = await run(code, { URL_OF_REDIS: server.url });
  expect(result).toEqual({ code: 0, signal: null, stdout: "done\n", stderr: "" });
});

test("a store nobody holds any more takes its connection with it; the client stays", async () => {
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
