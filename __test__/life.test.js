"use strict";

// Options for the life of a session that connect-redis does not have: `touchAfter` and
// `touch: "background"` save commands and waiting, `lifetime` ends even an active session.

const { createClient } = require("redis");
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("..");
const { waitUntil } = require("../scripts/redis-server.js");
const { useRedis } = require("./support/life-cycle.js");

const CREATED = "connect-redis-rs:created";
let server;
let inspector;
let opened;

useRedis((used) => {
  ({ server, inspector, closing: opened } = used);
});

async function client() {
  const made = createClient({ url: server.url });
  made.on("error", () => {});
  opened.push(() => made.destroy());
  await made.connect();
  return made;
}

/** The ways to reach Redis; each test runs with all of them. */
const SETUPS = [
  ["url", async () => ({ url: server.url })],
  ["beside a client", async () => ({ client: await client() })],
  ["through a client", async () => ({ client: await client(), transport: "client" })],
];

function makeStore(options) {
  const store = new RedisStore(options);
  opened.push(() => store.close());
  return store;
}

/** Loads a session as express-session does; resolves to undefined if it does not exist. */
async function load(store, sid) {
  const data = await store.get(sid);
  if (!data) return undefined;
  return store.createSession({ sessionID: sid, sessionStore: store }, data);
}

const inMs = (ms) => ({
  originalMaxAge: ms,
  expires: new Date(Date.now() + ms).toISOString(),
  httpOnly: true,
  path: "/",
});

/** The number of calls of each session command since `since`. */
async function commandsSince(since = {}) {
  const text = await inspector.info("commandstats");
  const all = [...text.matchAll(/^cmdstat_(\w+):calls=(\d+)/gm)];
  const counts = Object.fromEntries(all.map(([, name, count]) => [name, Number(count)]));
  const names = ["get", "pttl", "pexpire", "expire", "persist", "set", "del"];
  const entries = names.map((name) => [name, (counts[name] ?? 0) - (since[name] ?? 0)]);
  return since.get === undefined
    ? Object.fromEntries(entries)
    : Object.fromEntries(entries.filter(([, count]) => count > 0));
}

/** Serves an app with this store; the returned function sends a request with the last cookie, and
 * resolves to the status and the text of the response. */
async function serve(store, options, route) {
  const app = express();
  app.use(
    session({
      store,
      secret: "s",
      resave: false,
      saveUninitialized: false,
      rolling: true,
      ...options,
    }),
  );
  app.get("/login", (req, res) => {
    req.session.user = "ada";
    res.send("in");
  });
  app.get("/", route ?? ((req, res) => res.send(String(req.session.user))));
  const listening = await new Promise((resolve) => {
    const made = app.listen(0, "127.0.0.1", () => resolve(made));
  });
  opened.push(() => new Promise((resolve) => listening.close(resolve)));
  let cookie = "";
  return async (path) => {
    const response = await fetch(`http://127.0.0.1:${listening.address().port}${path}`, {
      headers: { cookie, connection: "close" },
    });
    cookie = response.headers.getSetCookie()[0]?.split(";")[0] ?? cookie;
    return `${response.status} ${await response.text()}`;
  };
}

describe.each(SETUPS)("touchAfter, %s", (_name, options) => {
  test.each([
    ["with maxAge", { cookie: { maxAge: 60_000 } }],
    ["without maxAge, by ttl", {}],
  ])(
    "an unchanged request within it sends GET and PTTL and nothing else, %s",
    async (_what, more) => {
      const store = makeStore({ ...(await options()), touchAfter: 10, ttl: 60 });
      const request = await serve(store, more);
      await request("/login");
      const before = await commandsSince();
      expect(await request("/")).toBe("200 ada");
      expect(await request("/")).toBe("200 ada");
      expect(await commandsSince(before)).toEqual({ get: 2, pttl: 2 });
    },
  );

  test("a touch that moves the expiry by at least touchAfter is sent", async () => {
    const store = makeStore({ ...(await options()), touchAfter: 10 });
    await store.set("a", { cookie: inMs(60_000) });
    await inspector.pExpire("sess:a", 49_000);
    await store.touch("a", Object.assign(await load(store, "a"), { cookie: inMs(60_000) }));
    expect(await inspector.pTTL("sess:a")).toBeGreaterThan(55_000);
  });

  test("a touch that shortens is never skipped", async () => {
    const store = makeStore({ ...(await options()), touchAfter: 3600 });
    await store.set("a", { cookie: inMs(60_000) });
    const loaded = await load(store, "a");
    loaded.cookie = inMs(30_000);
    await store.touch("a", loaded);
    expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(30_000);
    // Later touches in the same request are also sent.
    loaded.cookie = inMs(60_000);
    await store.touch("a", loaded);
    expect(await inspector.pTTL("sess:a")).toBeGreaterThan(50_000);
  });

  test("a session without expiry gets one by a touch", async () => {
    const store = makeStore({ ...(await options()), touchAfter: 3600 });
    await inspector.set("sess:a", JSON.stringify({ cookie: inMs(60_000) }));
    await store.touch("a", await load(store, "a"));
    expect(await inspector.pTTL("sess:a")).toBeGreaterThan(0);
  });

  test("with a ttl function, and a serializer of the app's", async () => {
    const serializer = {
      parse: (text) => JSON.parse(text.slice(1)),
      stringify: (s) => `!${JSON.stringify(s)}`,
    };
    const store = makeStore({ ...(await options()), touchAfter: 10, ttl: () => 60, serializer });
    await store.set("a", { cookie: inMs(5_000) });
    await inspector.pExpire("sess:a", 55_000);
    const loaded = await load(store, "a");
    const before = await commandsSince();
    await store.touch("a", loaded);
    expect(await commandsSince(before)).toEqual({});
    // The expiry is the function's; the cookie stays unchanged.
    const ends = Number(new Date((await store.get("a")).cookie.expires));
    expect(ends - Date.now()).toBeLessThanOrEqual(5_000);
  });

  test("a session that is missing, or that was not loaded, is touched as without the option", async () => {
    const store = makeStore({ ...(await options()), touchAfter: 3600 });
    expect(await store.touch("none", { cookie: inMs(60_000) })).toBeNull();
    await store.set("a", { cookie: inMs(10_000) });
    await store.touch("a", { cookie: inMs(60_000) });
    expect(await inspector.pTTL("sess:a")).toBeGreaterThan(50_000);
  });
});

describe.each(SETUPS)('touch: "background", %s', (_name, options) => {
  test("a request does not wait for the touch, and the touch is carried out", async () => {
    const store = makeStore({ ...(await options()), touch: "background" });
    await store.set("a", { cookie: inMs(10_000) });
    await inspector.sendCommand(["CLIENT", "PAUSE", "1500", "WRITE"]);
    const start = performance.now();
    expect(await store.touch("a", { cookie: inMs(60_000) })).toBeNull();
    expect(performance.now() - start).toBeLessThan(1000);
    await waitUntil("it is done", async () => (await inspector.pTTL("sess:a")) > 50_000);
  });

  test("an error emits untouched, and is no unhandled rejection", async () => {
    const store = makeStore({ ...(await options()), touch: "background" });
    try {
      const untouched = new Promise((resolve) => {
        store.once("untouched", (sid, error) => resolve([sid, error.name]));
      });
      await store.get("b");
      await inspector.sendCommand(["ACL", "SETUSER", "default", "-pexpire", "-expire"]);
      expect(await store.touch("a", { cookie: inMs(60_000) })).toBeNull();
      expect(await untouched).toEqual(["a", "RedisStoreError"]);
    } finally {
      await inspector.sendCommand(["ACL", "SETUSER", "default", "+@all"]);
    }
  });

  test("an invalid expiry still rejects the call", async () => {
    const store = makeStore({ ...(await options()), touch: "background" });
    await expect(store.touch("a", { cookie: { expires: "soon" } })).rejects.toThrow(TypeError);
  });
});

describe.each(SETUPS)("lifetime, %s", (_name, options) => {
  test("a session ends that long after its first save, even if it is active", async () => {
    const store = makeStore({ ...(await options()), lifetime: 20 });
    await store.set("a", { cookie: inMs(60_000) });
    expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(20_000);
    const stored = JSON.parse(await inspector.get("sess:a"));
    expect(Object.keys(stored)).toEqual(["cookie", CREATED]);
    // As if the session had been created 15 seconds ago.
    await inspector.set("sess:a", JSON.stringify({ ...stored, [CREATED]: Date.now() - 15_000 }), {
      expiration: { type: "EX", value: 5 },
    });
    const loaded = await load(store, "a");
    loaded.cookie = inMs(60_000);
    await store.touch("a", loaded);
    expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(5_000);
    loaded.n = 1;
    await store.set("a", loaded);
    expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(5_000);
    expect(await store.get("a")).toMatchObject({ n: 1, [CREATED]: expect.any(Number) });
  });

  test("an older session is deleted by a save and by a touch", async () => {
    const store = makeStore({ ...(await options()), lifetime: 20 });
    const old = { cookie: inMs(60_000), [CREATED]: Date.now() - 21_000 };
    for (const call of [() => store.set("a", old), () => store.touch("a", old)]) {
      await inspector.set("sess:a", JSON.stringify(old));
      await call();
      expect(await inspector.exists("sess:a")).toBe(0);
    }
  });

  test("an older session whose key still exists is not returned", async () => {
    const store = makeStore({ ...(await options()), lifetime: 20 });
    const old = { cookie: inMs(60_000), [CREATED]: Date.now() - 21_000 };
    await inspector.set("sess:a", JSON.stringify(old));
    expect(await store.get("a")).toBeNull();
  });

  test("the lifetime of a session that is saved twice begins with the first save", async () => {
    const store = makeStore({ ...(await options()), lifetime: 20 });
    const fresh = { cookie: inMs(60_000) };
    await store.set("a", fresh);
    const first = JSON.parse(await inspector.get("sess:a"))[CREATED];
    while (Date.now() <= first) await new Promise(setImmediate);
    await store.set("a", fresh);
    expect(JSON.parse(await inspector.get("sess:a"))[CREATED]).toBe(first);
    expect(fresh).toEqual({ cookie: fresh.cookie });
  });

  test("lifetime also works with disableTTL, and with a session that expires sooner", async () => {
    const source = await options();
    const forever = makeStore({ ...source, lifetime: 20, disableTTL: true });
    await forever.set("a", { cookie: { originalMaxAge: null } });
    expect(await inspector.pTTL("sess:a")).toBeGreaterThan(0);
    const store = makeStore({ ...source, lifetime: 20 });
    await store.set("b", { cookie: inMs(5_000) });
    expect(await inspector.pTTL("sess:b")).toBeLessThanOrEqual(5_000);
  });

  test("express-session saves a session once per request, as without lifetime", async () => {
    const store = makeStore({ ...(await options()), lifetime: 20 });
    const request = await serve(store, { rolling: false, cookie: { maxAge: 60_000 } });
    const before = await commandsSince();
    await request("/login");
    expect((await commandsSince(before)).set).toBe(1);
    expect(await request("/")).toBe("200 ada");
    expect((await commandsSince(before)).set).toBe(1);
  });
});

test.each([
  [{ touchAfter: -1 }, "touchAfter must be a number of seconds from 0"],
  [{ touchAfter: "5" }, "touchAfter"],
  [{ touchAfter: Number.NaN }, "touchAfter"],
  [{ touch: "later" }, 'touch must be "wait" or "background"'],
  [{ touch: true }, "touch must be"],
  [{ lifetime: 0 }, "lifetime must be a number of seconds from 1"],
  [{ lifetime: -5 }, "lifetime"],
  [{ lifetime: {} }, "lifetime"],
])("%p is a TypeError that names the option", (options, message) => {
  expect(() => new RedisStore({ url: server.url, ...options })).toThrow(TypeError);
  expect(() => new RedisStore({ url: server.url, ...options })).toThrow(message);
});

test("without these options a session is stored unchanged, with no added member", async () => {
  const store = makeStore({ url: server.url });
  await store.set("a", { cookie: inMs(60_000), n: 1 });
  expect(Object.keys(JSON.parse(await inspector.get("sess:a")))).toEqual(["cookie", "n"]);
});
