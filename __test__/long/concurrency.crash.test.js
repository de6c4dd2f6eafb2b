"use strict";

// Servers that crash while sessions are updated and merged: what a store has acknowledged is there, once.
// With `appendfsync always` that holds over kill -9 and a restart. Replication is asynchronous, so over a
// failover it holds for what the replicas had, and for what the new master has acknowledged.

const { createClient } = require("redis");
const { RedisStore } = require("../..");
const { send, startRedisServer, waitUntil } = require("../../scripts/redis-server.js");
const {
  mastersOf,
  moveSlots,
  startRedisCluster,
  startRedisSentinel,
} = require("../../scripts/redis-topologies.js");
const { measured } = require("../support/measured.js");
const { describeFetched, startWith } = require("../support/servers.js");
const { loadSession } = require("../support/stores.js");

const DURABLE = ["--appendonly", "yes", "--appendfsync", "always"];
const COUNT = "count";
const LIST = "list";
const SHARED = "shared";
const BALANCE = "balance";
/** How a call may fail of which nobody knows whether it was carried out. */
const UNKNOWN = ["ECONNRESET", "EPIPE", "ETIMEDOUT", "ECONNREFUSED"];
/** How it fails if nothing was written. */
const UNWRITTEN = ["ECONFLICT"];

const closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const range = (length, make) => Array.from({ length }, (_, n) => make(n));

/** Two stores, as in two processes. */
function openTwo(options) {
  return range(2, () => {
    const store = new RedisStore({ concurrency: "merge", commandTimeout: 20_000, ...options });
    closing.push(() => store.close());
    return store;
  });
}

/**
 * Starts workers that update and merge sessions, and note what became of each call.
 * @param {object[]} stores
 */
async function startWork(stores) {
  const forms = { acknowledged: [], unknown: [], unwritten: [] };
  /** How many updates of each kind there are. */
  const updates = structuredClone(forms);
  const counts = structuredClone(forms);
  const [ups, downs] = [structuredClone(forms), structuredClone(forms)];
  /** The number of the last save of each worker that was acknowledged, and of the last that was made. */
  const saves = range(4, () => ({ acknowledged: -1, made: -1 }));
  const destroyed = [];
  const unexpected = [];
  let isOver = false;
  let calls = 0;
  await stores[0].set(COUNT, { cookie: {}, n: 0 });
  await stores[0].set(LIST, { cookie: {}, ids: [] });
  await stores[0].set(SHARED, { cookie: {} });
  await stores[0].set(BALANCE, { cookie: {}, n: 0 });

  async function noted(id, notes, call) {
    calls += 1;
    try {
      await call();
      notes.acknowledged.push(id);
    } catch (error) {
      if (UNKNOWN.includes(error.code)) notes.unknown.push(id);
      else if (UNWRITTEN.includes(error.code)) notes.unwritten.push(id);
      else unexpected.push(error);
    }
  }

  const found = (isThere) => {
    if (!isThere) throw new Error("an update has not found its session");
  };

  const workers = {
    // The texts of two writers of a counter are the same.
    async count(store, worker) {
      for (let n = 0; !isOver; n += 1) {
        await noted(`${worker}-${n}`, counts, async () =>
          found(
            await store.update(COUNT, (session) => {
              session.n += 1;
            }),
          ),
        );
      }
    },
    // What is stored is now and then again what it was: that must not be taken for never changed.
    async balance(store, worker) {
      for (let n = 0; !isOver; n += 1) {
        const [notes, by] = n % 2 === 0 ? [ups, 1] : [downs, -1];
        await noted(`${worker}-${n}`, notes, async () =>
          found(
            await store.update(BALANCE, (session) => {
              session.n += by;
            }),
          ),
        );
      }
    },
    async list(store, worker) {
      for (let n = 0; !isOver; n += 1) {
        const id = `${worker}-${n}`;
        await noted(id, updates, async () =>
          found(await store.update(LIST, (session) => void session.ids.push(id))),
        );
      }
    },
    async save(store, worker) {
      const mine = saves[worker];
      for (let n = 0; !isOver; n += 1) {
        const notes = structuredClone(forms);
        await noted(n, notes, async () => {
          const session = await loadSession(store, SHARED);
          session[`w${worker}`] = n;
          mine.made = n;
          await store.set(SHARED, session);
        });
        if (notes.acknowledged.length > 0) mine.acknowledged = n;
      }
    },
    /** Destroys sessions that the other store saves at the same time. */
    async destroy(store, worker) {
      const other = stores.find((one) => one !== store);
      for (let n = 0; !isOver; n += 1) {
        const sid = `destroyed-${worker}-${n}`;
        const notes = structuredClone(forms);
        await noted(sid, notes, async () => {
          await store.set(sid, { cookie: {} });
          const session = await loadSession(other, sid);
          session.n = n;
          const saved = other.set(sid, session).catch(() => {});
          await store.destroy(sid);
          session.n += 1;
          await Promise.all([saved, other.set(sid, session).catch(() => {})]);
        });
        destroyed.push(...notes.acknowledged);
      }
    },
  };

  const working = stores.flatMap((store, place) => [
    ...range(3, (n) => workers.count(store, `c${place}${n}`)),
    ...range(3, (n) => workers.list(store, `l${place}${n}`)),
    ...range(3, (n) => workers.balance(store, `b${place}${n}`)),
    ...range(2, (n) => workers.save(store, 2 * place + n)),
    workers.destroy(store, place),
  ]);
  return {
    counts,
    ups,
    downs,
    updates,
    saves,
    destroyed,
    unexpected,
    get calls() {
      return calls;
    },
    more: async (wanted) => {
      const enough = calls + wanted;
      await waitUntil("the work goes on", () => calls >= enough, 30_000);
    },
    stop: () => {
      isOver = true;
      return Promise.all(working);
    },
  };
}

/** Nothing was written twice, nor what was said not to be written; nothing unexpected was said. */
function expectNoneDoubled({ unexpected, updates, counts }, ids, n) {
  expect(unexpected).toEqual([]);
  expect(new Set(ids).size).toBe(ids.length);
  const may = new Set([...updates.acknowledged, ...updates.unknown]);
  expect(ids.filter((id) => !may.has(id))).toEqual([]);
  expect(n).toBeLessThanOrEqual(counts.acknowledged.length + counts.unknown.length);
}

describe("the Redis of this machine, with appendfsync always", () => crashes());
describeFetched("Valkey 9, which compares by IFEQ, with appendfsync always", () =>
  crashes("Valkey 9"),
);

/** @param {string} [what] the server */
function crashes(what) {
  test("killed and started again under load, it has what was acknowledged, and nothing twice", async () => {
    const server = await startWith(what, () => startRedisServer({ args: DURABLE }));
    closing.push(() => server.stop());
    const stores = openTwo({ url: server.url });
    const work = await startWork(stores);
    const kills = 12;
    for (let n = 0; n < kills; n += 1) {
      await work.more(150);
      await server.kill();
      await server.restart();
    }
    await work.more(150);
    await work.stop();
    const { counts, ups, downs, updates, saves, destroyed } = work;
    const [{ n }, { ids }, shared, balance] = await Promise.all(
      [COUNT, LIST, SHARED, BALANCE].map((sid) => stores[0].get(sid)),
    );
    expectNoneDoubled(work, ids, n);
    const expected = ups.acknowledged.length - downs.acknowledged.length;
    expect(balance.n).toBeLessThanOrEqual(expected + ups.unknown.length);
    expect(balance.n).toBeGreaterThanOrEqual(expected - downs.unknown.length);
    expect(n).toBeGreaterThanOrEqual(counts.acknowledged.length);
    const there = new Set(ids);
    expect(updates.acknowledged.filter((id) => !there.has(id))).toEqual([]);
    saves.forEach(({ acknowledged, made }, worker) => {
      expect(acknowledged).toBeGreaterThan(0);
      expect(shared[`w${worker}`]).toBeGreaterThanOrEqual(acknowledged);
      expect(shared[`w${worker}`]).toBeLessThanOrEqual(made);
    });
    expect(destroyed.length).toBeGreaterThan(0);
    const left = (await stores[0].ids()).filter((sid) => destroyed.includes(sid));
    expect(left).toEqual([]);
    measured(
      `kill -9 and restart under updates and merging saves (${what ?? "Redis"})`,
      `${kills} kills: none of ${counts.acknowledged.length + updates.acknowledged.length} ` +
        "acknowledged updates lost or doubled; of " +
        `${counts.unknown.length + updates.unknown.length} nobody knows`,
    );
  }, 90_000);
}

test("while the slots of the sessions move between the nodes of a cluster, nothing is lost or doubled", async () => {
  const cluster = await startRedisCluster();
  closing.push(() => cluster.stop());
  const stores = openTwo({ cluster: cluster.urls });
  const work = await startWork(stores);
  const [{ port }] = cluster.nodes;
  const slotOf = async (sid) =>
    Number((await send(port, "CLUSTER", "KEYSLOT", `sess:${sid}`)).slice(1));
  const slots = await Promise.all([COUNT, LIST, SHARED].map(slotOf));
  const masters = await mastersOf(cluster);
  const place = (slot) => Math.floor((slot * masters.length) / 16384);
  const rounds = 4;
  for (let n = 0; n < rounds; n += 1) {
    await work.more(100);
    for (const slot of slots) {
      const at = (step) => masters[(place(slot) + step) % masters.length];
      await moveSlots(cluster, at(n), at(n + 1), [slot]);
    }
    // A node that a slot comes to has not seen the script yet, or has forgotten it.
    for (const node of masters) await send(node.port, "SCRIPT", "FLUSH");
  }
  await work.more(100);
  await work.stop();
  const [{ n }, { ids }, shared] = await Promise.all(
    [COUNT, LIST, SHARED].map((sid) => stores[0].get(sid)),
  );
  expectNoneDoubled(work, ids, n);
  expect(n).toBe(work.counts.acknowledged.length);
  expect([...ids].sort()).toEqual([...work.updates.acknowledged].sort());
  work.saves.forEach(({ acknowledged }, worker) => {
    expect(shared[`w${worker}`]).toBe(acknowledged);
  });
  const left = await stores[0].ids();
  expect(work.destroyed.filter((sid) => left.includes(sid))).toEqual([]);
  measured(
    "slots move under updates and merging saves",
    `${rounds * slots.length} moves: none of ${work.updates.acknowledged.length + n} updates lost or doubled`,
  );
}, 90_000);

test("over a failover under load nothing is doubled; what replicas had and what the new master has acknowledged is there", async () => {
  const environment = await startRedisSentinel({ replicas: 2, count: 3 });
  closing.push(environment.stop);
  const { master, sentinels, replicas, name } = environment;
  const stores = openTwo({ sentinel: { name, nodes: sentinels } });
  const work = await startWork(stores);
  await work.more(500);
  // WAIT counts what its own connection has written, and what was written before that.
  const marker = await createClient({ url: master.url }).connect();
  marker.on("error", () => {});
  closing.push(() => marker.destroy());
  const replicated = {
    updates: [...work.updates.acknowledged],
    counts: work.counts.acknowledged.length,
    saves: work.saves.map(({ acknowledged }) => acknowledged),
    destroyed: [...work.destroyed],
  };
  await marker.set("marker", "1");
  expect(await marker.sendCommand(["WAIT", "2", "5000"])).toBe(2);
  await master.kill();
  const atKill = {
    updates: new Set(work.updates.acknowledged),
    counts: work.counts.acknowledged.length,
  };
  await waitUntil(
    "the sentinels name another master",
    async () => {
      const [{ port }] = sentinels;
      const said = await send(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name);
      return replicas.some((replica) => said.includes(`${replica.port}`));
    },
    30_000,
  );
  await work.more(500);
  await work.stop();
  const [{ n }, { ids }, shared] = await Promise.all(
    [COUNT, LIST, SHARED].map((sid) => stores[0].get(sid)),
  );
  expectNoneDoubled(work, ids, n);
  const there = new Set(ids);
  const lost = work.updates.acknowledged.filter((id) => !there.has(id));
  // What got lost is what the old master alone had.
  const kept = new Set(replicated.updates);
  expect(lost.filter((id) => kept.has(id) || !atKill.updates.has(id))).toEqual([]);
  const lostCounts = work.counts.acknowledged.length - n;
  expect(lostCounts).toBeLessThanOrEqual(atKill.counts - replicated.counts);
  work.saves.forEach(({ made }, worker) => {
    expect(shared[`w${worker}`]).toBeGreaterThanOrEqual(replicated.saves[worker]);
    expect(shared[`w${worker}`]).toBeLessThanOrEqual(made);
  });
  const left = await stores[0].ids();
  expect(replicated.destroyed.filter((sid) => left.includes(sid))).toEqual([]);
  measured(
    "the master is killed under updates and merging saves",
    `${work.updates.acknowledged.length} acknowledged updates, of which ${lost.length} were at the old ` +
      `master alone; none doubled; of ${work.updates.unknown.length} nobody knows`,
  );
}, 90_000);
