"use strict";

// What `user`, `maxSessions` and `events` promise, as claims that hold on every server and however the
// store reaches it. Stores of their own stand for processes of their own.

const { createHash } = require("node:crypto");
const { once } = require("node:events");
const v8 = require("node:v8");
const { RedisStore } = require("../..");
const { waitUntil } = require("../../scripts/redis-server.js");
const { failure, range } = require("./calls.js");
const { makeGate, openConnectRedis, serve } = require("./concurrency.js");
const { describeFetched, startWith } = require("./servers.js");
const { useEnvironment } = require("./life-cycle.js");
const { loadSession } = require("./stores.js");

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Milliseconds between two looks for expired sessions, in tests that wait for one. */
const INTERVAL = 20;

const userKey = (user, prefix = "sess:") =>
  `idx:${prefix}user:${createHash("sha256").update(`${user}`).digest("hex")}`;

const inMs = (ms) => ({ originalMaxAge: ms, expires: new Date(Date.now() + ms).toISOString() });

/** Notes the events of a store, as [name, sid]. */
function watchEvents(store) {
  const seen = [];
  for (const name of ["created", "destroyed", "expired"]) {
    store.on(name, (sid) => seen.push([name, sid]));
  }
  return seen;
}

/** Waits until the events of what has happened are emitted. */
const emitted = () => new Promise((resolve) => setImmediate(resolve));

/**
 * Runs the claims on a setup.
 * @param {object} setup as in setups.js
 * @param {string} [what] a server that is not this machine's, such as "Valkey 9"
 */
function describeSessionIndex(setup, what) {
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

    async function open(options) {
      const source = await setup.open(environment);
      if (source.close) closing.push(() => source.close());
      const store = new RedisStore({ ...source.options, user: "userId", ...options });
      closing.push(() => store.close());
      if (store.status !== "ready") await once(store, "ready");
      return store;
    }

    async function openApp(options, sessionOptions) {
      const app = await serve(await open(options), sessionOptions);
      closing.push(() => app.close());
      return app;
    }

    /** Signs a user in with a new browser; resolves to its cookie and sid. */
    async function signIn(app, userId, more) {
      await app.request(
        (req) => {
          Object.assign(req.session, { userId }, more);
        },
        { cookie: "" },
      );
      return { cookie: app.jar.cookie, sid: app.sid() };
    }

    const idsOf = async (store, user) => (await store.sessionsOf(user)).map(({ id }) => id).sort();
    const isStored = async (sid) => (await inspector.exists(`sess:${sid}`)) === 1;
    /** Makes an entry one that is looked at, as it is when the time of a save under way is over. */
    const settle = (user, sid) => inspector.zAdd(userKey(user), { score: 1, value: sid });
    const indexKeys = async () => (await inspector.keys("idx:*")).sort();

    describe("a user's sessions", () => {
      test("a session that was signed in is listed, with its data and its end; another user's is not", async () => {
        const app = await openApp({}, { cookie: { maxAge: HOUR } });
        const [ada, again, bob] = [
          await signIn(app, "ada", { device: "phone" }),
          await signIn(app, "ada"),
          await signIn(app, "bob"),
        ];
        const found = await app.store.sessionsOf("ada");
        expect(found.map(({ id }) => id).sort()).toEqual([ada.sid, again.sid].sort());
        const listed = found.find(({ id }) => id === ada.sid);
        expect(listed.data).toMatchObject({ userId: "ada", device: "phone" });
        const end = Date.now() + (await inspector.pTTL(`sess:${ada.sid}`));
        expect(Math.abs(listed.expires.getTime() - end)).toBeLessThan(MINUTE);
        expect(await app.store.countOf("ada")).toBe(2);
        expect(await idsOf(app.store, "bob")).toEqual([bob.sid]);
        expect(await app.store.sessionsOf("nobody")).toEqual([]);
        expect(await app.store.countOf("nobody")).toBe(0);
        expect(await app.store.destroyAllOf("nobody")).toBe(0);
      });

      test("the session used last comes first", async () => {
        const store = await open();
        for (const [sid, ms] of [
          ["first", HOUR],
          ["last", 3 * HOUR],
          ["second", 2 * HOUR],
        ]) {
          await store.set(sid, { cookie: inMs(ms), userId: "ada" });
        }
        const found = await store.sessionsOf("ada");
        expect(found.map(({ id }) => id)).toEqual(["last", "second", "first"]);
      });

      test("it is in its user's set before it can be read", async () => {
        const store = await open();
        const set = store.set("s", { cookie: {}, userId: "ada" });
        // It sees each moment between the commands: whenever the session is there, so is the entry.
        let isOver = false;
        set.then(() => {
          isOver = true;
        });
        while (!isOver) {
          if (await isStored("s")) {
            expect(await inspector.zScore(userKey("ada"), "s")).not.toBeNull();
          }
        }
        expect(await isStored("s")).toBe(true);
      });

      test("callbacks get what the promises would", async () => {
        const store = await open();
        await store.set("s", { cookie: {}, userId: "ada" });
        const by = (name, ...args) =>
          new Promise((resolve, reject) => {
            store[name](...args, (error, data) => (error ? reject(error) : resolve(data)));
          });
        expect(await by("sessionsOf", "ada")).toMatchObject([{ id: "s" }]);
        expect(await by("countOf", "ada")).toBe(1);
        expect(await by("reindex")).toBe(1);
        expect(await by("destroyAllOf", "ada", { except: "s" })).toBe(0);
        expect(await by("destroyAllOf", "ada")).toBe(1);
      });

      test("a session that is destroyed leaves the list and the set", async () => {
        const app = await openApp();
        const { cookie, sid } = await signIn(app, "ada");
        await app.request(
          (req) => new Promise((resolve) => req.session.destroy(() => resolve({}))),
          {
            cookie,
          },
        );
        expect(await app.store.sessionsOf("ada")).toEqual([]);
        expect(await isStored(sid)).toBe(false);
        expect(await inspector.keys("*")).toEqual([]);
      });

      test("a session whose user changes moves; one that is signed out leaves", async () => {
        const app = await openApp();
        const { cookie, sid } = await signIn(app, "ada");
        await settle("ada", sid);
        await app.request(
          (req) => {
            req.session.userId = "bob";
          },
          { cookie },
        );
        expect(await idsOf(app.store, "bob")).toEqual([sid]);
        expect(await inspector.exists(userKey("ada"))).toBe(0);
        await settle("bob", sid);
        await app.request(
          (req) => {
            delete req.session.userId;
          },
          { cookie },
        );
        expect(await indexKeys()).toEqual([]);
        expect(await isStored(sid)).toBe(true);
      });

      test("one that changes users at once after a sign-in is in the list of the last only", async () => {
        const store = await open();
        await store.set("s", { cookie: {}, userId: "ada" });
        const session = await loadSession(store, "s");
        for (const userId of ["bob", "ada", "eve"]) {
          session.userId = userId;
          await store.set("s", session);
        }
        for (const [user, ids] of [
          ["ada", []],
          ["bob", []],
          ["eve", ["s"]],
        ]) {
          expect(await idsOf(store, user)).toEqual(ids);
        }
      });

      test.each([[undefined], [null], [""]])(
        "the user %p is nobody, and is not indexed",
        async (userId) => {
          const store = await open();
          await store.set("s", { cookie: {}, userId });
          expect(await inspector.keys("*")).toEqual(["sess:s"]);
        },
      );

      test.each([
        [Number.NaN],
        [Number.POSITIVE_INFINITY],
        [{ id: 1 }],
        [["ada"]],
        [true],
        [false],
      ])("the user %p is a TypeError of set, and nothing is stored", async (userId) => {
        const store = await open();
        const error = await failure(store.set("s", { cookie: {}, userId }));
        expect(error).toBeInstanceOf(TypeError);
        expect(error.message).toMatch(/user must be a string or a number/);
        expect(await inspector.keys("*")).toEqual([]);
      });

      test('7 and "7" are one user', async () => {
        const store = await open();
        await store.set("a", { cookie: {}, userId: 7 });
        await store.set("b", { cookie: {}, userId: "7" });
        expect(await idsOf(store, 7)).toEqual(["a", "b"]);
        expect(await store.countOf("7")).toBe(2);
        expect(await store.destroyAllOf(7)).toBe(2);
      });

      test.each([
        ["5 kB long", "x".repeat(5000)],
        ["of glob characters", "*?[a-z]\\{}:\r\n\0"],
        ["beyond ASCII", "Åsa 漢字 🙂"],
        ["__proto__", "__proto__"],
      ])("a user %s has only its own sessions", async (_, user) => {
        const store = await open();
        await store.set("mine", { cookie: {}, userId: user });
        await store.set("other", { cookie: {}, userId: `${user}!` });
        expect(await idsOf(store, user)).toEqual(["mine"]);
        expect(await store.destroyAllOf(user)).toBe(1);
        expect(await isStored("other")).toBe(true);
      });

      test.each([["passport.user"], [(session) => session.passport?.user]])(
        "user: %p reads what is inside the session",
        async (user) => {
          const store = await open({ user });
          await store.set("in", { cookie: {}, passport: { user: "ada" } });
          for (const [sid, passport] of Object.entries({
            text: "user",
            nothing: null,
            none: undefined,
            list: ["user"],
          })) {
            await store.set(sid, { cookie: {}, passport });
          }
          expect(await idsOf(store, "ada")).toEqual(["in"]);
          expect(await indexKeys()).toEqual([userKey("ada")]);
        },
      );

      test("an error of the function user is the error of set, and nothing is stored", async () => {
        const store = await open({
          user: () => {
            throw new Error("of the app");
          },
        });
        expect((await failure(store.set("s", { cookie: {} }))).message).toBe("of the app");
        expect(await inspector.keys("*")).toEqual([]);
      });

      test("a dead entry is gone after the next list", async () => {
        const store = await open();
        await store.set("alive", { cookie: {}, userId: "ada" });
        await store.set("dead", { cookie: {}, userId: "ada" });
        await inspector.del("sess:dead");
        expect(await idsOf(store, "ada")).toEqual(["alive"]);
        await settle("ada", "dead");
        expect(await store.countOf("ada")).toBe(1);
        expect(await inspector.zScore(userKey("ada"), "dead")).toBeNull();
      });

      test("an entry is kept as long as its session lives, however often it is listed", async () => {
        const store = await open();
        await store.set("long", { cookie: inMs(HOUR), userId: "ada" });
        await settle("ada", "long");
        await store.sessionsOf("ada");
        const score = await inspector.zScore(userKey("ada"), "long");
        expect(score).toBeGreaterThan(Date.now() + 50 * MINUTE);
        expect(await idsOf(store, "ada")).toEqual(["long"]);
        await store.set("for ever", { cookie: {}, userId: "eve" });
        await inspector.set("sess:for ever", await inspector.get("sess:for ever"));
        await settle("eve", "for ever");
        const [listed] = await store.sessionsOf("eve");
        expect(listed).toMatchObject({ id: "for ever", expires: null });
        expect(await inspector.zScore(userKey("eve"), "for ever")).toBe(Number.POSITIVE_INFINITY);
        expect(await idsOf(store, "eve")).toEqual(["for ever"]);
        await inspector.del("sess:for ever");
        expect(await idsOf(store, "eve")).toEqual([]);
        expect(await inspector.exists(userKey("eve"))).toBe(0);
      });

      test("an entry that points to another user's session neither lists nor ends it", async () => {
        const store = await open({ maxSessions: 1 });
        await store.set("bob's", { cookie: {}, userId: "bob" });
        await store.set("nobody's", { cookie: {} });
        await settle("ada", "bob's");
        await settle("ada", "nobody's");
        await store.set("ada's", { cookie: {}, userId: "ada" });
        expect(await idsOf(store, "ada")).toEqual(["ada's"]);
        await settle("ada", "bob's");
        await settle("ada", "nobody's");
        expect(await store.destroyAllOf("ada")).toBe(1);
        expect(await isStored("bob's")).toBe(true);
        expect(await isStored("nobody's")).toBe(true);
        expect(await inspector.exists(userKey("ada"))).toBe(0);
      });

      test("one session object that is saved under two sids is listed twice", async () => {
        const store = await open();
        const session = { cookie: {}, userId: "ada" };
        await store.set("a", session);
        await store.set("b", session);
        expect(await idsOf(store, "ada")).toEqual(["a", "b"]);
      });

      test("a session that is taken from one store to another is listed in both", async () => {
        const [from, to] = [await open(), await open({ prefix: "new:" })];
        await from.set("s", { cookie: {}, userId: "ada" });
        const session = await loadSession(from, "s");
        await from.set("s", session);
        await to.set("s", session);
        expect(await idsOf(from, "ada")).toEqual(["s"]);
        expect(await idsOf(to, "ada")).toEqual(["s"]);
      });

      test("what is stored and is no session of JSON is nobody's, and does not stop a list", async () => {
        const store = await open();
        await store.set("s", { cookie: {}, userId: "ada" });
        await inspector.set("sess:broken", "{");
        await inspector.set("sess:number", "7");
        await settle("ada", "broken");
        await settle("ada", "number");
        expect(await idsOf(store, "ada")).toEqual(["s"]);
        expect(await store.reindex()).toBe(1);
        await store.destroy("broken");
        expect(await isStored("broken")).toBe(false);
      });
    });

    describe("sign out everywhere", () => {
      test("none of the user's sessions can be read afterwards; others live on", async () => {
        const apps = [await openApp(), await openApp()];
        const adas = [await signIn(apps[0], "ada"), await signIn(apps[1], "ada")];
        const bob = await signIn(apps[1], "bob");
        expect(await apps[0].store.destroyAllOf("ada")).toBe(2);
        for (const { cookie } of adas) {
          const { body } = await apps[1].request((req) => ({ user: req.session.userId ?? null }), {
            cookie,
          });
          expect(body).toEqual({ user: null });
        }
        expect(await idsOf(apps[0].store, "bob")).toEqual([bob.sid]);
        expect(await inspector.exists(userKey("ada"))).toBe(0);
      });

      test("a save in flight is discarded: the session does not come back", async () => {
        const apps = [await openApp(), await openApp()];
        const { cookie, sid } = await signIn(apps[0], "ada");
        const [same, moves] = [
          await apps[1].slowRequest(
            (req) => {
              req.session.n = 1;
            },
            { cookie },
          ),
          await apps[1].slowRequest(
            (req) => {
              req.session.userId = "eve";
            },
            { cookie },
          ),
        ];
        await apps[0].store.destroyAllOf("ada");
        await same();
        await moves();
        expect(await isStored(sid)).toBe(false);
        expect(await idsOf(apps[0].store, "eve")).toEqual([]);
        expect(await inspector.exists(userKey("eve"))).toBe(0);
      });

      test("except keeps one session, or several", async () => {
        const store = await open();
        for (const sid of ["a", "b", "c", "d"]) await store.set(sid, { cookie: {}, userId: "ada" });
        expect(await store.destroyAllOf("ada", { except: ["a", "b", "none"] })).toBe(2);
        expect(await idsOf(store, "ada")).toEqual(["a", "b"]);
        expect(await store.destroyAllOf("ada", { except: "b" })).toBe(1);
        expect(await idsOf(store, "ada")).toEqual(["b"]);
        expect(await store.destroyAllOf("ada", { except: null })).toBe(1);
      });

      test.each([[7], [[7]], [{}], [[undefined]]])(
        "except: %p is a TypeError that ends nothing",
        async (except) => {
          const store = await open();
          await store.set("s", { cookie: {}, userId: "ada" });
          const error = await failure(store.destroyAllOf("ada", { except }));
          expect(error).toBeInstanceOf(TypeError);
          expect(await isStored("s")).toBe(true);
        },
      );

      test.each([[undefined], [null], [""], [Number.NaN], [{}], [[]], [true], [Symbol("x")]])(
        "destroyAllOf(%p) is a TypeError that ends nobody's session",
        async (user) => {
          const store = await open();
          await store.set("s", { cookie: {}, userId: "ada" });
          await store.set("nobody's", { cookie: {} });
          for (const method of ["destroyAllOf", "sessionsOf", "countOf"]) {
            const error = await failure(store[method](user));
            expect(error).toBeInstanceOf(TypeError);
            expect(error.message).toContain(method);
          }
          expect(await store.ids()).toHaveLength(2);
          expect(await idsOf(store, "ada")).toEqual(["s"]);
        },
      );

      test("sessions that rotate meanwhile are ended under their new ids as well", async () => {
        const store = await open();
        store.generate = (req) => {
          req.sessionID = `new of ${req.sessionID}`;
          req.session = { cookie: {} };
        };
        const sids = range(20, (n) => `s${n}`);
        for (const sid of sids) await store.set(sid, { cookie: {}, userId: "ada" });
        const requests = [];
        for (const sid of sids)
          requests.push({ sessionID: sid, session: await loadSession(store, sid) });
        const rotating = requests.map((req, n) => store.rotate(req, { grace: n % 2 ? MINUTE : 0 }));
        await store.destroyAllOf("ada");
        const rotated = await Promise.all(rotating);
        expect(rotated).toHaveLength(20);
        expect(await store.ids()).toEqual([]);
        expect(await store.sessionsOf("ada")).toEqual([]);
      });
    });

    describe("while a list is being read", () => {
      /** A store that reads no session, once `hold` is called, until its gate is opened. */
      async function openHeld() {
        let pass = async () => {};
        const parse = async (text) => {
          await pass();
          return JSON.parse(text);
        };
        const store = await open({ serializer: { parse, stringify: JSON.stringify } });
        const hold = () => {
          const gate = makeGate();
          pass = gate.pass;
          return gate;
        };
        return { store, hold };
      }

      test("a session that is signed in again meanwhile stays in the list", async () => {
        const store = await open();
        await store.set("s", { cookie: {} });
        await settle("ada", "s");
        const session = await loadSession(store, "s");
        const reader = await openHeld();
        const gate = reader.hold();
        const listing = reader.store.sessionsOf("ada");
        await gate.reached;
        session.userId = "ada";
        await store.set("s", session);
        gate.open();
        expect(await listing).toEqual([]);
        expect(await idsOf(store, "ada")).toEqual(["s"]);
      });

      test("one that leaves its user and comes back by another process meanwhile stays", async () => {
        const [store, other] = [await open(), await open()];
        await store.set("s", { cookie: {}, userId: "ada" });
        await settle("ada", "s");
        const [mine, theirs] = [await loadSession(store, "s"), await loadSession(other, "s")];
        mine.userId = "bob";
        theirs.userId = "eve";
        await other.set("s", theirs);
        theirs.userId = "ada";
        // Both save at once, and the last one wins.
        await Promise.all([store.set("s", mine), other.set("s", theirs)]);
        const { userId } = await store.get("s");
        for (const user of ["ada", "bob", "eve"]) {
          expect(await idsOf(store, user)).toEqual(user === userId ? ["s"] : []);
        }
      });

      test("one that rotates meanwhile is ended under its new id by destroyAllOf", async () => {
        for (const grace of [0, MINUTE]) {
          const app = await openApp();
          const { cookie } = await signIn(app, "ada");
          const reader = await openHeld();
          const gate = reader.hold();
          const destroying = reader.store.destroyAllOf("ada");
          await gate.reached;
          await app.request(async (req) => ({ done: await app.store.rotate(req, { grace }) }), {
            cookie,
          });
          gate.open();
          await destroying;
          expect(await app.store.ids()).toEqual([]);
        }
      });
    });

    describe("maxSessions", () => {
      test("the session used least lately ends when one too many is signed in", async () => {
        const store = await open({ maxSessions: 2 });
        await store.set("b", { cookie: inMs(HOUR), userId: "ada" });
        await store.set("a", { cookie: inMs(2 * HOUR), userId: "ada" });
        await store.set("bob's", { cookie: inMs(MINUTE), userId: "bob" });
        await store.set("c", { cookie: inMs(3 * HOUR), userId: "ada" });
        expect(await idsOf(store, "ada")).toEqual(["a", "c"]);
        expect(await isStored("b")).toBe(false);
        expect(await isStored("bob's")).toBe(true);
        expect(await inspector.zCard(userKey("ada"))).toBe(2);
      });

      test("a function says how many for each user", async () => {
        const most = { ada: 1, bob: Number.POSITIVE_INFINITY };
        const store = await open({ maxSessions: (user) => most[user] });
        for (const n of [1, 2, 3]) {
          for (const userId of ["ada", "bob"]) {
            await store.set(`${userId}${n}`, { cookie: inMs(n * HOUR), userId });
          }
        }
        expect(await idsOf(store, "ada")).toEqual(["ada3"]);
        expect(await store.countOf("bob")).toBe(3);
      });

      test("a function that returns no number is a TypeError before anything is stored", async () => {
        const store = await open({ maxSessions: () => "2" });
        const error = await failure(store.set("s", { cookie: {}, userId: "ada" }));
        expect(error).toBeInstanceOf(TypeError);
        expect(error.message).toMatch(/maxSessions/);
        expect(await inspector.keys("*")).toEqual([]);
      });

      test("of sign-ins at once exactly so many live on, never none", async () => {
        const stores = [await open({ maxSessions: 1 }), await open({ maxSessions: 1 })];
        for (const round of range(20, (n) => n)) {
          const userId = `ada${round}`;
          const cookie = inMs(HOUR);
          await Promise.all(
            stores.map((store, n) => store.set(`s${round}-${n}`, { cookie, userId })),
          );
          expect(await stores[round % 2].countOf(userId)).toBe(1);
        }
      });

      test("dead entries do not count", async () => {
        const store = await open({ maxSessions: 2 });
        await store.set("a", { cookie: inMs(HOUR), userId: "ada" });
        for (const sid of ["x", "y", "z"]) await settle("ada", sid);
        await store.set("b", { cookie: inMs(2 * HOUR), userId: "ada" });
        expect(await idsOf(store, "ada")).toEqual(["a", "b"]);
      });

      test("a sign-in by update counts as well", async () => {
        const store = await open({ maxSessions: 1 });
        await store.set("a", { cookie: inMs(HOUR), userId: "ada" });
        await store.set("b", { cookie: inMs(2 * HOUR) });
        await store.update("b", (session) => {
          session.userId = "ada";
        });
        expect(await idsOf(store, "ada")).toEqual(["b"]);
        expect(await isStored("a")).toBe(false);
      });
    });

    test("reindex finds the sessions that connect-redis has stored", async () => {
      const peer = await openConnectRedis(environment);
      closing.push(() => peer.close());
      const store = await open();
      const prefixed = await open({ prefix: "peer:" });
      // A client's keyPrefix is before all keys of the store, and connect-redis has none here.
      const isPrefixed = setup.name.includes("keyPrefix");
      for (const n of range(40, (i) => i)) {
        const session = { cookie: {}, userId: n % 4 ? `user${n % 4}` : undefined };
        const text = JSON.stringify(session);
        if (isPrefixed) await inspector.set(`sess:${n}`, text);
        else await peer.store.set(`${n}`, session);
        await inspector.set(`peer:${n}`, text);
      }
      expect(await store.countOf("user1")).toBe(0);
      expect(await store.reindex()).toBe(30);
      expect(await store.countOf("user1")).toBe(10);
      expect(await prefixed.countOf("user1")).toBe(0);
      // Once more changes nothing.
      expect(await store.reindex()).toBe(30);
      expect(await store.destroyAllOf("user1")).toBe(10);
      expect(await store.length()).toBe(30);
      expect(await prefixed.length()).toBe(40);
    });

    describe("under everything else", () => {
      test("regenerate: the list has the new session only", async () => {
        const app = await openApp();
        const { cookie, sid } = await signIn(app, "ada");
        await app.request(
          (req) =>
            new Promise((resolve) => {
              req.session.regenerate(() => {
                req.session.userId = "ada";
                resolve({});
              });
            }),
          { cookie },
        );
        expect(app.sid()).not.toBe(sid);
        expect(await idsOf(app.store, "ada")).toEqual([app.sid()]);
        expect(await inspector.zCard(userKey("ada"))).toBe(1);
      });

      test("rotate: the list has the new session only; with grace both, until the old one ends", async () => {
        const app = await openApp({ events: { interval: INTERVAL } });
        const seen = watchEvents(app.store);
        const first = await signIn(app, "ada");
        const rotate = (options, cookie) =>
          app.request(async (req) => ({ done: await app.store.rotate(req, options) }), { cookie });
        await rotate(undefined, first.cookie);
        const second = { cookie: app.jar.cookie, sid: app.sid() };
        expect(await idsOf(app.store, "ada")).toEqual([second.sid]);
        expect(await inspector.zCard(userKey("ada"))).toBe(1);
        await rotate({ grace: HOUR }, second.cookie);
        const third = app.sid();
        expect(await idsOf(app.store, "ada")).toEqual([second.sid, third].sort());
        await rotate({ grace: 1 }, app.jar.cookie);
        await waitUntil("the end of grace is heard", () =>
          seen.some(([name, sid]) => name === "expired" && sid === third),
        );
        expect(await idsOf(app.store, "ada")).toEqual([second.sid, app.sid()].sort());
        expect(seen).toEqual([
          ["created", first.sid],
          ["created", second.sid],
          ["destroyed", first.sid],
          ["created", third],
          ["created", app.sid()],
          ["expired", third],
        ]);
      });

      test("a rotation that fails because the session was destroyed leaves no entry", async () => {
        const app = await openApp({ events: true });
        const seen = watchEvents(app.store);
        const { cookie, sid } = await signIn(app, "ada");
        const go = await app.slowRequest(async (req) => ({ done: await app.store.rotate(req) }), {
          cookie,
        });
        await app.store.destroyAllOf("ada");
        expect((await go()).body).toEqual({ done: false });
        expect(await inspector.keys("*")).toEqual([]);
        expect(seen.slice(0, 2)).toEqual([
          ["created", sid],
          ["destroyed", sid],
        ]);
        // The session that the rotation made and took back.
        expect(seen.slice(2).map(([name]) => name)).toEqual(["created", "destroyed"]);
      });

      test("update that changes the user moves the session, also if it runs again on a conflict", async () => {
        const store = await open({ concurrency: "merge" });
        await store.set("s", { cookie: {}, userId: "ada" });
        await settle("ada", "s");
        let runs = 0;
        const change = async (session) => {
          runs += 1;
          if (runs === 1) {
            await inspector.set("sess:s", JSON.stringify({ cookie: {}, userId: "ada", n: 1 }));
          }
          session.userId = "bob";
        };
        expect(await store.update("s", change)).toBe(true);
        expect(runs).toBe(2);
        expect(await idsOf(store, "bob")).toEqual(["s"]);
        expect(await inspector.exists(userKey("ada"))).toBe(0);
        const error = await failure(
          store.update("s", (session) => {
            session.userId = Number.NaN;
          }),
        );
        expect(error).toBeInstanceOf(TypeError);
        expect(await idsOf(store, "bob")).toEqual(["s"]);
        await store.update("s", (session) => {
          delete session.userId;
        });
        expect(await store.countOf("bob")).toBe(0);
      });

      test('concurrency "merge": a sign-in beside other saves is listed, and a sign-out too', async () => {
        const apps = [
          await openApp({ concurrency: "merge" }),
          await openApp({ concurrency: "merge" }),
        ];
        const { cookie, sid } = await signIn(apps[0], undefined, { anonymous: true });
        const save = (app, handle) => app.slowRequest(handle, { cookie });
        const others = await Promise.all(
          range(4, (n) =>
            save(apps[n % 2], (req) => {
              req.session[`k${n}`] = n;
            }),
          ),
        );
        const signsIn = await save(apps[1], (req) => {
          req.session.userId = "ada";
        });
        await Promise.all([signsIn(), ...others.map((go) => go())]);
        expect(await inspector.get(`sess:${sid}`)).toMatch(/"userId":"ada"/);
        expect(await idsOf(apps[0].store, "ada")).toEqual([sid]);
        expect(await apps[1].store.destroyAllOf("ada")).toBe(1);
        expect(await isStored(sid)).toBe(false);
      });

      test("lifetime, a custom serializer and an async one: the list is the same", async () => {
        for (const options of [
          { lifetime: 3600 },
          { serializer: { parse: JSON.parse, stringify: JSON.stringify } },
          {
            serializer: {
              parse: async (text) => v8.deserialize(Buffer.from(text, "base64")),
              stringify: (data) =>
                v8.serialize(JSON.parse(JSON.stringify(data))).toString("base64"),
            },
          },
        ]) {
          await inspector.flushDb();
          const store = await open(options);
          await store.set("s", { cookie: inMs(2 * HOUR), userId: "ada", n: [1] });
          const [listed] = await store.sessionsOf("ada");
          expect(listed).toMatchObject({ id: "s", data: { userId: "ada", n: [1] } });
          const end = Date.now() + (await inspector.pTTL("sess:s"));
          expect(Math.abs(listed.expires.getTime() - end)).toBeLessThan(MINUTE);
          await store.destroy("s");
          expect(await inspector.keys("*")).toEqual([]);
        }
      });

      test("the user's set lives on with a session that is touched, also if its life gets longer", async () => {
        const stores = [await open(), await open()];
        const session = { cookie: inMs(MINUTE), userId: "ada" };
        await stores[0].set("s", session);
        expect(await inspector.pTTL(userKey("ada"))).toBeGreaterThan(MINUTE);
        for (const ms of [HOUR, 30 * HOUR, 900 * HOUR]) {
          const loaded = await loadSession(stores[ms % 2], "s");
          loaded.cookie.maxAge = ms;
          await stores[ms % 2].touch("s", loaded);
          await waitUntil("the set lives longer than the session", async () => {
            return (await inspector.pTTL(userKey("ada"))) > (await inspector.pTTL("sess:s"));
          });
        }
        // Another process, which has not added it, adds it at its first touch.
        await inspector.del(userKey("ada"));
        const other = await open();
        await other.touch("s", await loadSession(other, "s"));
        await waitUntil("the session is listed", async () => (await other.countOf("ada")) === 1);
      });

      test("a set of a session without an end has none; one of a session that ends is not kept for ever", async () => {
        const store = await open({ disableTTL: true });
        await store.set("s", { cookie: {}, userId: "ada" });
        expect(await inspector.pTTL("sess:s")).toBe(-1);
        expect(await inspector.pTTL(userKey("ada"))).toBe(-1);
        const other = await open();
        await other.set("s", { cookie: inMs(HOUR), userId: "bob" });
        expect(await inspector.pTTL(userKey("bob"))).toBeGreaterThan(HOUR);
        // A shorter session does not end the set of a longer one.
        const before = await inspector.pTTL(userKey("bob"));
        await other.set("short", { cookie: inMs(MINUTE), userId: "bob" });
        expect(await inspector.pTTL(userKey("bob"))).toBeGreaterThan(before - MINUTE);
      });

      test("a save of a session that is over deletes it and leaves no entry", async () => {
        const store = await open({ events: true });
        const seen = watchEvents(store);
        await store.set("never", { cookie: inMs(-1), userId: "ada" });
        expect(await inspector.keys("*")).toEqual([]);
        await store.set("s", { cookie: inMs(HOUR), userId: "ada" });
        const session = await loadSession(store, "s");
        session.cookie.expires = new Date(Date.now() - 1);
        await store.set("s", session);
        expect(await inspector.keys("*")).toEqual([]);
        await emitted();
        expect(seen).toEqual([
          ["created", "s"],
          ["destroyed", "s"],
        ]);
      });

      test("clear removes the index with the sessions, and nothing else", async () => {
        const [store, other] = [await open({ events: true }), await open({ prefix: "other:" })];
        for (const each of [store, other]) await each.set("s", { cookie: {}, userId: "ada" });
        await inspector.set("idx:of the app", "1");
        await store.clear();
        expect((await inspector.keys("*")).sort()).toEqual(
          ["idx:of the app", userKey("ada", "other:"), "other:s"].sort(),
        );
        await store.set("s", { cookie: {}, userId: "ada" });
        expect(await idsOf(store, "ada")).toEqual(["s"]);
      });

      test("a prefix that is changed at run time has an index of its own", async () => {
        const store = await open();
        await store.set("s", { cookie: {}, userId: "ada" });
        store.prefix = "new:";
        expect(await store.sessionsOf("ada")).toEqual([]);
        await store.set("t", { cookie: {}, userId: "ada" });
        expect(await idsOf(store, "ada")).toEqual(["t"]);
        expect(await indexKeys()).toEqual([userKey("ada", "new:"), userKey("ada")].sort());
        expect(await store.destroyAllOf("ada")).toBe(1);
        store.prefix = "sess:";
        expect(await idsOf(store, "ada")).toEqual(["s"]);
        // What is saved is stored under the prefix of the call.
        const set = store.set("u", { cookie: {}, userId: "ada" });
        store.prefix = "new:";
        await set;
        store.prefix = "sess:";
        expect(await idsOf(store, "ada")).toEqual(["s", "u"]);
        store.prefix = "";
        const error = await failure(store.set("v", { cookie: {}, userId: "ada" }));
        expect(error).toBeInstanceOf(TypeError);
        expect(error.message).toMatch(/prefix/);
      });

      test("ids, length and all never show the index", async () => {
        const store = await open({ events: true });
        for (const sid of ["a", "b"]) await store.set(sid, { cookie: {}, userId: "ada" });
        expect((await store.ids()).sort()).toEqual(["a", "b"]);
        expect(await store.length()).toBe(2);
        expect((await store.all()).map(({ id }) => id).sort()).toEqual(["a", "b"]);
        // Nor those of a store whose prefix is that of the index.
        const other = await open({ user: undefined, prefix: "idx:" });
        expect(await other.ids()).toEqual([]);
        expect(await other.all()).toEqual([]);
        await other.clear();
        expect(await store.countOf("ada")).toBe(2);
      });

      test("what is stored is what a store without the options stores", async () => {
        const session = { cookie: inMs(HOUR), userId: "ada", n: { m: [1, null] } };
        await (await open({ user: undefined, prefix: "plain:" })).set("s", session);
        await (await open({ events: true, maxSessions: 3 })).set("s", session);
        expect(await inspector.get("sess:s")).toBe(await inspector.get("plain:s"));
      });
    });

    describe("events", () => {
      /** Two stores, as in two processes, with what they emit. */
      async function openTwo(options) {
        const events = { interval: INTERVAL };
        const stores = [await open({ events, ...options }), await open({ events, ...options })];
        return { stores, seen: stores.map(watchEvents) };
      }

      test("created and destroyed are emitted once, by the process that did it", async () => {
        const { stores, seen } = await openTwo();
        await stores[0].set("s", { cookie: {}, userId: "ada" });
        const session = await loadSession(stores[1], "s");
        session.n = 1;
        await stores[1].set("s", session);
        await stores[1].set("s", { cookie: {}, userId: "ada" });
        await Promise.all(stores.map((store) => store.destroy("s")));
        await stores[0].destroy("s");
        await emitted();
        expect(seen[0][0]).toEqual(["created", "s"]);
        const all = seen.flat();
        expect(all.filter(([name]) => name === "created")).toHaveLength(1);
        expect(all.filter(([name]) => name === "destroyed")).toHaveLength(1);
        expect(await inspector.keys("*")).toEqual([]);
      });

      test("the sessions that destroyAllOf and maxSessions end are destroyed", async () => {
        const { stores, seen } = await openTwo({ maxSessions: 2 });
        for (const n of [1, 2, 3]) {
          await stores[0].set(`s${n}`, { cookie: inMs(n * HOUR), userId: "ada" });
        }
        await stores[1].destroyAllOf("ada");
        await emitted();
        expect(seen[0]).toEqual([
          ["created", "s1"],
          ["created", "s2"],
          ["created", "s3"],
          ["destroyed", "s1"],
        ]);
        expect([...seen[1]].sort()).toEqual([
          ["destroyed", "s2"],
          ["destroyed", "s3"],
        ]);
      });

      test("each expiry is heard once, in one of the processes, also of a session without a user", async () => {
        const { stores, seen } = await openTwo();
        const sids = range(40, (n) => `s${n}`);
        await Promise.all(
          sids.map((sid, n) =>
            stores[n % 2].set(sid, { cookie: inMs(300), ...(n % 3 && { userId: "ada" }) }),
          ),
        );
        await stores[0].set("lives", { cookie: inMs(HOUR) });
        const expired = () => seen.flat().filter(([name]) => name === "expired");
        await waitUntil("all are heard", () => expired().length >= sids.length);
        // A marker that comes after them: whatever was to be emitted twice is by then.
        await stores[0].set("marker", { cookie: inMs(50) });
        await waitUntil("the marker is heard", () => expired().some(([, sid]) => sid === "marker"));
        expect(
          expired()
            .map(([, sid]) => sid)
            .sort(),
        ).toEqual([...sids, "marker"].sort());
        expect(await inspector.exists("sess:lives")).toBe(1);
      });

      test("a session that was touched or saved later expires later", async () => {
        const { stores, seen } = await openTwo();
        await stores[0].set("touched", { cookie: inMs(100) });
        const session = await loadSession(stores[0], "touched");
        session.cookie.maxAge = HOUR;
        await stores[0].touch("touched", session);
        await stores[0].set("marker", { cookie: inMs(200) });
        await waitUntil("the marker is heard", () =>
          seen.flat().some(([name, sid]) => name === "expired" && sid === "marker"),
        );
        expect(seen.flat().some(([name, sid]) => name === "expired" && sid === "touched")).toBe(
          false,
        );
        expect(await isStored("touched")).toBe(true);
      });

      test.each(["touch", "set"])(
        "a session whose life %s makes shorter is heard at its end",
        async (method) => {
          const { stores, seen } = await openTwo();
          await stores[0].set("s", { cookie: inMs(HOUR), userId: "ada" });
          const session = await loadSession(stores[1], "s");
          session.cookie.maxAge = 100;
          await stores[1][method]("s", session);
          await waitUntil("it is heard", () =>
            seen.flat().some(([name, sid]) => name === "expired" && sid === "s"),
          );
        },
      );

      test("one that was evicted or deleted by hand counts as expired when it is due", async () => {
        const { stores, seen } = await openTwo();
        await stores[0].set("s", { cookie: inMs(200) });
        await inspector.del("sess:s");
        const heard = (sid) =>
          seen.flat().filter((event) => event[1] === sid && event[0] !== "created");
        await waitUntil("it is heard", () => heard("s").length > 0);
        expect(heard("s")).toEqual([["expired", "s"]]);
        // Also if it is destroyed when it is gone.
        await stores[0].set("t", { cookie: inMs(200), userId: "ada" });
        await inspector.del("sess:t");
        await stores[1].destroy("t");
        await waitUntil("it is heard", () => heard("t").length > 0);
        expect(heard("t")).toEqual([["expired", "t"]]);
      });

      test("events without user work, and its methods say what is missing", async () => {
        const { stores, seen } = await openTwo({ user: undefined });
        await stores[0].set("s", { cookie: {} });
        await stores[1].destroy("s");
        await emitted();
        expect(seen).toEqual([[["created", "s"]], [["destroyed", "s"]]]);
        expect(await inspector.keys("*")).toEqual([]);
        for (const method of ["sessionsOf", "countOf", "destroyAllOf", "reindex"]) {
          const args = method === "reindex" ? [] : ["ada"];
          const error = await failure(stores[0][method](...args));
          expect(error).toBeInstanceOf(TypeError);
          expect(error.message).toMatch(new RegExp(`^${method}: .*option user`));
        }
      });

      test("nothing is emitted after close", async () => {
        const { stores, seen } = await openTwo();
        await Promise.all(range(50, (n) => stores[0].set(`s${n}`, { cookie: inMs(150) })));
        await stores[0].close();
        const before = seen[0].length;
        await waitUntil("the other hears of them", () => seen[1].length >= 1);
        await stores[1].close();
        const heard = seen[1].length;
        await emitted();
        expect([seen[0].length, seen[1].length]).toEqual([before, heard]);
      });
    });
  });
}

module.exports = { describeSessionIndex, inMs, userKey, watchEvents };
