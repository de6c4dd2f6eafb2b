"use strict";

// Old versions of express-session, each in a small app: with the class that the module returns if it is
// called with express-session, as in connect-redis 6 and older, or with RedisStore itself.

const http = require("node:http");
const express = require("express");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { openInspector } = require("../support/inspector.js");
const connectRedis = require("../..");

const VERSIONS = ["express-session-1.0", "express-session-1.15", "express-session-1.16"];

let server;
let inspector;

beforeAll(async () => {
  server = await startRedisServer();
  inspector = await openInspector(server);
});

afterAll(async () => {
  await inspector?.close();
  await server?.stop();
});

beforeEach(() => inspector.flushDb());

/** Starts an app; requests are sent one after the other, with the last cookie. */
async function startApp(session, store) {
  const middleware = session({
    store,
    secret: "s",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 60_000 },
  });
  const answers = {
    "/login": (req, done) => {
      req.session.user = "Ada";
      done();
    },
    "/me": (_req, done) => done(),
    "/save": (req, done) => {
      req.session.n = (req.session.n ?? 0) + 1;
      req.session.save(done);
    },
    "/reload": (req, done) => req.session.reload((error) => done(error)),
    "/regenerate": (req, done) => req.session.regenerate(done),
    "/logout": (req, done) => req.session.destroy(done),
  };
  const app = express();
  app.use((req, res) => {
    // What the package cookie-parser adds; express-session 1.0 needs it.
    const [key, value] = (req.headers.cookie ?? "").split("=");
    req.cookies = key ? { [key]: decodeURIComponent(value) } : {};
    req.signedCookies = {};
    const end = (error) => {
      const { user = null, n = null } = req.session ?? {};
      res.end(JSON.stringify({ error: error?.message, user, n, sid: req.sessionID }));
    };
    middleware(req, res, (error) => (error ? end(error) : answers[req.url](req, end)));
  });
  const listening = http.createServer(app);
  await new Promise((resolve) => listening.listen(0, "127.0.0.1", resolve));
  let cookie = "";
  return {
    async request(path) {
      const response = await fetch(`http://127.0.0.1:${listening.address().port}${path}`, {
        headers: { cookie },
      });
      cookie = response.headers.get("set-cookie")?.split(";")[0] ?? cookie;
      return response.json();
    },
    close() {
      listening.closeAllConnections();
      return new Promise((resolve) => listening.close(resolve));
    },
  };
}

describe.each(VERSIONS)("%s", (name) => {
  const session = require(name);

  test("the module called with it returns the class, whose stores are instances of its Store", () => {
    const Store = connectRedis(session);
    expect(Store).toBe(connectRedis(session));
    expect(Store.prototype).toBeInstanceOf(session.Store);
    expect(Store.RedisStore).toBe(Store);
  });

  test.each([
    ["the class for it", () => connectRedis(session)],
    ["the class itself", () => connectRedis.RedisStore],
  ])("an app with %s logs in, saves, reloads, regenerates and logs out", async (_name, classOf) => {
    const Store = classOf();
    const store = new Store({ url: server.url });
    const app = await startApp(session, store);
    try {
      const { sid } = await app.request("/login");
      expect(await app.request("/me")).toMatchObject({ user: "Ada", sid });
      expect(await inspector.pTTL(`sess:${sid}`)).toBeGreaterThan(50_000);
      expect(await app.request("/save")).toMatchObject({ user: "Ada", n: 1 });
      expect(await app.request("/reload")).toMatchObject({ user: "Ada", n: 1 });
      const regenerated = await app.request("/regenerate");
      expect(regenerated.user).toBeNull();
      expect(regenerated.sid).not.toBe(sid);
      expect(await inspector.exists(`sess:${sid}`)).toBe(0);
      await app.request("/login");
      await app.request("/logout");
      expect(await inspector.keys("*")).toEqual([]);
    } finally {
      await app.close();
      await store.close();
    }
  });
});

test("calling the module returns the class, as code for connect-redis 6 and older expects", () => {
  const session = require("express-session");
  expect(connectRedis(session)).toBe(connectRedis);
  expect(connectRedis.default(session)).toBe(connectRedis);
  // At the time of connect-redis 1, connect itself had the session middleware.
  expect(connectRedis({ session })).toBe(connectRedis);
  expect(new (connectRedis(session))({ url: server.url }).close()).toBeInstanceOf(Promise);
  for (const other of [undefined, {}, { client: {} }, "x"]) {
    expect(() => connectRedis(other)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_INVALID_ARG_VALUE" }),
    );
  }
});
