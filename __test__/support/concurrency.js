"use strict";

// What `concurrency` and `update` promise, as claims that hold on every server and however the store
// reaches it. Each runs through Express; two apps with stores of their own stand for two processes.

const { once } = require("node:events");
const ConnectRedis = require("connect-redis");
const redis = require("redis");
const { RedisStore } = require("../..");
const { startApp } = require("./app.js");
const { describeFetched, knowsIfEq, startWith } = require("./servers.js");
const { useEnvironment } = require("./life-cycle.js");
const { loadSession } = require("./stores.js");

const EVENTS = ["merged", "unmerged", "overwritten", "discarded"];
const CREATED = "connect-redis-rs:created";
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

const range = (length, make) => Array.from({ length }, (_, n) => make(n));

/** A place where a request waits until the test lets it go on. */
function makeGate() {
  let open;
  let arrive;
  const opened = new Promise((resolve) => {
    open = resolve;
  });
  const reached = new Promise((resolve) => {
    arrive = resolve;
  });
  const pass = () => {
    arrive();
    return opened;
  };
  return { open, reached, pass };
}

/**
 * Starts an app whose requests do what the test says.
 * @param {object} store
 * @param {object} [options] options for express-session
 */
async function serve(store, options) {
  const routes = [];
  const events = [];
  for (const name of EVENTS) store.on(name, (...args) => events.push([name, ...args]));
  const app = await startApp(store, options, (express) => {
    express.get("/:n", async (req, res) => {
      const answer = await routes[Number(req.params.n)](req, res);
      if (!res.headersSent) res.json(answer ?? req.session ?? null);
    });
  });
  /** Makes a request that `handle` answers; resolves to its response. */
  async function request(handle, how) {
    const response = await app.request(`/${routes.push(handle) - 1}`, how);
    if (response.status !== 200) throw new Error(`the app answered ${response.body?.error}`);
    return response;
  }
  /** Makes a request whose session is loaded, and that goes on when it is let. */
  async function slowRequest(handle, how) {
    const gate = makeGate();
    const made = request(async (req, res) => {
      await gate.pass();
      return handle(req, res);
    }, how);
    await gate.reached;
    return () => {
      gate.open();
      return made;
    };
  }
  const seen = (name) => events.filter(([event]) => event === name);
  return { ...app, store, request, slowRequest, seen };
}

/** A store of connect-redis on the same server, and how it is closed. */
async function openConnectRedis({ server, sentinel, cluster }) {
  const client = cluster
    ? redis.createCluster({ rootNodes: cluster.urls.map((url) => ({ url })) })
    : redis.createClient({ url: (server ?? sentinel.master).url, RESP: 2 });
  await client.connect();
  return { store: new ConnectRedis.RedisStore({ client }), close: () => client.close() };
}

/** How often the server has carried out commands since `before`, without those of the test. */
async function commandsOf(inspector, before = {}) {
  const text = await inspector.info("commandstats");
  const all = [...text.matchAll(/^cmdstat_([\w|]+):calls=(\d+)/gm)];
  const named = all.filter(([, name]) => !/^(info|client|hello|ping|config|command)/.test(name));
  const counts = named.map(([, name, calls]) => [name, Number(calls) - (before[name] ?? 0)]);
  return Object.fromEntries(counts.filter(([, calls]) => calls > 0));
}

/**
 * Runs the claims on a setup.
 * @param {object} setup as in setups.js
 * @param {string} [what] a server that is not this machine's, such as "Valkey 9"
 */
function describeConcurrency(setup, what) {
  const group = what === undefined ? describe : describeFetched;
  group(what === undefined ? setup.name : `${what}: ${setup.name}`, () => {
    let environment;
    let inspector;
    let closing;

    useEnvironment(
      () => startWith(what, setup.start),
      (used) => {
        ({ environment, inspector, closing } = used);
      },
    );

    async function openStore(options) {
      const source = await setup.open(environment);
      if (source.close) closing.push(() => source.close());
      const store = new RedisStore({ ...source.options, concurrency: "merge", ...options });
      closing.push(() => store.close());
      if (store.status !== "ready") await once(store, "ready");
      return store;
    }

    async function open(options, sessionOptions) {
      const app = await serve(await openStore(options), sessionOptions);
      closing.push(() => app.close());
      return app;
    }

    /** Two apps as two processes of one, and a browser that is signed in to both. */
    async function openTwo(options, sessionOptions) {
      const [one, other] = [
        await open(options, sessionOptions),
        await open(options, sessionOptions),
      ];
      await one.request((req) => {
        Object.assign(req.session, { user: "ada", kept: 1 });
      });
      other.jar.cookie = one.jar.cookie;
      return [one, other];
    }

    const keyOf = (app) => `sess:${app.sid()}`;
    const stored = async (app) => JSON.parse(await inspector.get(keyOf(app)));
    const members = async (app) => {
      const { cookie, ...rest } = await stored(app);
      expect(cookie).toBeDefined();
      return rest;
    };
    const write = (app, session) => inspector.set(keyOf(app), JSON.stringify(session));

    describe('concurrency "merge"', () => {
      test("of 60 parallel requests of two processes that each set a key of their own, all keys are there", async () => {
        const apps = await openTwo();
        const all = await Promise.all(
          range(60, (n) =>
            apps[n % 2].slowRequest((req) => {
              req.session[`k${n}`] = n;
            }),
          ),
        );
        await Promise.all(all.map((release) => release()));
        const expected = Object.fromEntries(range(60, (n) => [`k${n}`, n]));
        expect(await members(apps[0])).toEqual({ user: "ada", kept: 1, ...expected });
        const events = apps.flatMap((app) => app.seen("merged"));
        expect(events).toHaveLength(59);
        expect(new Set(events.map(([, sid]) => sid))).toEqual(new Set([apps[0].sid()]));
        expect(apps.flatMap(({ seen }) => [...seen("unmerged"), ...seen("discarded")])).toEqual([]);
      });

      test.each([
        ["changed another key", { slow: 1 }],
        ["changed nothing", {}],
      ])(
        "a logout by delete stays, also if a slow request that %s is answered later",
        async (_, change) => {
          const [one, other] = await openTwo();
          const release = await one.slowRequest((req) => Object.assign(req.session, change));
          await other.request((req) => {
            delete req.session.user;
          });
          await release();
          expect(await members(one)).toEqual({ kept: 1, ...change });
        },
      );

      test("a key that a slow request deletes is gone, and what others set meanwhile stays", async () => {
        const [one, other] = await openTwo();
        const release = await one.slowRequest((req) => {
          delete req.session.kept;
        });
        await other.request((req) => {
          req.session.new = { a: [1, 2] };
          req.session.kept = 2;
        });
        await release();
        expect(await members(one)).toEqual({ user: "ada", new: { a: [1, 2] } });
      });

      test("a key that both set has one of the two values, whole", async () => {
        const [one, other] = await openTwo();
        const values = [
          { list: [1, 2, 3], by: "one" },
          { list: [4], by: "other", more: 1 },
        ];
        const releases = [
          await one.slowRequest((req) => Object.assign(req.session, { same: values[0], one: 1 })),
          await other.slowRequest((req) =>
            Object.assign(req.session, { same: values[1], other: 1 }),
          ),
        ];
        await Promise.all(releases.map((release) => release()));
        const { same, ...rest } = await members(one);
        expect(values).toContainEqual(same);
        expect(rest).toEqual({ user: "ada", kept: 1, one: 1, other: 1 });
      });

      test("a destroyed session stays destroyed while saves of it are under way, and each of these is discarded", async () => {
        const apps = await openTwo();
        const releases = await Promise.all(
          range(20, (n) =>
            apps[n % 2].slowRequest((req) => {
              req.session[`k${n}`] = n;
            }),
          ),
        );
        const first = releases.slice(0, 10).map((release) => release());
        await apps[0].request((req) => new Promise((resolve) => req.session.destroy(resolve)));
        await Promise.all([...first, ...releases.slice(10).map((release) => release())]);
        expect(await inspector.exists(keyOf(apps[0]))).toBe(0);
        const discarded = apps.flatMap((app) => app.seen("discarded"));
        expect(discarded.length).toBeGreaterThanOrEqual(10);
        expect(new Set(discarded.map(([, sid]) => sid))).toEqual(new Set([apps[0].sid()]));
      });

      test("two saves and a change in one request keep what others have written between them", async () => {
        const [one, other] = await openTwo();
        await one.request(async (req) => {
          const save = () =>
            new Promise((resolve, reject) =>
              req.session.save((error) => (error ? reject(error) : resolve())),
            );
          req.session.first = 1;
          await save();
          await other.request((inner) => {
            delete inner.session.user;
            inner.session.between = 1;
          });
          req.session.second = 2;
          await save();
          await other.request((inner) => {
            delete inner.session.between;
            inner.session.later = 1;
          });
          req.session.third = 3;
        });
        expect(await members(one)).toEqual({ kept: 1, first: 1, second: 2, third: 3, later: 1 });
      });

      test("a session that a request has just made and saved is merged from then on", async () => {
        const [one, other] = await openTwo();
        await one.request(async (req) => {
          await new Promise((resolve) => req.session.regenerate(resolve));
          req.session.user = "bob";
          await new Promise((resolve) => req.session.save(resolve));
          const cookie = one.jar.cookie;
          await other.store.update(req.sessionID, (session) => {
            session.between = cookie !== undefined;
          });
          req.session.later = 1;
        });
        expect(await members(one)).toEqual({ user: "bob", between: true, later: 1 });
        expect(await inspector.keys("sess:*")).toEqual([keyOf(one)]);
      });

      test("with resave a request that changes nothing brings nothing back, and moves the expiry", async () => {
        const maxAge = 10 * MINUTE;
        const [one, other] = await openTwo({}, { resave: true, cookie: { maxAge } });
        const release = await one.slowRequest(() => {});
        await other.request((req) => {
          delete req.session.user;
          req.session.new = 1;
        });
        await inspector.pExpire(keyOf(one), MINUTE);
        await release();
        expect(await members(one)).toEqual({ kept: 1, new: 1 });
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(5 * MINUTE);
      });

      test("with rolling cookies each request moves the expiry, and the cookie stays first in what is stored", async () => {
        const maxAge = 10 * MINUTE;
        const [one, other] = await openTwo({}, { rolling: true, cookie: { maxAge } });
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => {
          req.session.new = 1;
        });
        await inspector.pExpire(keyOf(one), MINUTE);
        const { set } = await release();
        expect(set).toMatch(/Expires=/);
        expect(await members(one)).toEqual({ user: "ada", kept: 1, new: 1, slow: 1 });
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(5 * MINUTE);
        expect(await inspector.get(keyOf(one))).toMatch(/^\{"cookie":/);
      });

      test("a maxAge that another request has given the session is kept, with the time to live that follows", async () => {
        const [one, other] = await openTwo({}, { cookie: { maxAge: 10 * MINUTE } });
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => {
          req.session.cookie.maxAge = 5 * HOUR;
          req.session.remember = true;
        });
        await release();
        const { cookie, ...rest } = await stored(one);
        expect(rest).toEqual({ user: "ada", kept: 1, slow: 1, remember: true });
        // express-session computes it from the time that is left.
        expect(Math.abs(cookie.originalMaxAge - 5 * HOUR)).toBeLessThan(1000);
        expect(Date.parse(cookie.expires)).toBeGreaterThan(Date.now() + 4 * HOUR);
      });

      test("with resave a request that changes nothing keeps the maxAge that another has given the session", async () => {
        const [one, other] = await openTwo({}, { resave: true, cookie: { maxAge: 10 * MINUTE } });
        const release = await one.slowRequest(() => {});
        await other.request((req) => {
          req.session.cookie.maxAge = 5 * HOUR;
          req.session.remember = true;
        });
        await release();
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(4 * HOUR);
      });

      test("an age that express-session has computed some milliseconds less is not taken for a change", async () => {
        const [one, other] = await openTwo({}, { cookie: { maxAge: 10 * MINUTE } });
        const session = await loadSession(one.store, one.sid());
        await other.request((req) => {
          req.session.cookie.maxAge = 5 * HOUR;
          delete req.session.user;
        });
        session.cookie.maxAge = session.cookie.originalMaxAge;
        session.cookie.originalMaxAge -= 3;
        await one.store.set(one.sid(), session);
        session.mine = 1;
        await one.store.set(one.sid(), session);
        const { cookie, ...rest } = await stored(one);
        expect(rest).toEqual({ kept: 1, mine: 1 });
        expect(Math.abs(cookie.originalMaxAge - 5 * HOUR)).toBeLessThan(1000);
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(4 * HOUR);
      });

      test("it goes together with touchAfter", async () => {
        const cookie = { maxAge: 10 * MINUTE };
        const [one, other] = await openTwo({ touchAfter: 60 }, { cookie });
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => {
          delete req.session.user;
        });
        await inspector.pExpire(keyOf(one), 2 * MINUTE);
        await release();
        expect(await members(one)).toEqual({ kept: 1, slow: 1 });
        // A save moves the expiry in any case.
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(5 * MINUTE);
      });

      test("it goes together with lifetime: merged or not, a session ends so long after it was created", async () => {
        const cookie = { maxAge: 10 * HOUR };
        const [one, other] = await openTwo({ lifetime: 3600 }, { cookie });
        const created = Date.now() - 50 * MINUTE;
        await write(one, { ...(await stored(one)), [CREATED]: created });
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => {
          req.session.other = 1;
          req.session.cookie.maxAge = 20 * HOUR;
        });
        expect(await inspector.pTTL(keyOf(one))).toBeLessThanOrEqual(10 * MINUTE);
        await release();
        expect(await members(one)).toEqual({
          user: "ada",
          kept: 1,
          slow: 1,
          other: 1,
          [CREATED]: created,
        });
        expect(await inspector.pTTL(keyOf(one))).toBeLessThanOrEqual(10 * MINUTE);
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(5 * MINUTE);
      });

      test("connect-redis as another writer breaks nothing: its saves are merged with, its destroy is final", async () => {
        const [one] = await openTwo();
        const peer = await openConnectRedis(environment);
        closing.push(peer.close);
        const byPeer = await serve(peer.store);
        closing.push(() => byPeer.close());
        byPeer.jar.cookie = one.jar.cookie;
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await byPeer.request((req) => {
          delete req.session.user;
          req.session.peer = { a: [] };
        });
        await release();
        expect(await members(one)).toEqual({ kept: 1, slow: 1, peer: { a: [] } });
        const late = await one.slowRequest((req) => {
          req.session.slow = 2;
        });
        await byPeer.request((req) => new Promise((resolve) => req.session.destroy(resolve)));
        await late();
        expect(await inspector.exists(keyOf(one))).toBe(0);
        expect(one.seen("discarded")).toEqual([["discarded", one.sid()]]);
      });

      test("a session written by hand, with spaces, 1.0 and escapes, is not taken for changed", async () => {
        const [one, other] = await openTwo({}, { resave: true });
        const byHand =
          '{ "cookie" : {"originalMaxAge": null, "path":"/"}, "n" : 1.0, "big": 1e2,\n "s":"\\u00e9\\u0041\\/", "o" : {"b": [ ], "a": {} } }';
        await inspector.set(keyOf(one), byHand);
        const idle = await one.slowRequest(() => {});
        const changing = await one.slowRequest((req) => {
          req.session.mine = 1;
        });
        await other.request((req) => {
          for (const name of ["n", "big", "s", "o"]) delete req.session[name];
        });
        await idle();
        await changing();
        expect(await members(one)).toEqual({ mine: 1 });
      });

      test("what others wrote stays byte for byte in a member that the request has not changed", async () => {
        const [one] = await openTwo();
        const release = await one.slowRequest((req) => {
          req.session.mine = 1;
        });
        const theirs =
          '{"cookie":{"originalMaxAge":null},"big":12345678901234567890,"x":{"a" : 1.0}}';
        await inspector.set(keyOf(one), theirs);
        await release();
        const text = await inspector.get(keyOf(one));
        expect(text).toContain('"big":12345678901234567890');
        expect(text).toContain('"x":{"a" : 1.0}');
        expect(text).toContain('"mine":1');
      });

      test("what is no session any more is overwritten, and the store says so", async () => {
        const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
        closing.push(() => warn.mockRestore());
        const [one] = await openTwo();
        const release = await one.slowRequest((req) => {
          req.session.mine = 1;
        });
        await inspector.set(keyOf(one), "[1, 2]");
        await release();
        expect(await members(one)).toEqual({ user: "ada", kept: 1, mine: 1 });
        expect(one.seen("unmerged")).toEqual([["unmerged", one.sid()]]);
      });

      test("a get that is called after a save which is not awaited sees it, and a second save too", async () => {
        const [one, other] = await openTwo();
        const { store } = one;
        const session = await loadSession(store, one.sid());
        await other.request((req) => {
          req.session.other = 1;
        });
        session.mine = 1;
        const saves = [store.set(one.sid(), session)];
        const first = store.get(one.sid());
        session.mine = 2;
        delete session.user;
        saves.push(store.set(one.sid(), session));
        const second = store.get(one.sid());
        expect(await first).toMatchObject({ user: "ada", other: 1, mine: 1 });
        expect(await second).toMatchObject({ other: 1, mine: 2 });
        expect(await second).not.toHaveProperty("user");
        expect(await Promise.all(saves)).toEqual([null, null]);
      });

      test("a destroy that is called after a save which is not awaited is final", async () => {
        const [one] = await openTwo();
        const session = await loadSession(one.store, one.sid());
        session.mine = 1;
        const save = one.store.set(one.sid(), session);
        const destroyed = one.store.destroy(one.sid());
        const got = one.store.get(one.sid());
        session.mine = 2;
        const late = one.store.set(one.sid(), session);
        expect(await Promise.all([save, destroyed, got, late])).toEqual([null, null, null, null]);
        expect(await inspector.exists(keyOf(one))).toBe(0);
        expect(one.seen("discarded")).toEqual([["discarded", one.sid()]]);
      });

      test("an uncontended save is one command; a script is sent once, and from then on its digest", async () => {
        if (setup.unsupported.includes("stats")) return;
        const hasIfEq = await knowsIfEq(inspector);
        if (what !== undefined) expect(hasIfEq).toBe(what.startsWith("Valkey"));
        const app = await open();
        const set = (n) =>
          app.request((req) => {
            req.session.n = n;
          });
        await set(0); // It is new.
        // As if no connection had sent it before.
        await inspector.scriptFlush();
        await set(1);
        await inspector.configResetStat();
        for (let n = 2; n < 7; n += 1) await set(n);
        const { get, pttl, ...writes } = await commandsOf(inspector);
        // A script's own GET and SET are counted, too.
        expect(writes).toEqual(hasIfEq ? { set: 5 } : { evalsha: 5, set: 5 });
        expect(get).toBe(hasIfEq ? 5 : 10);
        expect(app.seen("merged")).toEqual([]);
      });

      test("a session that was loaded before the connection was lost is merged all the same", async () => {
        if (setup.unsupported.includes("stats")) return;
        const [one, other] = await openTwo();
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => {
          delete req.session.user;
        });
        const lost = once(one.store, "reconnecting");
        // Of node-redis and ioredis, too, if the store is beside them.
        await inspector.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        await lost;
        await release();
        expect(await members(one)).toEqual({ kept: 1, slow: 1 });
        expect(one.seen("merged")).toEqual([["merged", one.sid()]]);
      });

      test("saves go on when the server forgets its scripts", async () => {
        if (setup.unsupported.includes("stats")) return;
        const [one, other] = await openTwo();
        for (let n = 0; n < 3; n += 1) {
          const release = await one.slowRequest((req) => {
            req.session.one = n;
          });
          await other.request((req) => {
            req.session.other = n;
          });
          await inspector.scriptFlush();
          await release();
        }
        expect(await members(one)).toEqual({ user: "ada", kept: 1, one: 2, other: 2 });
        expect(one.seen("unmerged")).toEqual([]);
      });
    });

    describe('concurrency "detect"', () => {
      test("a save that takes others' changes back is reported with the sid and the members' names", async () => {
        const [one, other] = await openTwo({ concurrency: "detect" });
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => {
          delete req.session.user;
          req.session.new = 1;
        });
        await release();
        // As with "last".
        expect(await members(one)).toEqual({ user: "ada", kept: 1, slow: 1 });
        const [[, sid, names], ...more] = one.seen("overwritten");
        expect(more).toEqual([]);
        expect(sid).toBe(one.sid());
        expect([...names].sort()).toEqual(["new", "user"]);
        expect(other.seen("overwritten")).toEqual([]);
      });

      test("saves that lose nothing are not reported, and a destroyed session stays destroyed", async () => {
        const [one, other] = await openTwo({ concurrency: "detect" });
        for (const app of [one, other, one]) {
          await app.request((req) => {
            req.session.n = (req.session.n ?? 0) + 1;
          });
        }
        expect((await members(one)).n).toBe(3);
        const release = await one.slowRequest((req) => {
          req.session.slow = 1;
        });
        await other.request((req) => new Promise((resolve) => req.session.destroy(resolve)));
        await release();
        expect(await inspector.exists(keyOf(one))).toBe(0);
        expect(one.seen("discarded")).toEqual([["discarded", one.sid()]]);
        expect([one, other].flatMap((app) => app.seen("overwritten"))).toEqual([]);
      });
    });

    describe("update", () => {
      test("200 increments at once in one process and as many in another are all counted", async () => {
        const [one, other] = await openTwo({ commandTimeout: 20_000 });
        const increment = (session) => {
          session.n = (session.n ?? 0) + 1;
        };
        const made = range(400, (n) => [one, other][n % 2].store.update(one.sid(), increment));
        expect(new Set(await Promise.all(made))).toEqual(new Set([true]));
        expect(await members(one)).toEqual({ user: "ada", kept: 1, n: 400 });
      });

      test("it loses nothing of requests that save meanwhile, nor they of it", async () => {
        const [one, other] = await openTwo();
        const made = range(20, (n) =>
          Promise.all([
            one.store.update(one.sid(), (session) => {
              session.n = (session.n ?? 0) + 1;
            }),
            other.request((req) => {
              req.session[`k${n}`] = n;
            }),
          ]),
        );
        await Promise.all(made);
        const keys = Object.fromEntries(range(20, (n) => [`k${n}`, n]));
        expect(await members(one)).toEqual({ user: "ada", kept: 1, n: 20, ...keys });
      });

      test("it leaves the key's time to live as it is, unless the function moves cookie.expires", async () => {
        const [one] = await openTwo({}, { cookie: { maxAge: 10 * MINUTE } });
        await inspector.pExpire(keyOf(one), 3 * MINUTE);
        await one.store.update(one.sid(), (session) => {
          session.n = 1;
        });
        expect(await inspector.pTTL(keyOf(one))).toBeLessThanOrEqual(3 * MINUTE);
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(2 * MINUTE);
        const expires = new Date(Date.now() + HOUR).toISOString();
        await one.store.update(one.sid(), (session) => {
          session.cookie.expires = expires;
        });
        expect(await inspector.pTTL(keyOf(one))).toBeGreaterThan(50 * MINUTE);
        expect(await stored(one)).toMatchObject({ n: 1, cookie: { expires } });
      });

      test("it resolves to false, and writes nothing, if there is no session or it is destroyed meanwhile", async () => {
        const [one] = await openTwo();
        const change = jest.fn((session) => {
          session.n = 1;
        });
        expect(await one.store.update("nobody", change)).toBe(false);
        expect(change).not.toHaveBeenCalled();
        const updated = one.store.update(one.sid(), async (session) => {
          await one.store.destroy(one.sid());
          session.n = 1;
        });
        expect(await updated).toBe(false);
        expect(await inspector.keys("*")).toEqual([]);
      });
    });
  });
}

module.exports = { CREATED, commandsOf, describeConcurrency, makeGate, openConnectRedis, serve };
