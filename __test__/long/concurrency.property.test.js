"use strict";

// Any interleaving of what several writers do to the same sessions, against a model of what the options
// promise. A failure prints the seed and the path to it, which fc.assert takes as options. The writers are
// two stores with concurrency "merge", as in two processes, and connect-redis.

const ConnectRedis = require("connect-redis");
const expressSession = require("express-session");
const fc = require("fast-check");
const { createClient } = require("redis");
const { RedisStore } = require("../..");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { openInspector } = require("../support/inspector.js");
const { describeFetched, startWith } = require("../support/servers.js");

/** How many times as long it is to take: PROPERTY_RUNS=100 npx jest concurrency.property */
const FACTOR = Number(process.env.PROPERTY_RUNS ?? 1);
const MINUTE = 60_000;
const AGES = [10 * MINUTE, 60 * MINUTE, 300 * MINUTE];
/** Longer than any run takes. */
const SLACK = MINUTE;
const SIDS = ["one", "two", "three"];
const WRITERS = [0, 1, 2];
const PEER = 2;

jest.setTimeout(60_000 * FACTOR);

const copy = (value) => (value === undefined ? undefined : JSON.parse(JSON.stringify(value)));
const isSame = (one, other) => JSON.stringify(one) === JSON.stringify(other);
const without = ({ cookie, ...members }) => members;
const key = (sid) => `sess:${sid}`;

const anyName = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom("a", "b", "c", "user") },
  fc.constantFrom("0", "10", 'qu"ote', "\\", "é", "\u2028", "\ud83d\ude00"),
);
const anyValue = fc.jsonValue({ maxDepth: 2 });
const [sid, writer, merger] = [
  fc.constantFrom(...SIDS),
  fc.constantFrom(...WRITERS),
  fc.constantFrom(0, 1),
];
/** A request that is under way, by its place among those. */
const slot = fc.nat(3);

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ does: fc.constant("load"), slot, writer, sid }) },
  {
    weight: 6,
    arbitrary: fc.record({ does: fc.constant("set"), slot, name: anyName, value: anyValue }),
  },
  { weight: 3, arbitrary: fc.record({ does: fc.constant("delete"), slot, name: anyName }) },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant("age"), slot, age: fc.constantFrom(...AGES) }),
  },
  { weight: 6, arbitrary: fc.record({ does: fc.constant("save"), slot }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("touch"), slot }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("destroy"), writer, sid }) },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant("create"), writer, sid, value: anyValue }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant("update"), writer: merger, sid, name: anyName }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      does: fc.constant("rotate"),
      slot,
      grace: fc.constantFrom(0, 10 * MINUTE),
    }),
  },
);

/** The cookie of a session with this age, as express-session makes it. */
function cookieOf(age) {
  const cookie = new expressSession.Cookie();
  cookie.maxAge = age;
  cookie.originalMaxAge = age;
  return cookie;
}

describe("the Redis of this machine, by a script", () => claims());
describeFetched("Valkey 9, by IFEQ", () => claims("Valkey 9"));

/** @param {string} [what] the server */
function claims(what) {
  let server;
  let inspector;
  let client;
  let stores;

  beforeAll(async () => {
    server = await startWith(what, startRedisServer);
    inspector = await openInspector(server);
    client = await createClient({ url: server.url }).connect();
    stores = [0, 1].map(() => new RedisStore({ url: server.url, concurrency: "merge" }));
    stores.push(new ConnectRedis.RedisStore({ client }));
    let sids = 0;
    for (const store of stores) {
      // As the middleware of express-session does.
      store.generate = (req) => {
        sids += 1;
        req.sessionID = `rotated-${sids}`;
        req.session = new expressSession.Session(req);
        req.session.cookie = cookieOf(AGES[0]);
      };
    }
  }, 60_000);

  afterAll(async () => {
    for (const store of stores ?? []) await store.close?.();
    await client?.close();
    await inspector?.close();
    await server?.stop();
  });

  const readAll = async () => {
    const found = {};
    for (const name of await inspector.keys("*")) {
      found[name.slice("sess:".length)] = JSON.parse(await inspector.get(name));
    }
    return found;
  };

  /** Begins a request: its session, or undefined if there is none. */
  async function load(store, sid) {
    const data = await store.get(sid);
    if (!data) return undefined;
    const req = { sessionID: sid, sessionStore: store };
    store.createSession(req, data);
    return { req, store };
  }

  const create = (store, sid, members) =>
    store.set(sid, { cookie: cookieOf(AGES[0]).toJSON(), ...members });

  test("step by step, each session is what a model of its top-level members says", async () => {
    const property = fc.asyncProperty(
      fc.array(step, { maxLength: 60, size: "max" }),
      async (steps) => {
        await inspector.flushDb();
        /** What must be stored: the members and the cookie's age of each session that there is. */
        const sessions = new Map();
        const requests = [];

        const check = async () => {
          const found = await readAll();
          expect(Object.keys(found).sort()).toEqual([...sessions.keys()].sort());
          for (const [sid, { members, age }] of sessions) {
            expect(without(found[sid])).toEqual(members);
            expect(Math.abs(found[sid].cookie.originalMaxAge - age)).toBeLessThan(1000);
            const left = await inspector.pTTL(key(sid));
            expect(left).toBeGreaterThan(AGES[0] - SLACK);
            expect(left).toBeLessThanOrEqual(Math.max(...AGES));
          }
        };

        const does = {
          async load({ slot, writer, sid }) {
            const request = await load(stores[writer], sid);
            const stored = sessions.get(sid);
            expect(request === undefined).toBe(stored === undefined);
            if (request === undefined) return;
            const base = copy(stored);
            expect(copy(without(request.req.session))).toEqual(stored.members);
            requests[slot] = { ...request, base, mine: copy(stored), isPeer: writer === PEER };
          },
          set({ slot, name, value }) {
            const { req, mine } = requests[slot];
            req.session[name] = value;
            mine.members[name] = copy(value);
          },
          delete({ slot, name }) {
            const { req, mine } = requests[slot];
            delete req.session[name];
            delete mine.members[name];
          },
          age({ slot, age }) {
            const { req, mine } = requests[slot];
            req.session.cookie.maxAge = age;
            req.session.cookie.originalMaxAge = age;
            mine.age = age;
          },
          async save({ slot }) {
            const request = requests[slot];
            const { req, store, base, mine, isPeer } = request;
            req.session.touch();
            await store.set(req.sessionID, req.session);
            const stored = sessions.get(req.sessionID);
            if (isPeer) sessions.set(req.sessionID, copy(mine));
            else if (stored !== undefined) {
              for (const name of new Set([
                ...Object.keys(base.members),
                ...Object.keys(mine.members),
              ])) {
                const [before, after] = [base, mine].map(({ members }) =>
                  Object.hasOwn(members, name) ? members[name] : undefined,
                );
                if (isSame(before, after)) continue;
                if (after === undefined) delete stored.members[name];
                else stored.members[name] = copy(after);
              }
              if (mine.age !== base.age) stored.age = mine.age;
              request.base = copy(mine);
            }
          },
          async touch({ slot }) {
            const { req, store } = requests[slot];
            req.session.touch();
            await store.touch(req.sessionID, req.session);
          },
          async destroy({ writer, sid }) {
            await stores[writer].destroy(sid);
            sessions.delete(sid);
          },
          async create({ writer, sid, value }) {
            await create(stores[writer], sid, { created: value });
            sessions.set(sid, { members: { created: copy(value) }, age: AGES[0] });
          },
          async update({ writer, sid, name }) {
            const count = (members) => {
              members[name] = typeof members[name] === "number" ? members[name] + 1 : 1;
            };
            const stored = sessions.get(sid);
            expect(await stores[writer].update(sid, count)).toBe(stored !== undefined);
            if (stored !== undefined) count(stored.members);
          },
          async rotate({ slot, grace }) {
            const request = requests[slot];
            const { req, store, mine, isPeer } = request;
            if (isPeer) return;
            const old = req.sessionID;
            const isThere = sessions.has(old);
            expect(await store.rotate(req, { grace })).toBe(isThere);
            if (!isThere) {
              requests[slot] = undefined;
              return;
            }
            if (grace === 0) sessions.delete(old);
            sessions.set(req.sessionID, copy(mine));
            request.base = copy(mine);
          },
        };

        for (const one of steps) {
          if (one.slot !== undefined && one.does !== "load" && requests[one.slot] === undefined) {
            continue;
          }
          await does[one.does](one);
          await check();
        }
      },
    );
    await fc.assert(property, { numRuns: 300 * FACTOR });
  });

  /** One writer's part of a round in which all write at once. */
  const part = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        does: fc.constant("save"),
        writer: merger,
        sid,
        sets: fc.dictionary(fc.constantFrom("a", "b", "c", "d", "e"), anyValue, { maxKeys: 3 }),
        deletes: fc.subarray(["a", "b", "c", "d", "e"], { maxLength: 2 }),
      }),
    },
    { weight: 3, arbitrary: fc.record({ does: fc.constant("update"), writer: merger, sid }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant("touch"), writer: merger, sid }) },
    { weight: 1, arbitrary: fc.record({ does: fc.constant("destroy"), writer, sid }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant("peer"), sid }) },
  );

  test("all at once: a member that one changed is that one's, one that several changed is one's of these, a count is exact, a destroyed session is gone", async () => {
    const property = fc.asyncProperty(
      fc.array(fc.array(part, { minLength: 2, maxLength: 12, size: "max" }), {
        minLength: 1,
        maxLength: 6,
      }),
      async (rounds) => {
        await inspector.flushDb();
        for (const parts of rounds) {
          for (const sid of SIDS) {
            if (!(await inspector.exists(key(sid)))) {
              await create(stores[PEER], sid, { n: 0, a: "old", b: [1] });
            }
          }
          const before = await readAll();
          // Each has its own request, which has read the session before any of them writes.
          const requests = await Promise.all(
            parts.map(({ writer, sid }) => load(stores[writer ?? PEER], sid)),
          );
          const [peers, updates] = [[], []];
          await Promise.all(
            parts.map(async ({ does, writer, sid, sets, deletes }, place) => {
              const store = stores[writer ?? PEER];
              const { session } = requests[place].req;
              if (does === "save") {
                for (const name of deletes) delete session[name];
                Object.assign(session, sets);
                await store.set(sid, session);
              } else if (does === "update") {
                const isThere = await store.update(sid, (stored) => {
                  stored.n += 1;
                });
                if (isThere) updates.push(sid);
              } else if (does === "touch") await store.touch(sid, session);
              else if (does === "destroy") await store.destroy(sid);
              else {
                // connect-redis reads this session, and writes others.
                peers.push(without((await store.get(sid)) ?? { cookie: {} }));
                await create(store, `peer-${sid}`, { place });
              }
            }),
          );
          const after = await readAll();
          for (const sid of SIDS) {
            const own = parts.filter((one) => one.sid === sid);
            if (own.some(({ does }) => does === "destroy")) {
              expect(after[sid]).toBeUndefined();
              continue;
            }
            const expected = before[sid];
            expect(after[sid].n).toBe(expected.n + updates.filter((one) => one === sid).length);
            expect(updates.filter((one) => one === sid)).toHaveLength(
              own.filter(({ does }) => does === "update").length,
            );
            for (const name of ["a", "b", "c", "d", "e"]) {
              const wanted = own
                .filter(({ does }) => does === "save")
                .map(({ sets, deletes }) => {
                  if (Object.hasOwn(sets, name)) return copy(sets[name]);
                  return deletes.includes(name) ? undefined : expected[name];
                })
                .filter((value) => !isSame(value, expected[name]));
              const found = after[sid][name];
              const allowed = wanted.length === 0 ? [expected[name]] : wanted;
              expect(allowed.map((value) => JSON.stringify(value))).toContain(
                JSON.stringify(found),
              );
            }
            expect(Object.keys(after[sid])[0]).toBe("cookie");
            expect(await inspector.pTTL(key(sid))).toBeGreaterThan(AGES[0] - SLACK);
          }
        }
      },
    );
    await fc.assert(property, { numRuns: 300 * FACTOR });
  });

  test("rotations at once: one of them wins and has the data, and nobody else is signed in by it", async () => {
    const property = fc.asyncProperty(
      fc.array(merger, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      async (rotators, isDestroyed) => {
        await inspector.flushDb();
        await create(stores[0], "one", { cart: [1] });
        const requests = await Promise.all(rotators.map((writer) => load(stores[writer], "one")));
        const calls = requests.map(async ({ req, store }) => {
          const isRotated = await store.rotate(req);
          req.session.user = "ada";
          if (isRotated) await store.set(req.sessionID, req.session);
          return isRotated;
        });
        if (isDestroyed) calls.push(stores[0].destroy("one"));
        const rotated = await Promise.all(calls);
        const won = requests.filter((_request, place) => rotated[place] === true);
        expect(won.length).toBeLessThanOrEqual(1);
        if (!isDestroyed) expect(won).toHaveLength(1);
        const found = await readAll();
        expect(Object.keys(found)).toEqual(won.map(({ req }) => req.sessionID));
        for (const session of Object.values(found)) {
          expect(without(session)).toEqual({ cart: [1], user: "ada" });
        }
      },
    );
    await fc.assert(property, { numRuns: 100 * FACTOR });
  });
}
