"use strict";

// Each server says in its own way why a command in a script was refused. A save that compares and a
// sign-in, which use scripts, fail as the same command does alone, or wait for the master as it does.

const { RedisStore } = require("../..");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { SYNC_AT_ONCE } = require("../../scripts/redis-topologies.js");
const { failure } = require("../support/calls.js");
const { openInspector } = require("../support/inspector.js");
const { startProxy } = require("../support/proxy.js");
const { describeFetched, startWith } = require("../support/servers.js");

const SERVERS = [
  ["Redis 6.2", "Redis 6.2"],
  ["this machine's Redis", undefined],
  ["Redis 8.2", "Redis 8.2"],
  ["Valkey 9", "Valkey 9"],
];

/** The saves that a store makes by a script; on servers with IFEQ the first of them needs none. */
const SAVES = [
  ["a save that compares", { concurrency: "merge" }, { n: 1 }],
  ["a sign-in", { user: "userId" }, { userId: "ada" }],
];

describeFetched.each(SERVERS)("on %s", (_server, what) => {
  let [server, inspector, closing] = [];

  beforeEach(async () => {
    server = await startWith(what, () => startRedisServer());
    inspector = await openInspector(server);
    closing = [() => server.stop(), () => inspector.destroy()];
  });

  afterEach(async () => {
    for (const close of closing.reverse()) await close();
  });

  /** Opens a store and loads a session; returns a function that saves another content of it. */
  async function load(options, content) {
    const store = new RedisStore({ url: server.url, commandTimeout: 3000, ...options });
    closing.push(() => store.close());
    await store.set("the-sid", { cookie: {} });
    const session = await store.get("the-sid");
    // From this save on the store knows whether the server compares by itself or needs a script.
    await store.set("the-sid", Object.assign(session, { n: 0 }));
    return () => store.set("the-sid", Object.assign(session, content));
  }

  describe.each(SAVES)("%s", (_name, options, content) => {
    test("of a server without memory says so", async () => {
      const save = await load(options, content);
      await inspector.sendCommand(["CONFIG", "SET", "maxmemory", "1"]);
      const error = await failure(save());
      expect(error).toMatchObject({ code: "OOM" });
      expect(error.message).toMatch(
        /^set: Redis at \S+ answered OOM command not allowed when used memory > 'maxmemory'\. \(Redis is at its maxmemory: /,
      );
    });

    test("whose server has become a replica is carried out at the new master", async () => {
      const next = await startWith(what, () => startRedisServer({ args: SYNC_AT_ONCE }));
      closing.push(() => next.stop());
      const name = await startProxy(server);
      closing.push(() => name.stop());
      const save = await load({ url: name.url, ...options }, content);
      const there = await openInspector(next);
      closing.push(() => there.destroy());
      await there.set("sess:the-sid", await inspector.get("sess:the-sid"));
      name.point(next);
      await inspector.sendCommand(["REPLICAOF", "127.0.0.1", String(next.port)]);
      expect(await save()).toBeNull();
      expect(JSON.parse(await there.get("sess:the-sid"))).toMatchObject(content);
    });
  });

  test("a sign-in without a right for its script's commands names the missing right", async () => {
    const rules = ["on", ">pw", "allkeys", "+@all", "-zadd"];
    await inspector.sendCommand(["ACL", "SETUSER", "limited", ...rules]);
    const login = { username: "limited", password: "pw" };
    const save = await load({ user: "userId", ...login }, { userId: "ada" });
    const error = await failure(save());
    expect(error).toMatchObject({ code: "NOPERM" });
    expect(error.message).toMatch(/needs more rights: docs\/operating\.md/);
    expect(error.message).not.toMatch(/user_script/);
    expect(await inspector.get("sess:the-sid")).not.toMatch("ada");
  });

  test("a user's set that is something else is an error that says so", async () => {
    const save = await load({ user: "userId" }, { userId: "ada" });
    await save();
    const [key] = await inspector.keys("idx:*");
    await inspector.set(key, "of another type");
    const error = await failure((await load({ user: "userId" }, { userId: "ada" }))());
    expect(error).toMatchObject({ code: "WRONGTYPE" });
    expect(error.message).not.toMatch(/script/);
  });
});
