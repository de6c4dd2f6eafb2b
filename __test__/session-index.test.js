"use strict";

// A user's sessions and the events of sessions: `user`, `maxSessions`, `events`, on the Redis of this
// machine; long/session-index.servers.test.js has others.

const RedisMock = require("ioredis-mock");
const { createClient, createClientPool } = require("redis");
const { waitUntil } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const { commandsOf, serve } = require("./support/concurrency.js");
const { startProxy } = require("./support/proxy.js");
const { run } = require("./support/run.js");
const { describeSessionIndex, inMs, userKey, watchEvents } = require("./support/session-index.js");
const { ioredis, nodeRedis, own, usual } = require("./support/setups.js");
const { openStore } = require("./support/stores.js");
const { useRedis } = require("./support/life-cycle.js");

const setups = [...own, ...usual, ...nodeRedis, ...ioredis];
const named = (name) => setups.find((setup) => setup.name === name);

for (const name of ["url", "node-redis 6: createClient({ url })", "ioredis 5: keyPrefix"]) {
  describeSessionIndex(named(name));
}

const MINUTE = 60_000;

let server;
let inspector;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

const open = (options) => openStore(closing, { url: server.url, user: "userId", ...options });

async function client(make = createClient) {
  const made = make({ url: server.url });
  made.on("error", () => {});
  closing.push(() => made.destroy());
  await made.connect();
  return made;
}

describe("what it costs", () => {
  /** The commands that `make` has the server carry out. */
  async function commandsBy(make) {
    const before = await commandsOf(inspector);
    await make();
    // The server counts what a script calls as well.
    return commandsOf(inspector, before);
  }

  test("a request that does not change its user sends no index command", async () => {
    const app = await serve(open({ maxSessions: 3, events: { interval: 1e6 } }), {
      cookie: { maxAge: MINUTE },
      rolling: true,
    });
    closing.push(() => app.close());
    await app.request((req) => {
      Object.assign(req.session, { userId: "ada", n: 0 });
    });
    const counts = await commandsBy(async () => {
      for (let n = 0; n < 5; n += 1) {
        await app.request((req) => {
          req.session.n += 1;
        });
        await app.request(() => {});
      }
    });
    expect(Object.keys(counts).sort()).toEqual(["get", "pexpire", "pttl", "set"]);
    expect(counts.set).toBe(5);
  });

  test("a sign-in sends one command more, and one for its deadline", async () => {
    const [users, events] = [open(), open({ user: undefined, events: { interval: 1e6 } })];
    await users.set("warm", { cookie: {}, userId: "warm" });
    const counts = await commandsBy(() => users.set("s", { cookie: {}, userId: "ada" }));
    expect(counts).toMatchObject({ evalsha: 1, set: 1 });
    expect(await commandsBy(() => events.set("t", { cookie: {} }))).toEqual({ zadd: 1, set: 1 });
  });

  test("without the options nothing of it is sent", async () => {
    const store = open({ user: undefined, events: false });
    const counts = await commandsBy(async () => {
      await store.set("s", { cookie: {}, userId: "ada" });
      await store.destroy("s");
    });
    expect(counts).toEqual({ set: 1, del: 1 });
  });
});

describe("options that cannot be are a TypeError at construction", () => {
  test.each([
    [{ user: "" }, /user must be a path such as/],
    [{ user: "a..b" }, /user must be a path such as/],
    [{ user: 7 }, /user must be a path .*number/],
    [{ user: {} }, /user must be a path/],
    [{ user: true }, /user must be a path/],
    [{ maxSessions: 0 }, /maxSessions must be/],
    [{ maxSessions: 1.5 }, /maxSessions must be/],
    [{ maxSessions: "3" }, /maxSessions must be/],
    [{ maxSessions: Number.NaN }, /maxSessions must be/],
    [{ maxSessions: 3, user: undefined }, /option user/],
    [{ events: "yes" }, /events must be true or/],
    [{ events: 1 }, /events must be true or/],
    [{ events: { interval: 0 } }, /events must be true or/],
    [{ events: { interval: "1" } }, /events must be true or/],
    [{ events: { interval: 2 ** 31 } }, /events must be true or/],
    [{ prefix: "" }, /prefix/],
    [{ prefix: "idx" }, /prefix/],
    [{ prefix: "", user: undefined, events: true }, /prefix/],
    [{ resurrect: true }, /resurrect/],
  ])("%p says why", (options, message) => {
    expect(() => open(options)).toThrow(TypeError);
    expect(() => open(options)).toThrow(message);
  });

  test.each([[{ user: "userId" }], [{ events: true, user: undefined }]])(
    'transport "client" with %p is one of them',
    async (options) => {
      const given = { url: undefined, client: await client(), transport: "client", ...options };
      expect(() => open(given)).toThrow(TypeError);
      expect(() => open(given)).toThrow(/(user|events) is given.*transport/);
    },
  );

  test.each([
    ["a pool of node-redis", () => client(createClientPool)],
    ["ioredis-mock", async () => new RedisMock()],
    ["a fake", async () => ({ get: async () => null, set: async () => "OK", del: async () => 1 })],
  ])("%s, beside which no store can go, is an error that says why", async (_, make) => {
    const made = await make();
    for (const options of [{}, { user: undefined, events: true }]) {
      const error = await failure(
        (async () => open({ url: undefined, client: made, ...options }).get("s"))(),
      );
      expect(error?.message).toMatch(/(user|events) is given/);
      expect(error.message).toMatch(/url/);
    }
  });

  test("all of them off is a store without an index, whose methods say what to do", async () => {
    const store = open({ user: null, maxSessions: undefined, events: false, prefix: "" });
    const error = await failure(store.destroyAllOf("ada"));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toMatch(/^destroyAllOf: .*option user, such as/);
  });
});

test.each([false, "read"])("with hashIds %p reindex passes over handles", async (hashIds) => {
  const session = { cookie: {}, userId: "ada" };
  await open({ user: undefined, hashIds: true }).set("hashed", session);
  await open({ user: undefined }).set("plain", session);
  const store = open({ hashIds });
  expect(await store.reindex()).toBe(1);
  expect(await store.sessionsOf("ada")).toMatchObject([{ id: "plain" }]);
});

test("an error names neither the user nor the session", async () => {
  const store = open();
  await inspector.set(userKey("ada-the-user"), "of another type");
  const error = await failure(store.set("the-sid", { cookie: {}, userId: "ada-the-user" }));
  expect(error).toMatchObject({ code: "WRONGTYPE" });
  expect(`${error.message}${error.stack}`).not.toMatch(/the-sid|ada-the-user|idx:/);
  expect(await inspector.exists("sess:the-sid")).toBe(0);
});

test("a Redis user who may not touch the index gets an error, and the sign-in is not stored", async () => {
  const rules = ["on", ">pw", "resetkeys", "~sess:*", "+@all"];
  await inspector.sendCommand(["ACL", "SETUSER", "limited", ...rules]);
  closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "limited"]));
  const store = open({ username: "limited", password: "pw" });
  const error = await failure(store.set("s", { cookie: {}, userId: "ada" }));
  expect(error).toMatchObject({ code: "NOPERM" });
  expect(await inspector.keys("*")).toEqual([]);
  // A session without a user needs no index.
  await store.set("s", { cookie: {} });
  expect(await store.get("s")).toEqual({ cookie: {} });
});

test("a sign-out whose connection breaks is carried out over the next one, as without an index", async () => {
  const proxy = await startProxy(server);
  closing.push(() => proxy.stop());
  const store = open({ url: proxy.url });
  await store.set("s", { cookie: {}, userId: "ada" });
  // The replies are lost, and so is the connection.
  proxy.cut(1);
  await store.destroy("s");
  expect(await inspector.exists("sess:s")).toBe(0);
  expect(await store.sessionsOf("ada")).toEqual([]);
});

test("after SCRIPT FLUSH sign-ins go on", async () => {
  const store = open();
  for (const sid of ["a", "b"]) {
    await inspector.scriptFlush();
    await store.set(sid, { cookie: {}, userId: "ada" });
  }
  expect(await store.countOf("ada")).toBe(2);
});

describe("events", () => {
  test("a process that only waits for events ends", async () => {
    const { code, stdout } = await run(
      `import { RedisStore } from "./index.mjs";
      const store = new RedisStore({ url: process.env.URL, events: { interval: 10 } });
      store.on("created", () => console.log("created"));
      await store.set("s", { cookie: {} });`,
      { URL: server.url },
    );
    expect({ code, stdout }).toEqual({ code: 0, stdout: "created\n" });
  });

  test("what expires while Redis is away is heard when it is back", async () => {
    const proxy = await startProxy(server);
    closing.push(() => proxy.stop());
    const store = open({ url: proxy.url, commandTimeout: 1500, events: { interval: 20 } });
    const seen = watchEvents(store);
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        store.set(`s${n}`, { cookie: inMs(2000), userId: "ada" }),
      ),
    );
    await proxy.refuse();
    await waitUntil("all are over", async () => !(await inspector.keys("*")).some(isSession));
    const before = seen.filter(([name]) => name === "expired").length;
    expect(before).toBe(0);
    await proxy.heal();
    await waitUntil(
      "all are heard",
      () => seen.filter(([name]) => name === "expired").length >= 20,
    );
    expect(new Set(seen.map(([name, sid]) => name + sid)).size).toBe(seen.length);
    expect(seen).toHaveLength(40);
  });

  test("created is emitted if the first save failed after its deadline was noted", async () => {
    const allow = (...keys) =>
      inspector.sendCommand(["ACL", "SETUSER", "late", "on", ">pw", "resetkeys", ...keys, "+@all"]);
    await allow("~idx:*");
    closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "late"]));
    const store = open({ username: "late", password: "pw", events: true });
    const seen = watchEvents(store);
    const session = { cookie: {}, userId: "ada" };
    expect(await failure(store.set("s", session))).toMatchObject({ code: "NOPERM" });
    await allow("~idx:*", "~sess:*");
    await store.set("s", session);
    await store.set("s", session);
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen).toEqual([["created", "s"]]);
    expect(await store.countOf("ada")).toBe(1);
  });

  test("a store that nobody has any more is not held by them", async () => {
    const { stdout } = await run(
      `import { RedisStore } from "./index.mjs";
      const gone = new Promise((resolve) => {
        globalThis.registry = new FinalizationRegistry(resolve);
      });
      await (async () => {
        const store = new RedisStore({ url: process.env.URL, user: "userId", events: { interval: 5 } });
        await store.set("s", { cookie: {}, userId: "ada" });
        registry.register(store);
      })();
      const timer = setInterval(() => globalThis.gc(), 20);
      await gone;
      clearInterval(timer);
      console.log("gone");`,
      { URL: server.url },
    );
    expect(stdout).toBe("gone\n");
  });
});

function isSession(key) {
  return key.startsWith("sess:");
}
