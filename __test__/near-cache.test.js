"use strict";

// The option `cache` on the Redis of this machine; long/near-cache.servers.test.js has others, and
// long/near-cache.model.test.js what happens when connections break.

const { randomBytes } = require("node:crypto");
const { setTimeout: wait } = require("node:timers/promises");
const { createClient, createClientPool } = require("redis");
const { send, startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { useRedis } = require("./support/life-cycle.js");
const {
  describeNearCache,
  hits,
  look,
  session,
  untilCopied,
  untilRead,
} = require("./support/near-cache.js");
const { startProxy } = require("./support/proxy.js");
const { run } = require("./support/run.js");
const { own, usual } = require("./support/setups.js");
const { loadSession, openStore } = require("./support/stores.js");

const named = (name) => [...own, ...usual].find((setup) => setup.name === name);

for (const name of ["url", "node-redis 6: createClient({ url })", "ioredis 5: new Redis(url)"]) {
  describeNearCache(named(name));
}

const SID = "the-secret-sid";
const NO_CACHE = "CONNECT_REDIS_RS_NO_CACHE";

let server;
let inspector;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

const open = (options) =>
  openStore(closing, { url: server.url, cache: true, touchAfter: 60, ...options });

async function proxied(options) {
  const proxy = await startProxy(server);
  closing.push(() => proxy.stop());
  return [proxy, open({ url: proxy.url, ...options })];
}

/** Runs an app in a process of its own; resolves to its warnings. */
async function warningsOf(body) {
  const { stdout } = await run(`
    import { setTimeout as wait } from "node:timers/promises";
    import { createClientPool } from "redis";
    import { RedisStore } from "./index.mjs";
    const codes = [];
    process.on("warning", ({ code, message }) => codes.push(code + ": " + message));
    ${body}
    await wait(20);
    console.log(JSON.stringify(codes));`);
  return JSON.parse(stdout);
}

describe("how old a copy may be", () => {
  test("behind_a_network_that_stalls_nothing_older_than_maxStale_is_served", async () => {
    const [proxy, near] = await proxied({ cache: { maxStale: 1000 }, commandTimeout: 1500 });
    const other = open({ cache: false });
    await other.set(SID, session(1));
    await untilCopied(near, SID);
    proxy.swallow();
    await other.destroy(SID);
    const destroyed = performance.now();
    let served = 0;
    let failed = 0;
    while (performance.now() - destroyed < 2000) {
      const asked = performance.now();
      const call = near.get(SID).then(
        (found) => {
          if (found === null) return;
          expect(asked - destroyed).toBeLessThanOrEqual(1000);
          served += 1;
        },
        ({ code }) => {
          expect(code).toBe("ETIMEDOUT");
          failed += 1;
        },
      );
      if (asked - destroyed > 1100) closing.push(() => call);
      else await call;
      await wait(20);
    }
    await waitUntil("the calls have failed", () => failed > 0);
    expect(served).toBeGreaterThan(0);
    await proxy.heal();
  });

  test("what_the_network_held_back_is_heard_before_a_copy_is_served_again", async () => {
    const [proxy, near] = await proxied({ cache: { maxStale: 50 } });
    const other = open({ cache: false });
    await other.set(SID, session(0));
    await untilCopied(near, SID);
    for (let n = 1; n <= 5; n += 1) {
      proxy.delay(150);
      await other.set(SID, session(n));
      await wait(60);
      expect((await near.get(SID)).n).toBe(n);
      proxy.delay(0);
      await untilCopied(near, SID);
    }
  });

  test("while_the_copies_are_used_their_lease_is_renewed_and_then_no_more", async () => {
    const near = open({ cache: { maxStale: 300 } });
    const other = open({ cache: false });
    await other.set(SID, session(1));
    await untilCopied(near, SID);
    for (let n = 0; n < 20; n += 1) {
      await wait(20);
      // A machine that is busy may renew it late: then the session is read, and that renews it.
      await near.get(SID);
    }
    expect(near.metrics().cache.hits).toBeGreaterThan(5);
    const commands = async () =>
      Number(/total_commands_processed:(\d+)/.exec(await inspector.info())[1]);
    await waitUntil("nothing is asked any more", async () => {
      const before = await commands();
      await wait(300);
      return (await commands()) - before === 1;
    });
  });

  test("after_a_reconnect_nothing_from_before_is_served", async () => {
    const [proxy, near] = await proxied({ cache: { maxStale: 60_000 } });
    const other = open({ cache: false });
    await other.set(SID, session(1));
    await untilCopied(near, SID);
    await proxy.refuse();
    await other.set(SID, session(2));
    await waitUntil("the connection is lost", () => near.status !== "ready");
    await proxy.heal();
    expect((await near.get(SID)).n).toBe(2);
  });

  test("with_a_full_tracking_table_sessions_stay_right", async () => {
    await inspector.configSet("tracking-table-max-keys", "10");
    closing.push(() => inspector.configSet("tracking-table-max-keys", "1000000"));
    const [near, other] = [open(), open({ cache: false })];
    const sids = Array.from({ length: 100 }, (_, n) => `s${n}`);
    for (let n = 0; n < 5; n += 1) {
      for (const sid of sids) await other.set(sid, session(n));
      for (const sid of sids) await untilRead(near, n, sid);
    }
  });

  test("a_session_that_is_evicted_is_gone", async () => {
    const near = open();
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    // One by one, because Redis 6.2 sets one setting at a time.
    closing.push(() => inspector.configSet("maxmemory-policy", "noeviction"));
    closing.push(() => inspector.configSet("maxmemory", "0"));
    await inspector.configSet("maxmemory-policy", "allkeys-random");
    await inspector.configSet("maxmemory", "1");
    await inspector.sendCommand(["SET", "x", "y"]).catch(() => {});
    await untilRead(near, null, SID);
  });
});

describe("whoever writes, no copy is served", () => {
  test.each([
    ["SET", (key) => inspector.set(key, JSON.stringify(session(2))), 2],
    ["DEL", (key) => inspector.del(key), null],
    ["UNLINK", (key) => inspector.unlink(key), null],
    ["PEXPIRE", (key) => inspector.pExpire(key, 1), null],
    ["GETDEL", (key) => inspector.getDel(key), null],
    ["RENAME", (key) => inspector.rename(key, "elsewhere"), null],
    [
      "a script",
      (key) =>
        inspector.eval("redis.call('SET', KEYS[1], ARGV[1])", {
          keys: [key],
          arguments: [JSON.stringify(session(3))],
        }),
      3,
    ],
    [
      "a transaction",
      (key) =>
        inspector
          .multi()
          .set("x", "y")
          .set(key, JSON.stringify(session(4)))
          .exec(),
      4,
    ],
    ["FLUSHDB", () => inspector.flushDb(), null],
    ["FLUSHALL", () => inspector.flushAll(), null],
  ])("%s", async (_, write, found) => {
    const near = open({ cache: { maxStale: 60_000 } });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    await write(`sess:${SID}`);
    await untilRead(near, found, SID);
  });

  test.each([
    ["PERSIST", (key) => inspector.persist(key)],
    ["GETEX", (key) => inspector.getEx(key, { type: "PX", value: 600_000 })],
    ["EXPIRE", (key) => inspector.expire(key, 600)],
  ])("%s drops the copy, whose expiry is another now", async (_, write) => {
    const near = open({ cache: { maxStale: 60_000 } });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    await write(`sess:${SID}`);
    await waitUntil("it is read", async () => (await look(near, SID))[1] === "read");
  });
});

describe("what is kept", () => {
  test("no_more_than_maxBytes_and_what_is_used_stays", async () => {
    const near = open({ cache: { maxBytes: 100_000, maxStale: 10_000 } });
    const other = open({ cache: false });
    const pad = "x".repeat(1000);
    await other.set("used", { ...session(1), pad });
    await untilCopied(near, "used");
    for (let n = 0; n < 300; n += 1) {
      await other.set(`s${n}`, { ...session(n), pad });
      await near.get(`s${n}`);
      await near.get("used");
      expect(near.metrics().cache.bytes).toBeLessThanOrEqual(100_000);
    }
    expect(await look(near, "used")).toEqual([1, "copy"]);
    expect(await look(near, "s0")).toEqual([0, "read"]);
    expect(near.metrics().cache.copies).toBeGreaterThan(20);
    await other.set("large", { ...session(1), pad: pad.repeat(60) });
    for (let n = 0; n < 3; n += 1) expect(await look(near, "large")).toEqual([1, "read"]);
  });

  test.each([
    ["a serializer", { serializer: { parse: JSON.parse, stringify: JSON.stringify } }],
    ["another prefix", { prefix: "p:" }],
    ["hashed ids", { hashIds: true }],
    ["hashed ids on the way", { hashIds: "migrate" }],
    ["encryption", { encryption: { keys: [{ id: 1, secret: randomBytes(32) }] } }],
    ["merged saves", { concurrency: "merge" }],
    ["a lifetime", { lifetime: 3600 }],
    ["a user", { user: () => "ada" }],
  ])("with_%s_a_copy_is_as_what_is_read", async (_, options) => {
    const near = open(options);
    const other = open({ ...options, cache: false });
    const data = { ...session(1), text: 'é😀"\\\n', list: [1, { a: null }] };
    await other.set(SID, data);
    await untilCopied(near, SID);
    const [copy, read] = [await near.get(SID), await other.get(SID)];
    expect({ ...copy, cookie: 0 }).toEqual({ ...read, cookie: 0 });
    expect(Math.abs(new Date(copy.cookie.expires) - new Date(read.cookie.expires))).toBeLessThan(
      1000,
    );
    await other.set(SID, session(2));
    await untilRead(near, 2, SID);
    await near.destroy(SID);
    expect(await near.get(SID)).toBeNull();
  });

  test("a_session_from_a_copy_is_merged_and_cannot_bring_a_session_back", async () => {
    const near = open({ concurrency: "merge", cache: { maxStale: 60_000 } });
    const other = open({ concurrency: "merge", cache: false });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    const before = hits(near);
    const [one, two] = [await loadSession(near, SID), await loadSession(other, SID)];
    expect(hits(near)).toBe(before + 1);
    two.theirs = 1;
    await other.set(SID, two);
    one.ours = 1;
    await near.set(SID, one);
    expect(await other.get(SID)).toMatchObject({ n: 1, ours: 1, theirs: 1 });
    await untilCopied(near, SID);
    const late = await loadSession(near, SID);
    await other.destroy(SID);
    late.n = 5;
    await near.set(SID, late);
    expect(await other.get(SID)).toBeNull();
  });

  test("a_touch_of_a_copy_is_skipped_until_it_must_be_sent", async () => {
    const near = open();
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    await near.touch(SID, await loadSession(near, SID));
    expect(near.metrics().skippedTouches).toBe(1);
    const later = await loadSession(near, SID);
    later.cookie.expires = new Date(Date.now() + 20 * 60_000);
    await near.touch(SID, later);
    expect(near.metrics().skippedTouches).toBe(1);
    expect(await inspector.pTTL(`sess:${SID}`)).toBeGreaterThan(15 * 60_000);
  });

  test("no_copy_of_another_store_or_prefix_is_served", async () => {
    const near = open();
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    near.prefix = "other:";
    expect(await near.get(SID)).toBeNull();
    near.prefix = "sess:";
    expect((await near.get(SID)).n).toBe(1);
  });

  test("a_session_that_is_destroyed_by_its_handle_is_gone_at_once", async () => {
    const near = open({ hashIds: true, cache: { maxStale: 60_000 } });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    const [handle] = await near.ids();
    const [, found] = await Promise.all([near.destroy(handle), near.get(SID)]);
    expect(found).toBeNull();
  });

  test("what_is_read_while_all_is_cleared_is_not_kept", async () => {
    const [proxy, near] = await proxied({ cache: { maxStale: 60_000 } });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    proxy.delay(20);
    let isCleared = false;
    const cleared = near.clear().then(() => {
      isCleared = true;
    });
    while (!isCleared) {
      await near.get(SID);
      await wait(1);
    }
    await cleared;
    expect(near.metrics().cache.copies).toBe(0);
    expect(await near.get(SID)).toBeNull();
  });

  test("after_the_machine_was_suspended_each_session_is_read", async () => {
    const near = open({ cache: { maxStale: 10_000 } });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    const wallClock = Date.now;
    const suspended = jest.spyOn(Date, "now").mockImplementation(() => wallClock() + 20_000);
    try {
      await wait(1);
      expect(await look(near, SID)).toEqual([1, "read"]);
      await untilCopied(near, SID);
    } finally {
      suspended.mockRestore();
    }
  });

  test("half_a_character_in_the_prefix_changes_nothing", async () => {
    const near = open({ prefix: "\ud800:", cache: { maxStale: 60_000 } });
    await near.set(SID, session(1));
    await untilCopied(near, SID);
    await inspector.del(`\ufffd:${SID}`);
    await untilRead(near, null, SID);
  });

  test("what_is_not_UTF_8_is_read_each_time", async () => {
    const serializer = {
      stringify: (sess) => Buffer.concat([Buffer.from([0xff]), Buffer.from(JSON.stringify(sess))]),
      parse: (text) => JSON.parse(Buffer.from(text).subarray(1).toString()),
    };
    const near = open({ serializer });
    await near.set(SID, session(1));
    for (let n = 0; n < 3; n += 1) expect(await look(near, SID)).toEqual([1, "read"]);
  });

  test("with_a_rotated_key_a_copy_is_as_what_is_read", async () => {
    const [before, after] = [1, 2].map((id) => ({ id, secret: randomBytes(32) }));
    const near = open({ encryption: { keys: [after, before] }, cache: { maxStale: 60_000 } });
    const other = open({ encryption: { keys: [before] }, cache: false });
    await other.set(SID, session(1));
    await untilCopied(near, SID);
    expect(await look(near, SID)).toEqual([1, "copy"]);
    await near.rewrite();
    expect(await look(near, SID)).toEqual([1, "read"]);
    await untilCopied(near, SID);
  });

  test("a_corrupt_record_rejects_each_time", async () => {
    const near = open();
    await inspector.set(`sess:${SID}`, "{not json");
    for (let n = 0; n < 3; n += 1) {
      await expect(near.get(SID)).rejects.toThrow(/JSON/);
    }
    await near.set(SID, session(1));
    expect((await near.get(SID)).n).toBe(1);
  });
});

describe("if there can be no near cache", () => {
  test.each([
    ["a word", "yes", /cache must be true, false or an object, got string/],
    ["a list", [], /got an array/],
    ["an unknown name", { size: 1 }, /cache knows no size/],
    ["no bytes", { maxBytes: 0 }, /cache\.maxBytes must be a number of bytes/],
    ["a negative time", { maxStale: -1 }, /cache\.maxStale must be a number of milliseconds/],
    ["a time that is none", { maxStale: Number.NaN }, /cache\.maxStale must be/],
    ["fresh that is no function", { fresh: true }, /cache\.fresh must be a function, got boolean/],
  ])("%s_is_a_clear_error", (_, cache, message) => {
    expect(() => open({ cache })).toThrow(TypeError);
    expect(() => open({ cache })).toThrow(message);
  });

  test.each([undefined, 0])("without_touchAfter_is_a_clear_error (%s)", (touchAfter) => {
    expect(() => open({ touchAfter })).toThrow(/the option cache needs touchAfter/);
  });

  test("with_transport_client_it_is_a_clear_error", () => {
    const client = createClient({ url: server.url });
    expect(() => open({ url: undefined, client, transport: "client" })).toThrow(
      /cache is given, which needs a connection of the store's own/,
    );
  });

  test("a_fresh_that_throws_rejects_the_get", async () => {
    const near = open({
      cache: {
        fresh() {
          throw new Error("mine");
        },
      },
    });
    await expect(near.get(SID)).rejects.toThrow("mine");
  });

  test("through_a_client_it_warns_once_and_reads_each_session", async () => {
    const pool = await createClientPool({ url: server.url }).connect();
    closing.push(() => pool.destroy());
    const near = open({ url: undefined, client: pool });
    await near.set(SID, session(1));
    for (let n = 0; n < 3; n += 1) expect(await look(near, SID)).toEqual([1, "read"]);
    const [warning, ...others] = await warningsOf(`
      const pool = await createClientPool({ url: ${JSON.stringify(server.url)} }).connect();
      for (let n = 0; n < 2; n += 1) new RedisStore({ client: pool, cache: true, touchAfter: 60 });
      await pool.destroy();`);
    expect(warning).toMatch(`${NO_CACHE}: RedisStore: the option cache does nothing`);
    expect(others).toEqual([]);
  });

  test.each([
    ["without the right to it", ["--user", "ada on nopass ~* +@all -client"], "ada@"],
    ["without HELLO", ["--rename-command", "HELLO", ""], ""],
  ])("%s_it_warns_once_and_reads_each_session", async (_, args, user) => {
    const refusing = await startRedisServer({
      args: args.flatMap((arg) => (arg.startsWith("ada ") ? arg.split(" ") : [arg])),
    });
    closing.push(() => refusing.stop());
    const url = `redis://${user}127.0.0.1:${refusing.port}`;
    const near = open({ url });
    await near.set(SID, session(1));
    for (let n = 0; n < 3; n += 1) expect(await look(near, SID)).toEqual([1, "read"]);
    await send(refusing.port, "PING").catch(() => {});
    const warnings = await warningsOf(`
      const store = new RedisStore({ url: ${JSON.stringify(url)}, cache: true, touchAfter: 60 });
      for (let n = 0; n < 3; n += 1) await store.get("planted-sid");
      await store.close();`);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(NO_CACHE);
    expect(warnings[0]).toMatch(`127.0.0.1:${refusing.port} refuses:`);
    expect(warnings[0]).not.toMatch("planted-sid");
  });
});

test("without_the_right_to_PTTL_it_warns", async () => {
  await inspector.sendCommand("ACL SETUSER eve on nopass ~* +@all -pttl".split(" "));
  closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "eve"]));
  const url = server.url.replace("//", "//eve@");
  await open({ cache: false }).set(SID, session(1));
  const warnings = await warningsOf(`
    const store = new RedisStore({
      url: ${JSON.stringify(url)}, cache: { maxStale: 20 }, touchAfter: 60,
    });
    while (codes.length === 0) {
      await store.get(${JSON.stringify(SID)});
      await wait(5);
    }
    await wait(50);
    const before = store.metrics().cache.hits;
    for (let n = 0; n < 10; n += 1) await store.get(${JSON.stringify(SID)});
    if (store.metrics().cache.hits !== before) throw new Error("it is served");
    await store.close();`);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(NO_CACHE);
  expect(warnings[0]).toMatch(/refuses: .*pttl/i);
});

test("once_it_has_the_right_to_PTTL_again_copies_are_served", async () => {
  await inspector.sendCommand("ACL SETUSER eve on nopass ~* +@all -pttl".split(" "));
  closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "eve"]));
  const near = open({ url: server.url.replace("//", "//eve@"), cache: { maxStale: 40 } });
  await open({ cache: false }).set(SID, session(1));
  for (let n = 0; n < 10; n += 1) {
    await near.get(SID);
    await wait(20);
  }
  expect(await look(near, SID)).toEqual([1, "read"]);
  await inspector.sendCommand(["ACL", "SETUSER", "eve", "+pttl"]);
  await untilCopied(near, SID);
});

test("nothing_that_was_read_while_no_write_was_heard_of_is_served_later", async () => {
  await inspector.sendCommand("ACL SETUSER ada on nopass ~* +@all -client".split(" "));
  closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "ada"]));
  const near = open({ url: server.url.replace("//", "//ada@") });
  const other = open({ cache: false });
  await other.set(SID, session(1));
  for (let n = 0; n < 3; n += 1) expect(await look(near, SID)).toEqual([1, "read"]);
  await other.set(SID, session(2));
  await inspector.sendCommand("ACL SETUSER ada +client|tracking".split(" "));
  await inspector.sendCommand("CLIENT KILL USER ada".split(" "));
  const isNew = () => near.metrics().reconnects > 0 && near.status === "ready";
  await waitUntil("there is a new connection", isNew);
  await waitUntil("it is tracked", async () => {
    expect((await near.get(SID)).n).toBe(2);
    return hits(near) > 0;
  });
});

test("a_store_with_a_near_cache_that_nobody_holds_is_collected", async () => {
  const { stdout } = await run(`
    import { setTimeout as wait } from "node:timers/promises";
    import { RedisStore } from "./index.mjs";
    async function use() {
      const store = new RedisStore({
        url: ${JSON.stringify(server.url)},
        touchAfter: 60,
        cache: { fresh: () => store.prefix === "" },
      });
      await store.set("x", { cookie: {}, n: 1 });
      for (let n = 0; n < 3; n += 1) await store.get("x");
      return new WeakRef(store);
    }
    const gone = await use();
    for (let n = 0; n < 100 && gone.deref(); n += 1) {
      await wait(20);
      global.gc();
    }
    console.log(gone.deref() === undefined);
    process.exit();`);
  expect(stdout.trim()).toBe("true");
});
