"use strict";

// The store in real use: behind express-session in an Express 5 app, with its own connection and with
// an app's client.

const session = require("express-session");
const { RedisStore } = require("..");
const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { startApp } = require("./support/app.js");
const { openInspector } = require("./support/inspector.js");

/** The options of a store, and a function that closes them. */
const SETUPS = [
  ["by url", "native", (url) => ({ options: { url }, close: () => {} })],
  ["beside node-redis", "native", async (url) => withClient(await openNodeRedis(url))],
  ["beside ioredis", "native", async (url) => withClient(await openIoredis(url))],
  [
    "through node-redis",
    "client",
    async (url) => withClient(await openNodeRedis(url), { transport: "client" }),
  ],
  [
    "through ioredis",
    "client",
    async (url) => withClient(await openIoredis(url), { transport: "client" }),
  ],
];

/** Codes of a client's errors for a server that is away, or that does not reply in time. */
const DOWN = /^(ECONNREFUSED|ECONNRESET|ETIMEDOUT|EPIPE)$/;

async function openNodeRedis(url) {
  const client = createClient({ url });
  client.on("error", () => {});
  await client.connect();
  return client;
}

async function openIoredis(url) {
  const client = new Redis(url);
  client.on("error", () => {});
  // Until the client is ready, it carries the calls itself.
  await new Promise((resolve) => {
    client.once("ready", resolve);
    client.once("close", resolve);
  });
  return client;
}

function withClient(client, options) {
  return {
    options: { client, ...options },
    close: () => (client.destroy ? client.destroy() : client.disconnect()),
  };
}

describe.each(SETUPS)("%s", (_name, transport, open) => {
  let server;
  let inspector;
  let store;
  let app;
  let opened;

  /** Opens the options of a store, closed after the test. */
  async function openFor(redis) {
    opened = await open(redis.url);
    return opened.options;
  }

  beforeAll(async () => {
    server = await startRedisServer();
    inspector = await openInspector(server);
  });

  afterAll(async () => {
    await inspector?.close();
    await server?.stop();
  });

  afterEach(async () => {
    await app?.close();
    await store?.close();
    await opened?.close();
    await inspector.flushDb();
    app = store = opened = undefined;
  });

  /** Starts an app with sign-in, visits and sign-out; `routes` adds more routes. */
  async function start({ storeOptions, sessionOptions, routes = () => {} } = {}) {
    store = new RedisStore({ ...(await openFor(server)), ...storeOptions });
    app = await startApp(store, sessionOptions, (express) => {
      express.get("/login", (req, res) => {
        req.session.user = "Ada";
        res.json({ sid: req.sessionID });
      });
      express.get("/me", (req, res) => res.json({ user: req.session.user ?? null }));
      express.get("/visit", (req, res) => {
        req.session.visits = (req.session.visits ?? 0) + 1;
        res.json({ visits: req.session.visits });
      });
      express.get("/logout", (req, res, next) =>
        req.session.destroy((error) => (error ? next(error) : res.json({}))),
      );
      routes(express);
    });
  }

  /** A gate that a route can wait at, and the test can open. */
  function gate() {
    let open;
    let arrive;
    const opened = new Promise((resolve) => (open = resolve));
    const arrived = new Promise((resolve) => (arrive = resolve));
    return {
      open,
      arrived,
      pass() {
        arrive();
        return opened;
      },
    };
  }

  test("a user signs in, is recognised, and signs out", async () => {
    await start();
    expect((await app.request("/me")).body).toEqual({ user: null });
    expect(await inspector.dbSize()).toBe(0);
    await app.request("/login");
    expect((await app.request("/me")).body).toEqual({ user: "Ada" });
    for (const visits of [1, 2, 3]) expect((await app.request("/visit")).body).toEqual({ visits });
    const stored = JSON.parse(await inspector.get(`sess:${app.sid()}`));
    expect(stored).toMatchObject({ user: "Ada", visits: 3, cookie: { path: "/" } });
    await app.request("/logout");
    expect(await inspector.dbSize()).toBe(0);
    expect((await app.request("/me")).body).toEqual({ user: null });
  });

  test("a rolling session lives on with each request, and its cookie with it", async () => {
    await start({ sessionOptions: { rolling: true, cookie: { maxAge: 60_000 } } });
    await app.request("/login");
    const key = `sess:${app.sid()}`;
    await inspector.pExpire(key, 5_000);
    const { set } = await app.request("/me");
    expect(await inspector.pTTL(key)).toBeGreaterThan(50_000);
    expect(Date.parse(/Expires=([^;]+)/.exec(set)[1]) - Date.now()).toBeGreaterThan(50_000);
  });

  test("a session that did not change is kept alive by touch", async () => {
    await start({ sessionOptions: { cookie: { maxAge: 60_000 } } });
    await app.request("/login");
    const key = `sess:${app.sid()}`;
    const stored = await inspector.get(key);
    await inspector.pExpire(key, 5_000);
    await app.request("/me");
    expect(await inspector.pTTL(key)).toBeGreaterThan(50_000);
    expect(await inspector.get(key)).toBe(stored);
  });

  test("regenerate gives a new sid, and the old one opens nothing", async () => {
    await start({
      routes: (express) =>
        express.get("/regenerate", (req, res, next) =>
          req.session.regenerate((error) => {
            if (error) return next(error);
            req.session.user = "Grace";
            res.json({});
          }),
        ),
    });
    await app.request("/login");
    const before = { cookie: app.jar.cookie, sid: app.sid() };
    await app.request("/regenerate");
    expect(app.sid()).not.toBe(before.sid);
    expect((await app.request("/me")).body).toEqual({ user: "Grace" });
    expect(await inspector.exists(`sess:${before.sid}`)).toBe(0);
    expect((await app.request("/me", { cookie: before.cookie })).body).toEqual({ user: null });
  });

  describe("logout is final", () => {
    async function logoutDuringSlowRequest(storeOptions) {
      const slow = gate();
      await start({
        storeOptions,
        routes: (express) =>
          express.get("/slow", async (req, res) => {
            await slow.pass();
            req.session.late = true;
            res.json({});
          }),
      });
      await app.request("/login");
      const sid = app.sid();
      const discarded = jest.fn();
      store.on("discarded", discarded);
      const answer = app.request("/slow");
      await slow.arrived;
      await app.request("/logout");
      slow.open();
      expect((await answer).status).toBe(200);
      await new Promise(setImmediate);
      return { exists: await inspector.exists(`sess:${sid}`), discarded, sid };
    }

    test("a slow request does not bring a destroyed session back", async () => {
      const { exists, discarded, sid } = await logoutDuringSlowRequest();
      expect(exists).toBe(0);
      expect(discarded.mock.calls).toEqual([[sid]]);
    });

    test("unless resurrect restores connect-redis's behaviour", async () => {
      const { exists, discarded } = await logoutDuringSlowRequest({ resurrect: true });
      expect(exists).toBe(1);
      expect(discarded).not.toHaveBeenCalled();
    });

    test("a touch does not bring a destroyed session back either", async () => {
      const slow = gate();
      await start({
        routes: (express) =>
          express.get("/slow", async (_req, res) => {
            await slow.pass();
            res.json({});
          }),
      });
      await app.request("/login");
      const answer = app.request("/slow");
      await slow.arrived;
      await app.request("/logout");
      slow.open();
      expect((await answer).status).toBe(200);
      expect(await inspector.dbSize()).toBe(0);
    });

    test("only a session that get has returned counts as loaded; all others are written unconditionally", async () => {
      await start();
      const make = (sid, data) =>
        store.createSession({ sessionID: sid, sessionStore: store }, data);
      // Made by the app from its own data, as socket servers and migrations do.
      const made = make("a", { cookie: { maxAge: 60_000 } });
      await new Promise((resolve, reject) =>
        made.save((error) => (error ? reject(error) : resolve())),
      );
      expect(await inspector.exists("sess:a")).toBe(1);
      const read = await store.get("a");
      await store.destroy("a");
      // A copy of a loaded session does not count as loaded; a loaded one counts only under its sid.
      await store.set("copy", make("copy", { ...read }));
      await store.set("other", make("other", read));
      await store.set("direct", read);
      expect((await inspector.keys("sess:*")).sort()).toEqual([
        "sess:copy",
        "sess:direct",
        "sess:other",
      ]);
      await store.set("a", make("a", read));
      expect(await inspector.exists("sess:a")).toBe(0);
      await store.set("a", read);
      expect(await inspector.exists("sess:a")).toBe(1);
    });

    test.each(["callback", "promise"])(
      "a session that a subclass's get takes from elsewhere is stored by the next save (%s)",
      async (how) => {
        const elsewhere = new Map([["old", { cookie: {}, user: "Ada" }]]);
        class Migrating extends RedisStore {
          get(sid, cb) {
            if (how === "promise") {
              const found = super.get(sid).then((data) => data ?? elsewhere.get(sid) ?? null);
              return found.then((data) => cb(null, data), cb);
            }
            return super.get(sid, (error, data) => cb(error, data ?? elsewhere.get(sid)));
          }
        }
        store = new Migrating(await openFor(server));
        const load = (sid) =>
          new Promise((resolve, reject) =>
            store.load(sid, (error, sess) => (error ? reject(error) : resolve(sess))),
          );
        const save = (session) =>
          new Promise((resolve, reject) =>
            session.save((error) => (error ? reject(error) : resolve())),
          );
        await save(await load("old"));
        expect(JSON.parse(await inspector.get("sess:old")).user).toBe("Ada");
        const again = await load("old");
        await store.destroy("old");
        await save(again);
        expect(await inspector.exists("sess:old")).toBe(0);
      },
    );

    test("a session that was loaded from another prefix is stored", async () => {
      class Moving extends RedisStore {
        async get(sid, cb) {
          const found = await super.get(sid);
          if (found !== null) return cb(null, found);
          this.prefix = "old:";
          const before = super.get(sid);
          this.prefix = "sess:";
          return cb(null, await before);
        }
      }
      store = new Moving(await openFor(server));
      await inspector.set("old:a", JSON.stringify({ cookie: {}, user: "Ada" }));
      const loaded = await new Promise((resolve, reject) =>
        store.load("a", (error, sess) => (error ? reject(error) : resolve(sess))),
      );
      expect(await store.set("a", loaded)).toBeNull();
      expect(JSON.parse(await inspector.get("sess:a"))).toMatchObject({ user: "Ada" });
    });

    test("with a subclass that stores under hashed sids, destroyed sessions also stay destroyed", async () => {
      const hash = (sid) => `#${sid}`;
      class Hashed extends RedisStore {
        get(sid, cb) {
          return super.get(hash(sid), cb);
        }
        set(sid, sess, cb) {
          return super.set(hash(sid), sess, cb);
        }
        destroy(sid, cb) {
          return super.destroy(hash(sid), cb);
        }
      }
      store = new Hashed(await openFor(server));
      await store.set("a", { cookie: {} });
      const load = () =>
        new Promise((resolve, reject) =>
          store.load("a", (error, sess) => (error ? reject(error) : resolve(sess))),
        );
      const loaded = await load();
      await store.set("a", loaded);
      expect(await inspector.exists("sess:#a")).toBe(1);
      await store.destroy("a");
      expect(await store.set("a", loaded)).toBeNull();
      expect(await inspector.dbSize()).toBe(0);
    });

    test("discarded is no error, with a callback or without", async () => {
      await start();
      const loaded = store.createSession({ sessionID: "a", sessionStore: store }, { cookie: {} });
      expect(await store.set("a", loaded)).toBeNull();
      expect(
        await new Promise((resolve) => store.set("a", loaded, (...args) => resolve(args))),
      ).toEqual([null, null]);
    });
  });

  test("a session that was only touched can be saved later (connect-redis #259)", async () => {
    await start({
      sessionOptions: { rolling: true, cookie: { maxAge: 1_500 } },
      routes: (express) =>
        express.get("/save", (req, res, next) => {
          // Saved before express-session touches the session at the end of the request.
          req.session.save((error) => (error ? next(error) : res.json({})));
        }),
    });
    await app.request("/login");
    const key = `sess:${app.sid()}`;
    const { cookie } = JSON.parse(await inspector.get(key));
    // Touches until the stored expiry is in the past.
    while (Date.now() <= Date.parse(cookie.expires)) {
      expect((await app.request("/me")).body).toEqual({ user: "Ada" });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(JSON.parse(await inspector.get(key)).cookie).toEqual(cookie);
    expect((await app.request("/save")).status).toBe(200);
    expect((await app.request("/me")).body).toEqual({ user: "Ada" });
  });

  const inMs = transport === "native" ? test : test.skip; // a client gets whole seconds
  inMs("a maxAge of a few milliseconds ends the session in a few milliseconds", async () => {
    await start({ sessionOptions: { cookie: { maxAge: 40 } } });
    await app.request("/login");
    const key = `sess:${app.sid()}`;
    expect(await inspector.pTTL(key)).toBeLessThanOrEqual(40);
    while (await inspector.exists(key)) await new Promise(setImmediate);
    expect((await app.request("/me")).body).toEqual({ user: null });
  });

  test.each([
    ["no cookie", {}],
    ["a cookie that is null", { cookie: null }],
    ["a cookie that is a string", { cookie: "connect.sid" }],
    ["an expiry that is no date", { cookie: { expires: "soon", originalMaxAge: 60_000 } }],
    ["an expiry that is a number", { cookie: { expires: 4_000_000_000_000 } }],
    ["a maxAge that is a string", { cookie: { maxAge: "60000", originalMaxAge: "60000" } }],
    ["a path and a domain of other types", { cookie: { path: 5, domain: {} } }],
    ["a path that no header can hold", { cookie: { path: "/\n" } }],
    ["an unknown sameSite", { cookie: { sameSite: "some", priority: "most" } }],
    ["members with the names of methods", { cookie: { serialize: 1, toJSON: 2, data: 3 } }],
    ["a maxAge beyond all dates", { cookie: { originalMaxAge: 1e20, maxAge: 8.7e15 } }],
    ["a priority that is a flag", { cookie: { priority: true, sameSite: ["lax"] } }],
  ])("a record of another program with %s is served, and keeps its data", async (_what, record) => {
    await start({ sessionOptions: { rolling: true } });
    await app.request("/login");
    const sid = app.sid();
    await inspector.set(`sess:${sid}`, JSON.stringify({ ...record, user: "Ada", theirs: [1, {}] }));
    expect(await app.request("/me")).toMatchObject({ status: 200, body: { user: "Ada" } });
    expect(await app.request("/visit")).toMatchObject({ status: 200, body: { visits: 1 } });
    expect(app.sid()).toBe(sid);
    const stored = JSON.parse(await inspector.get(`sess:${sid}`));
    expect(stored).toMatchObject({ user: "Ada", theirs: [1, {}], visits: 1 });
    expect(app.errors).toEqual([]);
  });

  test.each([
    { originalMaxAge: 60_000, expires: 4_000_000_000_000 },
    { originalMaxAge: 60_000, expires: "soon" },
    { originalMaxAge: 60_000, path: 5 },
    { originalMaxAge: 60_000, sameSite: "" },
  ])("a repaired cookie keeps HttpOnly and Path (%j)", async (cookie) => {
    await start({ sessionOptions: { rolling: true } });
    await app.request("/login");
    await inspector.set(`sess:${app.sid()}`, JSON.stringify({ cookie, user: "Ada" }));
    const { set } = await app.request("/visit");
    expect(set).toMatch(/; Path=\//);
    expect(set).toMatch(/; HttpOnly/);
  });

  test.each(["5", '"text"', "true", "[1]"])(
    "a record %s, which is no session, stays, and the request gets a new session",
    async (record) => {
      await start();
      await app.request("/login");
      const sid = app.sid();
      await inspector.set(`sess:${sid}`, record);
      expect(await app.request("/visit")).toMatchObject({ status: 200, body: { visits: 1 } });
      expect(await app.request("/visit")).toMatchObject({ status: 200, body: { visits: 2 } });
      expect(app.sid()).not.toBe(sid);
      expect(await inspector.get(`sess:${sid}`)).toBe(record);
    },
  );

  test("two requests at the same time both find their session", async () => {
    await start();
    await app.request("/login");
    const answers = await Promise.all([
      app.request("/visit"),
      app.request("/visit"),
      app.request("/me"),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers[2].body).toEqual({ user: "Ada" });
  });

  test("load and reload read the session again", async () => {
    await start({
      routes: (express) =>
        express.get("/reload", (req, res, next) => {
          req.session.user = "changed in memory";
          req.session.reload((error) =>
            error ? next(error) : res.json({ user: req.session.user }),
          );
        }),
    });
    await app.request("/login");
    expect((await app.request("/reload")).body).toEqual({ user: "Ada" });
    const loaded = await new Promise((resolve, reject) =>
      store.load(app.sid(), (error, sess) => (error ? reject(error) : resolve(sess))),
    );
    expect(loaded).toBeInstanceOf(session.Session);
    expect(loaded.user).toBe("Ada");
  });

  test("errors of the store reach next(err)", async () => {
    await start();
    await app.request("/login");
    const key = `sess:${app.sid()}`;
    await inspector.del(key);
    await inspector.lPush(key, "not a session");
    const answer = await app.request("/me");
    expect(answer).toMatchObject({ status: 500, body: { code: "WRONGTYPE" } });
    expect(app.errors[0]).toBeInstanceOf(Error);
    expect(app.errors[0].message).not.toContain(app.sid());
  });

  test("with Redis down a request gets its error in time, and sessions return with Redis", async () => {
    const own = await startRedisServer();
    store = new RedisStore({ ...(await openFor(own)), commandTimeout: 300 });
    app = await startApp(store, {}, (express) => {
      express.get("/login", (req, res) => {
        req.session.user = "Ada";
        res.json({});
      });
      express.get("/me", (req, res) => res.json({ user: req.session.user ?? null }));
    });
    await app.request("/login");
    await own.stop();
    const answer = await app.request("/me");
    const hasClient = "client" in opened.options;
    expect(answer).toMatchObject({
      status: 500,
      body: { code: hasClient ? expect.stringMatching(DOWN) : "ECONNREFUSED" },
    });
    expect(answer.body.error).toContain(`127.0.0.1:${own.port}`);
    expect(answer.body.error).toContain(hasClient ? "Redis client" : "no connection");

    const again = await startRedisServer({ port: own.port });
    await waitUntil("Redis is back", () => store.status === "ready");
    expect((await app.request("/login")).status).toBe(200);
    expect((await app.request("/me")).body).toEqual({ user: "Ada" });
    await again.stop();
  });

  describe("onUnavailable", () => {
    /** Starts an app that reports whether it has a session; a waiting call would exceed the test's limit. */
    async function startWith(onUnavailable, redis) {
      store = new RedisStore({
        ...(await openFor(redis)),
        onUnavailable,
        commandTimeout: 60_000,
      });
      app = await startApp(store, {}, (express) => {
        express.get("/login", (req, res) => {
          if (req.session) req.session.user = "Ada";
          res.json({ hasSession: req.session !== undefined });
        });
        express.get("/me", (req, res) =>
          res.json({ hasSession: req.session !== undefined, user: req.session?.user ?? null }),
        );
      });
    }

    /** Sends requests until the app has noticed that Redis is away, or back. */
    async function askUntil(holds) {
      let answer;
      await waitUntil("the app has noticed", async () => {
        answer = await app.request("/me");
        return holds(answer);
      });
      return answer;
    }

    test("error gives a request its 500 at once, and sessions return with Redis", async () => {
      const own = await startRedisServer({ args: ["--appendonly", "yes"] });
      await startWith("error", own);
      await app.request("/login");
      expect((await app.request("/me")).body.user).toBe("Ada");
      await own.kill();
      const answer = await askUntil(({ status }) => status !== 200);
      expect(answer).toMatchObject({ status: 500, body: { code: expect.stringMatching(DOWN) } });
      expect(answer.body.error).toContain(`127.0.0.1:${own.port}`);
      expect(answer.body.error).not.toContain("commandTimeout");
      const direct = await Promise.allSettled([store.get("a"), store.set("a", {}), store.length()]);
      for (const { reason } of direct) expect(reason.code).toMatch(DOWN);
      await own.restart();
      expect((await askUntil(({ status }) => status === 200)).body.user).toBe("Ada");
      await own.stop();
    });

    test("skip serves requests without a session, and with one when Redis is back", async () => {
      const own = await startRedisServer({ args: ["--appendonly", "yes"] });
      await startWith("skip", own);
      await app.request("/login");
      await own.kill();
      await askUntil(({ body }) => body.hasSession === false);
      for (let n = 0; n < 5; n += 1) {
        expect(await app.request("/me")).toMatchObject({
          status: 200,
          body: { hasSession: false },
        });
      }
      await own.restart();
      expect((await askUntil(({ body }) => body.hasSession)).body.user).toBe("Ada");
      await own.stop();
    });

    test("skip holds for an app that starts while Redis is away", async () => {
      const own = await startRedisServer();
      const options = await openFor(own);
      await own.kill();
      store = new RedisStore({ ...options, onUnavailable: "skip", commandTimeout: 60_000 });
      const emitted = new Promise((resolve) => store.once("disconnect", resolve));
      await store.get("a").catch(() => {});
      await emitted;
      // The server listens only after the app has started.
      app = await startApp(store, {}, (express) => {
        express.get("/me", (req, res) => res.json({ hasSession: req.session !== undefined }));
      });
      await askUntil(({ body }) => body.hasSession === false);
      await own.restart();
      await askUntil(({ body }) => body.hasSession);
      await own.stop();
    });
  });
});
