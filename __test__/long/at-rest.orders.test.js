"use strict";

// Encryption, compression and hashed ids, switched on, rotated and off in every order, in rolling
// deploys: at each step processes with the old options and with the new ones serve the same sessions,
// and connect-redis does wherever plain text is in force. No session may be lost.
//
// The states of the options are the nodes of a graph, and a deploy is an edge. Every order of switching is
// a path in it; the test walks over each edge, both ways, with sessions that live all the time.

const { createClient } = require("redis");
const ConnectRedis = require("connect-redis");
const Ioredis = require("ioredis");
const { RedisStore } = require("../..");
const { startRedisServer, waitUntil } = require("../../scripts/redis-server.js");
const { startRedisCluster } = require("../../scripts/redis-topologies.js");

const ONE = { id: 1, secret: "the first secret of this app, for a while" };
const TWO = { id: 2, secret: Buffer.alloc(48, 2) };

/** Each state, with those that may be deployed next to it: before and after in its list. */
const ENCRYPTION = [
  undefined,
  { keys: [ONE], write: false },
  { keys: [ONE] },
  { keys: [ONE, TWO] },
  { keys: [TWO, ONE] },
  { keys: [TWO] },
  { keys: [TWO], write: false },
];
const COMPRESSION = [undefined, { write: false }, { threshold: 200 }];
const HASH_IDS = [undefined, "read", "migrate", true];

/** Encryption goes round: after the last state comes the first. */
const SIZES = [
  { states: ENCRYPTION, isRound: true },
  { states: COMPRESSION, isRound: false },
  { states: HASH_IDS, isRound: false },
];
const SESSIONS = 6;

const nameOf = (node) => node.join("/");
const optionsOf = ([e, c, h]) => ({
  encryption: ENCRYPTION[e],
  compression: COMPRESSION[c],
  hashIds: HASH_IDS[h],
});

/** Whether what a state writes is what connect-redis writes. */
const isPlain = ([e, c, h]) => [0, 1, 6].includes(e) && c < 2 && h < 2;

function neighbours(node) {
  return SIZES.flatMap(({ states, isRound }, axis) =>
    [-1, 1].flatMap((step) => {
      const moved = node[axis] + step;
      const to = isRound ? (moved + states.length) % states.length : moved;
      return to >= 0 && to < states.length ? [node.with(axis, to)] : [];
    }),
  );
}

/** A walk from the plain state over every edge, both ways, and back. */
function walkOverEveryEdge() {
  const start = [0, 0, 0];
  const unwalked = new Map();
  const edgesOf = (node) => {
    const name = nameOf(node);
    if (!unwalked.has(name)) unwalked.set(name, neighbours(node));
    return unwalked.get(name);
  };
  const walk = [];
  // Hierholzer's way to an Eulerian circuit: each edge has its way back, so there is one.
  const path = [start];
  while (path.length > 0) {
    const next = edgesOf(path.at(-1)).pop();
    if (next === undefined) walk.push(path.pop());
    else path.push(next);
  }
  return walk.reverse();
}

const inMs = (ms) => ({
  originalMaxAge: ms,
  expires: new Date(Date.now() + ms).toISOString(),
  path: "/",
});

async function load(store, sid) {
  const data = await store.get(sid);
  if (!data) throw new Error(`the session ${sid} is lost`);
  return store.createSession({ sessionID: sid, sessionStore: store }, data);
}

let server;
let opened;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

beforeEach(() => {
  opened = [];
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
});

async function nodeRedis() {
  const made = createClient({ url: server.url });
  made.on("error", () => {});
  opened.push(() => made.destroy());
  await made.connect();
  return made;
}

test("the walk goes over each deploy of the graph once", () => {
  const walk = walkOverEveryEdge();
  const edges = new Set(walk.slice(1).map((node, at) => `${nameOf(walk[at])} ${nameOf(node)}`));
  expect(edges.size).toBe(walk.length - 1);
  expect(edges.size).toBe(2 * (7 * 12 + 2 * 28 + 3 * 21));
});

test.each([
  ["by url", (_n, url) => ({ url })],
  [
    "by url and through a client in turns",
    (n, url, client) => (n % 2 === 0 ? { url } : { client, transport: "client" }),
  ],
])(
  "in every order of switches no session is lost, %s",
  async (_name, where) => {
    const client = await nodeRedis();
    await client.flushAll();
    const connectRedis = new ConnectRedis.RedisStore({ client });
    const walk = walkOverEveryEdge();
    const counts = Array.from({ length: SESSIONS }, () => 0);
    const session = (n) => ({
      cookie: inMs(3_600_000),
      n,
      count: 0,
      filler: "text ".repeat(n * 40),
    });
    let old;
    let created = 0;

    /** A request of the session `n` at a process: it counts on what was saved last. */
    const serve = async (store, n) => {
      const loaded = await load(store, `s${n}`);
      expect(loaded.count).toBe(counts[n]);
      expect(loaded.filler).toBe("text ".repeat(n * 40));
      counts[n] += 1;
      loaded.count = counts[n];
      await store.set(`s${n}`, loaded);
      await store.touch(`s${n}`, loaded);
    };
    const serveAll = async (store) => {
      for (let n = 0; n < SESSIONS; n += 1) await serve(store, n);
    };

    for (const [at, node] of walk.entries()) {
      const place = where(at, server.url, client);
      const store = new RedisStore({ ...place, ...optionsOf(node) });
      const step = `${at}: ${nameOf(node)}`;
      try {
        if (old === undefined) {
          for (let n = 0; n < SESSIONS; n += 1) await connectRedis.set(`s${n}`, session(n));
        } else {
          // Both run: each session is served by both, in turns.
          await serveAll(store);
          await serveAll(old);
          // One logs in at the one process, goes on at the other, and logs out there.
          for (const [first, second] of [
            [store, old],
            [old, store],
          ]) {
            created += 1;
            const sid = `new${created}`;
            await first.set(sid, session(1));
            expect(await second.get(sid)).toMatchObject({ n: 1 });
            const slow = await load(first, sid);
            await second.destroy(sid);
            await first.set(sid, slow);
            expect(await first.get(sid)).toBeNull();
            expect(await second.get(sid)).toBeNull();
          }
          await old.close();
        }
        // The deploy is done. Everyone comes by once, and the rest is rewritten.
        await serveAll(store);
        await store.rewrite();
        if (isPlain(node)) {
          await serveAll(connectRedis);
          await serveAll(store);
        }
        expect(await store.length()).toBe(SESSIONS);
      } catch (error) {
        error.message = `${step}: ${error.message}`;
        throw error;
      }
      old = store;
    }
    await old.close();
    expect(counts.every((count) => count > walk.length)).toBe(true);
  },
  300_000,
);

describe("in a cluster", () => {
  let cluster;

  beforeAll(async () => {
    cluster = await startRedisCluster();
  }, 120_000);

  afterAll(() => cluster?.stop());

  const SETUPS = [
    ["the store's own connections", async (nodes) => ({ cluster: nodes })],
    [
      "ioredis",
      async (nodes) => {
        const client = new Ioredis.Cluster(nodes);
        client.on("error", () => {});
        opened.push(() => client.disconnect());
        return { client, transport: "client" };
      },
    ],
  ];

  test.each(SETUPS)(
    "sessions are sealed, rewritten and moved to other slots, by %s",
    async (_name, where) => {
      const nodes = nodesOf(cluster);
      const at = await where(nodes);
      const make = (options) => {
        const store = new RedisStore({ ...at, ...options });
        opened.push(() => store.close());
        return store;
      };
      const plain = make({});
      await plain.clear();
      for (let n = 0; n < 60; n += 1) await plain.set(`s${n}`, { cookie: inMs(600_000), n });
      const encryption = { keys: [ONE] };
      const reader = make({ encryption: { ...encryption, write: false } });
      expect(await make({ encryption }).rewrite()).toBe(60);
      await expect(plain.get("s1")).rejects.toMatchObject({ code: "ESEALED" });
      expect(await reader.get("s1")).toMatchObject({ n: 1 });
      const moving = make({ encryption, hashIds: "migrate" });
      const loaded = await load(moving, "s2");
      loaded.more = true;
      await moving.set("s2", loaded);
      expect(await moving.get("s2")).toMatchObject({ n: 2, more: true });
      await moving.destroy("s3");
      await moving.rewrite();
      const all = await moving.all();
      expect(all).toHaveLength(59);
      expect(all.every(({ id }) => id.startsWith("sha256:"))).toBe(true);
      const hashed = make({ encryption, hashIds: true });
      for (let n = 0; n < 60; n += 1) {
        const found = await hashed.get(`s${n}`);
        if (n === 3) expect(found).toBeNull();
        else {
          expect(found).toMatchObject({ n });
          const left = Date.parse(found.cookie.expires) - Date.now();
          expect(left).toBeGreaterThan(500_000);
          expect(left).toBeLessThanOrEqual(601_000);
        }
      }
      await waitUntil("all are moved", async () => (await hashed.rewrite()) === 0);
    },
    60_000,
  );

  test("a session that is destroyed while it is moved to another slot stays destroyed", async () => {
    const at = { cluster: nodesOf(cluster) };
    const plain = new RedisStore(at);
    const store = new RedisStore({ ...at, hashIds: "migrate" });
    opened.push(
      () => plain.close(),
      () => store.close(),
    );
    await plain.clear();
    for (let n = 0; n < 300; n += 1) {
      await plain.set(`s${n}`, { cookie: inMs(600_000) });
      const work = [store.rewrite(), store.get(`s${n}`)];
      await store.destroy(`s${n}`);
      await Promise.all(work);
      await waitUntil("a move that get has begun", async () => (await store.length()) === 0);
      expect(await store.get(`s${n}`)).toBeNull();
    }
  }, 120_000);
});

function nodesOf({ nodes }) {
  return nodes.map(({ port }) => ({ host: "127.0.0.1", port }));
}
