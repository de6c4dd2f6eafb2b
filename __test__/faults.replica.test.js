"use strict";

// A failover as in managed Redis: the server becomes a replica while connections stay open, and its name
// moves to the new master.

const { once } = require("node:events");
const net = require("node:net");
const { Redis } = require("ioredis");
const { createClient } = require("redis");
const { RedisStore } = require("..");
const { findRedisServer, versionOfRedis, waitUntil } = require("../scripts/redis-server.js");
const { SYNC_AT_ONCE } = require("../scripts/redis-topologies.js");
const { failure } = require("./support/calls.js");
const { fake, open, start, untilWorks, watch } = require("./support/faults.js");
const { startProxy } = require("./support/proxy.js");

let opened;

beforeEach(() => {
  opened = [];
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
});

/** From Redis 7 on, a master waits for its replicas before it ends. */
const ENDS_AT_ONCE =
  parseInt(versionOfRedis(findRedisServer()), 10) >= 7 ? ["--shutdown-timeout", "0"] : [];

/**
 * Starts two servers and a name for the first; `failOver` moves the name to the second. By default, a new
 * replica keeps its own sessions for five seconds, before it copies the master's.
 */
async function startPair(...args) {
  args.unshift(...ENDS_AT_ONCE);
  const [first, second] = [await start({ args }), await start({ args })];
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
    first,
    second,
    old,
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
  test("by url: refused calls are carried out at the new master, in order, and nothing rejects", async () => {
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

  test("by url: the store waits for a name that moves later", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url, commandTimeout: 10_000 });
    await store.set("a", { n: 0 });
    await pair.becomeReplica();
    const before = pair.name.connections;
    const stored = store.set("a", { n: 1 });
    await waitUntil("it has connected several times", () => pair.name.connections > before + 2);
    pair.name.point(pair.second);
    expect(await stored).toBeNull();
    expect(await pair.next.get("sess:a")).toBe('{"n":1}');
  });

  test("by url: a store that has only read so far also finds the new master", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url });
    expect(await store.get("a")).toBeNull();
    await pair.failOver();
    await store.set("a", { n: 1 });
    expect(await pair.next.get("sess:a")).toBe('{"n":1}');
  });

  test("by url: a store also leaves a master that replies in RESP2", async () => {
    const args = [...ENDS_AT_ONCE, "--rename-command", "HELLO", ""];
    const [first, second] = [await start({ args }), await start({ args })];
    const name = await startProxy(first);
    opened.push(() => name.stop());
    const store = open({ url: name.url });
    expect(await store.get("a")).toBeNull();
    const [old, next] = [await watch(first), await watch(second)];
    name.point(second);
    await old.sendCommand(["REPLICAOF", "127.0.0.1", String(second.port)]);
    await store.set("a", { n: 1 });
    expect(await next.get("sess:a")).toBe('{"n":1}');
  });

  test("by url: reads go on while a write waits, and later calls see that write", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url, commandTimeout: 20_000 });
    await store.set("b", { n: 0 });
    // The old server has no master to copy from, and keeps its data.
    await pair.old.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
    let isStored = false;
    const stored = store.set("a", { n: 1 }).then(() => {
      isStored = true;
    });
    const behind = store.get("a");
    for (let n = 0; n < 5; n += 1) expect(await store.get("b")).toEqual({ n: 0 });
    expect(isStored).toBe(false);
    pair.name.point(pair.second);
    expect(await behind).toEqual({ n: 1 });
    await stored;
  });

  test("by url: the pauses between attempts grow, even if many reads happen", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url, commandTimeout: 2000 });
    await store.set("b", { n: 0 });
    await pair.old.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
    const before = pair.name.connections;
    let error;
    const stored = failure(store.set("a", { n: 1 })).then((thrown) => {
      error = thrown;
    });
    const reader = async () => {
      while (error === undefined) expect(await store.get("b")).toEqual({ n: 0 });
    };
    await Promise.all([stored, ...Array.from({ length: 20 }, reader)]);
    expect(error.code).toBe("READONLY");
    expect(error.message).toMatch(/^set: no connection to a master of Redis at 127/);
    expect(error.message).toMatch(
      /commandTimeout.*this server is a replica: connect to its master/,
    );
    // 25 ms, doubled up to 800: eight or so.
    expect(pair.name.connections - before).toBeLessThan(20);
  });

  test("by url with onUnavailable error: reads beside the write get replies", async () => {
    const pair = await startPair();
    const store = open({ url: pair.url, onUnavailable: "error" });
    await store.set("b", { n: 0 });
    await pair.old.sendCommand(["REPLICAOF", "127.0.0.1", "1"]);
    const before = pair.name.connections;
    const gets = Array.from({ length: 3000 }, () => store.get("b"));
    const error = await failure(store.set("a", {}));
    gets.push(...Array.from({ length: 3000 }, () => store.get("b")));
    expect(error.code).toBe("READONLY");
    for (const session of await Promise.all(gets)) expect(session).toEqual({ n: 0 });
    await waitUntil("the old master is left", () => pair.name.connections > before);
  });

  test("by sentinels that announce nothing: the store asks them for the new master", async () => {
    const pair = await startPair();
    let named = pair.first;
    const sentinel = await fake((socket) => {
      socket.on("data", (data) => {
        const said = data.toString();
        const { port } = named;
        const commands = said.match(/^\*\d+\r$/gm)?.length ?? 1;
        if (/GET-MASTER-ADDR/i.test(said)) {
          socket.write(`*2\r\n$9\r\n127.0.0.1\r\n$${`${port}`.length}\r\n${port}\r\n`);
        } else if (/HELLO/.test(said)) {
          socket.write(`%1\r\n+proto\r\n:3\r\n${"+OK\r\n".repeat(commands - 1)}`);
        } else socket.write("+OK\r\n".repeat(commands));
      });
    });
    const nodes = [sentinel.replace("redis://", "")];
    const store = open({ sentinel: { name: "mymaster", nodes }, commandTimeout: 10_000 });
    expect(await store.get("a")).toBeNull();
    named = pair.second;
    await pair.becomeReplica();
    await store.set("a", { n: 1 });
    expect(await pair.next.get("sess:a")).toBe('{"n":1}');
  });

  test.each([undefined, "error"])(
    "in a cluster, with onUnavailable %s: after READONLY, the call goes to the new master",
    async (onUnavailable) => {
      let node;
      let readonly = 1;
      const url = await fake((socket) => {
        const upstream = net.connect(node.port, "127.0.0.1");
        upstream.on("error", () => {}).on("close", () => socket.destroy());
        socket.on("close", () => upstream.destroy());
        upstream.pipe(socket);
        socket.on("data", (data) => {
          const isRefused = readonly > 0 && data.includes("$3\r\nSET\r\n");
          if (!isRefused) upstream.write(data);
          else {
            readonly -= 1;
            socket.write("-READONLY You can't write against a read only replica.\r\n");
          }
        });
      });
      const port = new URL(url).port;
      node = await start({
        args: ["--cluster-enabled", "yes", "--cluster-announce-port", port],
      });
      const inspector = await watch(node);
      // (ADDSLOTSRANGE is of Redis 7.)
      const slots = Array.from({ length: 16_384 }, (_, slot) => String(slot));
      await inspector.sendCommand(["CLUSTER", "ADDSLOTS", ...slots]);
      await waitUntil("the cluster is there", async () =>
        (await inspector.sendCommand(["CLUSTER", "INFO"])).includes("cluster_state:ok"),
      );
      const store = open({ cluster: [url], onUnavailable });
      await untilWorks(() => store.get("a"));
      const error = await failure(store.set("a", { n: 1 }));
      expect(error?.code).toBe(onUnavailable && "READONLY");
      await untilWorks(() => store.set("a", { n: 1 }));
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(readonly).toBe(0);
    },
  );

  test.each(["error", "skip"])(
    "by url with onUnavailable %s: the call rejects at once, and later calls use the new master",
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

  test("beside ioredis, whose reconnectOnError acts: clear", async () => {
    const pair = await startPair();
    const reconnectOnError = (error) => error.message.startsWith("READONLY") && 2;
    const store = makeStore({ client: await ioredis(pair, { reconnectOnError }) });
    await store.set("a", { n: 0 });
    // As if it had been copied from the master.
    await pair.next.set("sess:a", "{}");
    await pair.failOver();
    expect(await store.clear()).toBeNull();
    expect(await pair.next.dbSize()).toBe(0);
  });

  test.each([
    ["node-redis", nodeRedis],
    ["ioredis", ioredis],
  ])(
    "beside %s that is connected to a replica: the client carries the calls, until the replica is a master",
    async (_name, make) => {
      const pair = await startPair(...SYNC_AT_ONCE);
      await pair.next.set("sess:a", '{"n":1}');
      await pair.becomeReplica();
      await waitUntil("it is copied", () => pair.old.exists("sess:a"));
      const store = makeStore({ client: await make(pair) });
      expect(await store.get("a")).toEqual({ n: 1 });
      const error = await failure(store.set("a", { n: 2 }));
      expect(error.code).toBe("READONLY");
      expect(error.message).toContain("the app's Redis client");
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(store.transport).toBe("client");
      await pair.old.sendCommand(["REPLICAOF", "NO", "ONE"]);
      await store.set("a", { n: 3 });
      await waitUntil("it has a connection of its own", async () => {
        expect(await store.get("a")).toEqual({ n: 3 });
        return store.transport === "native";
      });
      await store.set("a", { n: 4 });
      expect(await pair.old.get("sess:a")).toBe('{"n":4}');
    },
  );

  test.each([
    ["node-redis", nodeRedis],
    ["ioredis", ioredis],
  ])("beside %s: the client carries the call, and its error is shown", async (_name, make) => {
    const pair = await startPair();
    const client = await make(pair);
    const store = makeStore({ client });
    await store.set("a", { n: 0 });
    expect(store.transport).toBe("native");
    await pair.failOver();
    const calls = [store.get("a"), store.set("a", { n: 1 }), store.touch("a", inMs(1000))];
    const [none, ...refused] = await Promise.all([...calls, store.clear()].map(failure));
    expect(none).toBeUndefined();
    for (const error of refused) {
      expect(error.code).toBe("READONLY");
      expect(error.message).toContain("the app's Redis client");
    }
    // Once the client is connected to the new master, the store is too.
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
  const pair = await startPair(...SYNC_AT_ONCE);
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
  // The store keeps trying whether the name now belongs to a master.
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
  // Later writes reject at once, and reads go on.
  expect((await failure(store.set("a", { n: 1 }))).code).toBe("READONLY");
  expect(await failure(store.get("a"))).toBeUndefined();
});

test("a connection is lost during a scan: the client carries the scan, from its beginning", async () => {
  const pair = await startPair();
  const client = await nodeRedis(pair);
  const store = makeStore({ client });
  const sids = Array.from({ length: 5000 }, (_, n) => `s${n}`);
  await Promise.all(sids.map((sid) => store.set(sid, { sid })));
  const calls = {
    all: (found) => expect(found.map(({ id }) => id).sort()).toEqual([...sids].sort()),
    ids: (found) => expect([...found].sort()).toEqual([...sids].sort()),
    length: (found) => expect(found).toBe(sids.length),
    clear: async () => expect(await pair.old.dbSize()).toBe(0),
  };
  for (const [name, check] of Object.entries(calls)) {
    await waitUntil("the store has a connection of its own", async () => {
      await store.get("s0");
      return store.transport === "native";
    });
    pair.name.cut(2000);
    await check(await store[name]());
  }
});
