"use strict";

// The index of users' sessions when processes are killed, compete and have much to do: no session is ever
// missing from its user's list, and neither Redis nor the event loop is held.

const { once } = require("node:events");
const { RedisStore } = require("../..");
const { waitUntil } = require("../../scripts/redis-server.js");
const { range } = require("../support/calls.js");
const { measured } = require("../support/measured.js");
const { startProxy } = require("../support/proxy.js");
const { run } = require("../support/run.js");
const { inMs, userKey } = require("../support/session-index.js");
const { useRedis } = require("../support/life-cycle.js");
const { loadSession } = require("../support/stores.js");

const HOUR = 3_600_000;
const USERS = ["ada", "bob", "eve"];

let server;
let inspector;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

async function open(options) {
  const store = new RedisStore({ url: server.url, user: "userId", events: true, ...options });
  closing.push(() => store.close());
  if (store.status !== "ready") await once(store, "ready");
  return store;
}

/** The sids of each user's sessions, by what is stored. */
async function storedSessions() {
  const byUser = Object.fromEntries(USERS.map((user) => [user, []]));
  for (const key of (await inspector.keys("sess:*")).sort()) {
    const { userId } = JSON.parse((await inspector.get(key)) ?? "{}");
    byUser[userId]?.push(key.slice("sess:".length));
  }
  return byUser;
}

/** Checks that each session is in its user's list, also when all entries are due, and nothing else is. */
async function expectRightLists() {
  const stored = await storedSessions();
  const store = await open();
  for (const [user, sids] of Object.entries(stored)) {
    const listed = async () => (await store.sessionsOf(user)).map(({ id }) => id).sort();
    expect({ user, sids: await listed() }).toEqual({ user, sids });
    for (const value of await inspector.zRange(userKey(user), 0, -1)) {
      await inspector.zAdd(userKey(user), { score: 1, value });
    }
    expect({ user, sids: await listed() }).toEqual({ user, sids });
    expect(await inspector.zCard(userKey(user))).toBe(sids.length);
    await Promise.all(sids.map((sid) => store.destroy(sid)));
    expect(await store.sessionsOf(user)).toEqual([]);
  }
}

describe("a process that is killed after any of its commands loses no session from its user's list", () => {
  const savedAs = async (store, sid, userId) => {
    const session = await loadSession(store, sid);
    session.userId = userId;
    await store.set(sid, session);
  };
  const request = async (store, sid) => ({
    sessionID: sid,
    session: await loadSession(store, sid),
  });
  const generate = (req) => {
    req.sessionID = `new of ${req.sessionID}`;
    req.session = { cookie: inMs(HOUR) };
  };
  test.each([
    ["sign-in", (store) => store.set("new", { cookie: inMs(HOUR), userId: "ada" })],
    ["sign-in of a session that is there", (store) => savedAs(store, "nobody's", "ada")],
    ["change of user", (store) => savedAs(store, "ada0", "bob")],
    ["sign-out that keeps the session", (store) => savedAs(store, "ada0", undefined)],
    ["sign-out", (store) => store.destroy("ada0")],
    ["sign-out everywhere", (store) => store.destroyAllOf("ada", { except: "ada1" })],
    [
      "sign-in of one too many",
      (store) => store.set("new", { cookie: inMs(2 * HOUR), userId: "ada" }),
      { maxSessions: 2 },
    ],
    [
      "update that changes the user",
      (store) =>
        store.update("ada0", (session) => {
          session.userId = "bob";
        }),
    ],
    [
      "change of user that is merged",
      (store) => savedAs(store, "ada0", "bob"),
      { concurrency: "merge" },
    ],
    ["rotate", async (store) => store.rotate(await request(store, "ada0"))],
    [
      "rotate with grace",
      async (store) => store.rotate(await request(store, "ada0"), { grace: HOUR }),
    ],
    [
      "touch by another process",
      async (store) => store.touch("ada0", await loadSession(store, "ada0")),
    ],
    ["list", (store) => store.sessionsOf("ada")],
    ["reindex", (store) => store.reindex()],
  ])("%s", async (_, work, options = {}) => {
    let isOver = false;
    let commands = 0;
    for (; !isOver; commands += 1) {
      await inspector.flushDb();
      const before = await open();
      for (const n of [0, 1, 2]) {
        await before.set(`ada${n}`, { cookie: inMs(HOUR), userId: "ada" });
      }
      await before.set("nobody's", { cookie: inMs(HOUR) });
      // As after a list: the entries have the sessions' true ends.
      for (const n of [0, 1]) {
        await inspector.zAdd(userKey("ada"), { score: Date.now() + HOUR, value: `ada${n}` });
      }
      await inspector.zAdd(userKey("ada"), { score: 1, value: "dead" });
      const proxy = await startProxy(server);
      const store = await open({ url: proxy.url, commandTimeout: 5000, ...options });
      store.generate = generate;
      const killed = proxy.limit(commands);
      const done = work(store).then(() => true);
      // If it fails, it was killed, or the test ends here.
      isOver = await Promise.race([done.catch(() => killed), killed]).then((how) => how === true);
      await store.close();
      await proxy.stop();
      await expectRightLists();
      expect(commands).toBeLessThan(100);
    }
    // It took some commands, and was killed after each of them.
    expect(commands).toBeGreaterThan(2);
  });
});

test("two processes that sign users in and out at random end with lists that are right", async () => {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
  const code = `
    import assert from "node:assert/strict";
    import { RedisStore } from "./index.mjs";
    let state = Number(process.env.SEED);
    const random = (below) => {
      state = (state + 0x6d2b79f5) | 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) % below;
    };
    const users = [undefined, ...JSON.parse(process.env.USERS)];
    // A short time, so that entries are soon taken for those of no save under way.
    const store = new RedisStore({ url: process.env.URL, user: "userId", commandTimeout: 250 });
    const load = async (sid) => {
      const data = await store.get(sid);
      return data && store.createSession({ sessionID: sid, sessionStore: store }, data);
    };
    const idsOf = async (user) => (await store.sessionsOf(user)).map(({ id }) => id);
    const name = process.env.NAME;
    const model = new Map();
    let steps = 0;
    let made = 0;
    const fresh = (userId) => ({ cookie: { originalMaxAge: 3600000, expires: new Date(Date.now() + 3600000).toISOString() }, userId });
    async function step(worker) {
      const isShared = random(2) === 0;
      const sid = isShared ? "shared" + random(4) : name + worker + "-" + random(3);
      const userId = users[random(users.length)];
      const what = random(8);
      if (what === 0) {
        await store.destroy(sid);
        model.delete(sid);
      } else if (what === 1 && isShared) {
        for (const user of users.slice(1)) await store.sessionsOf(user);
      } else if (what === 2 && isShared) {
        await store.update(sid, (session) => { session.userId = userId; });
      } else {
        const session = await load(sid);
        if (session) {
          session.userId = userId;
          await store.set(sid, session);
          model.set(sid, userId);
        } else if (!isShared) {
          await store.set(sid, fresh(userId));
          model.set(sid, userId);
        } else if (made < 1000) {
          // Nobody signs in with the sid of a session that was destroyed.
          await store.set("shared" + random(4) + name + (made += 1), fresh(userId));
        }
      }
      if (!isShared) {
        for (const user of users.slice(1)) {
          assert.equal((await idsOf(user)).includes(sid), model.get(sid) === user, sid + " of " + user);
        }
      }
      steps += 1;
    }
    const end = Date.now() + 5000;
    const worker = async (n) => {
      while (Date.now() < end) {
        await step(n).catch((error) => {
          if (!["ETIMEDOUT"].includes(error.code)) throw error;
        });
      }
    };
    await Promise.all([0, 1, 2].map(worker));
    await store.close();
    console.log(steps);
  `;
  const before = await open();
  for (const n of range(4, (i) => i)) {
    await before.set(`shared${n}`, { cookie: inMs(HOUR), userId: "ada" });
  }
  const runs = await Promise.all(
    ["one", "other"].map((NAME, n) =>
      run(code, { URL: server.url, USERS: JSON.stringify(USERS), NAME, SEED: `${seed + n}` }),
    ),
  );
  for (const { code: exit, stderr, stdout } of runs) {
    expect({ seed, exit, stderr }).toEqual({ seed, exit: 0, stderr: "" });
    expect(Number(stdout)).toBeGreaterThan(50);
  }
  await expectRightLists();
}, 60_000);

test("100,000 sessions of one user are listed, counted and ended, and neither Redis nor the event loop is held", async () => {
  const LENGTH = 100_000;
  await inspector.configResetStat();
  const { code, stdout, stderr } = await run(
    `import { monitorEventLoopDelay } from "node:perf_hooks";
    import { RedisStore } from "./index.mjs";
    const store = new RedisStore({ url: process.env.URL, user: "userId", commandTimeout: 30000 });
    const cookie = { originalMaxAge: 3600000, expires: new Date(Date.now() + 3600000).toISOString() };
    for (let n = 0; n < ${LENGTH}; n += 1000) {
      await Promise.all(Array.from({ length: 1000 }, (_, i) =>
        store.set("s" + (n + i), { cookie, userId: "ada", name: "Ada Lovelace" })));
    }
    const results = {};
    for (const [name, call] of [
      ["list", async () => new Set((await store.sessionsOf("ada")).map(({ id }) => id)).size],
      ["count", () => store.countOf("ada")],
      ["destroy", () => store.destroyAllOf("ada")],
    ]) {
      const delay = monitorEventLoopDelay({ resolution: 5 });
      delay.enable();
      const start = Date.now();
      let turns = 0;
      const turning = setInterval(() => turns += 1, 1);
      const length = await call();
      clearInterval(turning);
      const ms = Date.now() - start;
      delay.disable();
      results[name] = { length, ms, turns, stall: Math.round(delay.max / 1e6) };
    }
    await store.close();
    console.log(JSON.stringify(results));`,
    { URL: server.url },
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  const results = JSON.parse(stdout);
  for (const [name, { length, ms, turns, stall }] of Object.entries(results)) {
    measured(`100,000 sessions of a user: ${name}`, `${ms} ms, longest stall ${stall} ms`);
    expect({ name, length }).toEqual({ name, length: LENGTH });
    // By its turns: how long each of them takes depends on what else the machine does.
    expect({ name, isHeld: turns < LENGTH / 4000, turns }).toEqual({ name, isHeld: false, turns });
  }
  // By the mean of each command: a busy machine makes one call of any of them slow.
  const stats = await inspector.info("commandstats");
  for (const [, command, micros] of stats.matchAll(/cmdstat_(\S+?):.*usec_per_call=([\d.]+)/g)) {
    expect({ command, isSlow: Number(micros) > 10_000 }).toEqual({ command, isSlow: false });
  }
  expect(await inspector.keys("*")).toEqual([]);
}, 180_000);

test("the expiry of 50,000 sessions is heard, each once over two processes", async () => {
  const LENGTH = 50_000;
  const stores = [await open({ commandTimeout: 30_000 }), await open({ commandTimeout: 30_000 })];
  const heard = new Map();
  let created = 0;
  for (const store of stores) {
    store.on("created", () => {
      created += 1;
    });
    store.on("expired", (sid) => heard.set(sid, (heard.get(sid) ?? 0) + 1));
  }
  const end = Date.now() + 15_000;
  const cookie = { originalMaxAge: 15_000, expires: new Date(end).toISOString() };
  for (let n = 0; n < LENGTH; n += 1000) {
    await Promise.all(range(1000, (i) => stores[i % 2].set(`s${n + i}`, { cookie })));
  }
  await waitUntil("the sessions are over", async () => Date.now() >= end, 60_000);
  // On a machine that stood still the last ones may have come too late to be stored.
  expect(created).toBeGreaterThan(LENGTH / 2);
  await waitUntil("all are heard", async () => heard.size >= created, 60_000).catch(
    async (error) => {
      const left = await inspector.keys("*");
      const figures = JSON.stringify(stores.map((store) => store.metrics()));
      throw new Error(
        `${error.message}: ${heard.size} of ${created}; ${left.length} keys; ${figures}`,
      );
    },
  );
  measured("50,000 sessions expire at once", `heard ${Date.now() - end} ms later`);
  expect(heard.size).toBe(created);
  expect(Math.max(...heard.values())).toBe(1);
  expect(await inspector.keys("idx:*")).toEqual([]);
}, 180_000);
