"use strict";

// The admin page by plain HTTP: who may see it, what is in it, and what a request must be to change
// something. long/admin.browser.test.js looks at it in a browser.

const { request } = require("node:http");
const { performance } = require("node:perf_hooks");
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis-rs");
const { admin } = require("connect-redis-rs/admin");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { openInspector } = require("./support/inspector.js");

const SID = "planted-sid-0123456789";
const SECRET = "planted-secret";

let server;
let inspector;
const closing = [];

beforeAll(async () => {
  server = await startRedisServer();
  inspector = await openInspector(server);
});

afterAll(async () => {
  await inspector?.close();
  await server?.stop();
});

beforeEach(() => inspector.flushDb());

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function open(options) {
  const store = new RedisStore({
    url: server.url,
    user: "user",
    onUnavailable: "error",
    ...options,
  });
  closing.push(() => store.close());
  return store;
}

function newSession(more) {
  const expires = new Date(Date.now() + 3_600_000);
  return { user: "Ada", [SECRET]: SECRET, ...more, cookie: { originalMaxAge: 3_600_000, expires } };
}

function fill(store, count, more = (_n) => ({})) {
  const all = Array.from({ length: count }, (_, n) => store.set(`${SID}${n}`, newSession(more(n))));
  return Promise.all(all);
}

/** An app with the page, and a browser of it. What it answers never has a session id in it. */
async function serve(store, options, prepare = (_app) => {}) {
  const app = express();
  const errors = [];
  const audited = [];
  store.on("audit", (entry) => audited.push(entry));
  prepare(app);
  app.use("/sessions", admin(store, { authorize: () => true, ...options }));
  app.use((error, _req, res, _next) => {
    errors.push(error);
    res.status(500).send("the app's own error page");
  });
  const listening = await new Promise((resolve) => {
    const made = app.listen(0, "127.0.0.1", () => resolve(made));
  });
  closing.push(() => {
    listening.closeAllConnections();
    return new Promise((resolve) => listening.close(resolve));
  });
  const origin = `http://127.0.0.1:${listening.address().port}`;
  async function go(path, init = {}) {
    const response = await fetch(`${origin}/sessions${path}`, init);
    const text = await response.text();
    for (const hidden of [SID, encodeURIComponent(SID)]) {
      expect(text + JSON.stringify([...response.headers])).not.toContain(hidden);
    }
    return { status: response.status, headers: response.headers, text };
  }
  /** A request that the page's own script would make. */
  const post = (path, body, headers = {}) =>
    go(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: {
        "content-type": "application/json",
        "x-connect-redis-rs": "admin",
        origin,
        ...headers,
      },
    });
  const handles = async (path = "") => {
    const { text } = await go(path);
    return [...text.matchAll(/<tr data-handle="(\w+)"/g)].map(([, handle]) => handle);
  };
  return { go, post, handles, origin, errors, audited };
}

describe("who may see the page", () => {
  const PATHS = [
    "",
    "/",
    "/session?handle=0",
    "/count",
    "/metrics",
    "/page.css",
    "/page.js",
    "/no",
  ];
  const ACTIONS = ["/destroy", "/destroy-all-of"];

  test("without authorize there is none", () => {
    const store = open();
    for (const options of [undefined, {}, { authorize: true }, { authorize: undefined }]) {
      expect(() => admin(store, options)).toThrow(
        expect.objectContaining({
          name: "TypeError",
          message: expect.stringContaining("authorize"),
        }),
      );
    }
  });

  test.each([
    ["returns false", () => false],
    ["returns what only looks like true", () => 1],
    ["returns nothing", () => {}],
    ["returns a promise of false", async () => false],
    [
      "throws",
      () => {
        throw new Error(SECRET);
      },
    ],
    ["returns a promise that rejects", () => Promise.reject(new Error(SECRET))],
    ["throws what is no error", () => Promise.reject()],
  ])("every path answers 403 if authorize %s", async (_what, authorize) => {
    const store = open();
    await fill(store, 1);
    const { go, post, audited, errors } = await serve(store, { authorize, write: true });
    for (const path of PATHS) {
      const { status, text } = await go(path);
      expect({ path, status }).toEqual({ path, status: 403 });
      expect(text).not.toContain(SECRET);
    }
    for (const path of ACTIONS) expect((await post(path, { user: "Ada" })).status).toBe(403);
    expect(await store.length()).toBe(1);
    expect(audited).toHaveLength(PATHS.length + ACTIONS.length);
    for (const { action } of audited) expect(action).toBe("refused");
    expect(errors).toEqual([]);
  });

  test("authorize may answer itself, with a login page say", async () => {
    const authorize = (_req, res) => res.redirect("/login");
    const { go } = await serve(open(), { authorize });
    const { status, headers } = await go("", { redirect: "manual" });
    expect([status, headers.get("location")]).toEqual([302, "/login"]);
  });

  test("it is asked for each request, with the session of who asks", async () => {
    const store = open();
    const { go } = await serve(
      store,
      { authorize: (req) => req.session.isAdmin === true },
      (app) => {
        app.use(session({ store, secret: "x", resave: false, saveUninitialized: false }));
        app.get("/login", (req, res) => {
          req.session.isAdmin = true;
          res.send("ok");
        });
      },
    );
    expect((await go("")).status).toBe(403);
    const { headers } = await go("/../login");
    const cookie = headers.get("set-cookie").split(";")[0];
    expect((await go("", { headers: { cookie } })).status).toBe(200);
  });
});

describe("an option that cannot be used is a TypeError at once", () => {
  const authorize = () => true;
  test.each([
    ["write", { authorize, write: "yes" }],
    ["show", { authorize, show: "user" }],
    ["show", { authorize, show: [1] }],
    ["secret", { authorize, secret: "short" }],
    ["authorise", { authorize, authorise: true }],
  ])("%s", (name, options) => {
    expect(() => admin(open(), options)).toThrow(
      expect.objectContaining({ name: "TypeError", message: expect.stringContaining(name) }),
    );
  });

  test("a store that is none", () => {
    for (const store of [undefined, {}, new session.MemoryStore()]) {
      expect(() => admin(store, { authorize })).toThrow(TypeError);
    }
  });
});

describe("what is in the page", () => {
  test("names, types and sizes; no value but those that are shown, and no session id", async () => {
    const store = open();
    await fill(store, 3, () => ({ [SECRET]: undefined, token: SECRET, list: [SECRET] }));
    const { go, handles } = await serve(store, { show: ["user"] });
    const [handle] = await handles();
    for (const path of ["", "?user=Ada", `/session?handle=${handle}`, "/metrics", "/count"]) {
      const { status, text } = await go(path);
      expect({ path, status }).toEqual({ path, status: 200 });
      expect(text).not.toContain(SECRET);
    }
    const { text } = await go(`/session?handle=${handle}`);
    expect(text).toMatch(/token<\/th><td[^>]*>string<.*16 B<.*hidden/);
    expect(text).toMatch(/user<\/th>.*Ada</);
  });

  test("whatever a session holds, it is no markup", async () => {
    const store = open();
    const evil = `"><script>alert(1)</script>'&`;
    await fill(store, 1, () => ({ user: evil, [evil]: evil }));
    const { go, handles } = await serve(store, { show: ["user", evil], write: true });
    const [handle] = await handles();
    for (const path of ["", `/session?handle=${handle}`, `?user=${encodeURIComponent(evil)}`]) {
      const { text } = await go(path);
      expect(text).not.toContain("<script>alert");
      expect(text).toContain("&#60;script&#62;alert");
    }
    const asked = encodeURIComponent(evil);
    for (const path of [`?at=${asked}`, `/session?handle=${asked}&at=${asked}&user=${asked}`]) {
      expect((await go(path)).text).not.toContain("<script>alert");
    }
  });

  test("a record that cannot be read is there, and can be destroyed", async () => {
    const store = open();
    await inspector.set(`sess:${SID}`, `{"${SECRET}`);
    const { go, handles, post } = await serve(store, { write: true });
    const { text } = await go("");
    expect(text).toContain("cannot be read");
    expect(text).not.toContain(SECRET);
    const [handle] = await handles();
    expect((await post("/destroy", { handle })).status).toBe(200);
    expect(await inspector.dbSize()).toBe(0);
  });

  test("a session that is sealed with another key is there, and can be destroyed", async () => {
    const encryption = { keys: [{ id: 1, secret: Buffer.alloc(32, 7) }] };
    const sealing = open({ encryption });
    await sealing.set(`${SID}0`, newSession());
    const store = open();
    await store.set(`${SID}1`, newSession());
    const { go, handles, post } = await serve(store, { write: true });
    const { text } = await go("");
    expect(text.match(/cannot be read/g)).toHaveLength(1);
    const all = await handles();
    expect(all).toHaveLength(2);
    for (const handle of all) expect((await post("/destroy", { handle })).status).toBe(200);
    expect(await inspector.exists(`sess:${SID}0`)).toBe(0);
  });

  test("nobody keeps an answer, frames it, or puts a script into it", async () => {
    const { go } = await serve(open());
    for (const path of ["", "/page.js", "/page.css", "/count", "/nowhere"]) {
      const { headers } = await go(path);
      expect(headers.get("cache-control")).toBe("no-store");
      const policy = headers.get("content-security-policy");
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*|https?:|data:/);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
    const { text } = await go("");
    expect(text).not.toMatch(/<script(?! src=")|<style|style=|\son\w+=/);
  });
});

describe("pages", () => {
  test("have all sessions between them, and other keys in none", async () => {
    const store = open();
    await fill(store, 430);
    await Promise.all(Array.from({ length: 2000 }, (_, n) => inspector.set(`other:${n}`, "x")));
    const { go } = await serve(store);
    const seen = new Set();
    let pages = 0;
    for (let path = ""; path !== undefined; pages += 1) {
      const { text } = await go(path);
      const own = [...text.matchAll(/<tr data-handle="(\w+)"/g)].map(([, handle]) => handle);
      expect(own.length).toBeLessThan(200);
      for (const handle of own) seen.add(handle);
      const [, at] = /rel="next" href="\/sessions\/\?at=([^"]+)"/.exec(text) ?? [];
      path = at && `/?at=${at}`;
    }
    expect(seen.size).toBe(430);
    expect(pages).toBeGreaterThan(3);
  });

  test("a position that is none is the first page", async () => {
    const store = open();
    await fill(store, 5);
    const { handles } = await serve(store);
    for (const at of ["x", "0:-1", "0:1 COUNT 9", "0:99999999999999999999999"]) {
      expect(await handles(`/?at=${encodeURIComponent(at)}`)).toHaveLength(5);
    }
  });

  test("of a user have those of the user, and say what they need", async () => {
    const store = open();
    await fill(store, 10, (n) => ({ user: n < 4 ? "Ada" : "Grace" }));
    const { handles, go } = await serve(store);
    expect(await handles("?user=Ada")).toHaveLength(4);
    expect((await go("?user=Nobody")).text).toContain("Nobody has no session");
    const plain = await serve(open({ user: undefined }));
    const { status, text } = await plain.go("?user=Ada");
    expect(status).toBe(200);
    expect(text).toContain("needs the option <code>user</code>");
    expect(await plain.handles("?user=Ada")).toEqual([]);
  });
});

describe("a user with more sessions than a page shows", () => {
  test("has some of them, and about how many there are beside", async () => {
    const store = open();
    await fill(store, 1500);
    const { go } = await serve(store);
    const { text } = await go("?user=Ada");
    expect(text.match(/<tr data-handle/g)).toHaveLength(200);
    expect(text).toContain("About 1300 more are not shown");
    const reads = store.metrics().calls.sessionsOf.ok;
    expect(reads).toBe(0); // it would read all of them
  });

  test("has each one's page, and each can be destroyed", async () => {
    const store = open();
    await fill(store, 600);
    const { go, handles, post } = await serve(store, { write: true });
    const shown = await handles("?user=Ada");
    const handle = shown.at(-1);
    expect((await go(`/session?handle=${handle}&user=Ada`)).status).toBe(200);
    expect((await post("/destroy", { handle, of: "Ada" })).status).toBe(200);
    expect(await store.countOf("Ada")).toBe(599);
    expect((await post("/destroy", { handle, of: "Ada" })).status).toBe(404);
  });
});

test("however long a count takes, there is one at a time", async () => {
  const store = open();
  await fill(store, 3);
  let counts = 0;
  const length = store.length.bind(store);
  let finish;
  store.length = () => {
    counts += 1;
    return new Promise((resolve) => {
      finish = () => resolve(length());
    });
  };
  const { go } = await serve(store);
  const now = performance.now();
  const clock = jest.spyOn(performance, "now").mockImplementation(() => now);
  closing.push(() => clock.mockRestore());
  const first = go("/count");
  await waitUntil("it counts", () => counts === 1);
  clock.mockImplementation(() => now + 60_000);
  const second = go("/count");
  await go("");
  finish();
  for (const { text } of await Promise.all([first, second])) expect(text).toBe('{"count":3}');
  expect(counts).toBe(1);
});

describe.each([true, "migrate", "read"])("with hashIds: %j", (hashIds) => {
  test("a session has one handle, in the list and in the search by user, also once it has moved", async () => {
    const plain = open();
    await fill(plain, 2, () => ({ user: "Ada" }));
    const store = open({ hashIds });
    const sids = ["3", "4"].map((n) => `${SID}${n}`);
    for (const sid of sids) await store.set(sid, newSession({ user: "Ada" }));
    const { go, handles, post } = await serve(store, { write: true });
    const listed = await handles();
    expect(new Set(listed).size).toBe(4);
    const found = await handles("?user=Ada");
    // Those at the other kind of key are found only while they are moved.
    expect(found).toHaveLength(hashIds === true ? 2 : 4);
    expect(listed).toEqual(expect.arrayContaining(found));
    for (const handle of found) {
      expect((await go(`/session?handle=${handle}`)).status).toBe(200);
      expect((await go(`/session?handle=${handle}&user=Ada`)).status).toBe(200);
    }
    for (const [n, handle] of listed.entries()) {
      expect((await post("/destroy", { handle })).status).toBe(200);
      expect(await inspector.keys("sess:*")).toHaveLength(listed.length - n - 1);
    }
    // The store is still at the keys that it was at.
    await store.set(`${SID}5`, newSession());
    expect(await store.get(`${SID}5`)).toMatchObject({ user: "Ada" });
    expect(await plain.get(`${SID}5`)).toEqual(hashIds === "read" ? expect.anything() : null);
  });
});

describe("a change", () => {
  test("destroys one session, and says so", async () => {
    const store = open();
    await fill(store, 3);
    const { post, handles, audited } = await serve(store, { write: true });
    const [handle] = await handles();
    const { status, text } = await post("/destroy", { handle, at: "" });
    expect([status, JSON.parse(text)]).toEqual([200, { destroyed: 1 }]);
    expect(await store.length()).toBe(2);
    expect(await handles()).not.toContain(handle);
    expect(audited.find(({ action }) => action === "destroy")).toEqual({
      action: "destroy",
      handle,
      destroyed: 1,
    });
    expect((await post("/destroy", { handle, at: "" })).status).toBe(404);
  });

  test("finds a session wherever it is, also if the page says another place", async () => {
    const store = open();
    await fill(store, 3000);
    const { post, handles, go } = await serve(store, { write: true });
    const { text } = await go("");
    const [, at] = /rel="next" href="\/sessions\/\?at=([^"]+)"/.exec(text);
    const [handle] = await handles();
    expect((await post("/destroy", { handle, at: decodeURIComponent(at) })).status).toBe(200);
    expect(await store.length()).toBe(2999);
  });

  test("destroys all sessions of a user, and no other", async () => {
    const store = open();
    await fill(store, 10, (n) => ({ user: n < 4 ? "Ada" : "Grace" }));
    const { post } = await serve(store, { write: true });
    const { text } = await post("/destroy-all-of", { user: "Ada" });
    expect(JSON.parse(text)).toEqual({ destroyed: 4 });
    expect(await store.countOf("Grace")).toBe(6);
  });

  test("is refused without write, also if the request is the page's own", async () => {
    const store = open();
    await fill(store, 2);
    for (const write of [undefined, false, () => false, async () => "yes"]) {
      const { post, handles, go } = await serve(store, { write });
      const [handle] = await handles();
      expect((await post("/destroy", { handle })).status).toBe(403);
      expect((await post("/destroy-all-of", { user: "Ada" })).status).toBe(403);
      expect((await go("")).text).not.toContain('<button class="danger" data');
    }
    expect(await store.length()).toBe(2);
  });

  test.each([
    [
      "of a form",
      { "content-type": "application/x-www-form-urlencoded", "x-connect-redis-rs": "" },
    ],
    ["without the header", { "x-connect-redis-rs": "" }],
    ["with another origin", { origin: "https://evil.example" }],
    ["with no origin", { origin: "" }],
    ["with the origin null", { origin: "null" }],
    ["from another site", { "sec-fetch-site": "cross-site" }],
    ["from a sibling domain", { "sec-fetch-site": "same-site" }],
    ["from the address bar", { "sec-fetch-site": "none" }],
  ])("is refused %s, and changes nothing", async (_what, headers) => {
    const store = open();
    await fill(store, 2);
    const { post, handles, audited } = await serve(store, { write: true });
    const [handle] = await handles();
    expect((await post("/destroy", { handle }, headers)).status).toBe(403);
    expect((await post("/destroy-all-of", { user: "Ada" }, headers)).status).toBe(403);
    expect(await store.length()).toBe(2);
    expect(audited.filter(({ action }) => action === "refused")).toHaveLength(2);
  });

  test("is taken from the page behind a proxy that changes its host", async () => {
    const store = open();
    await fill(store, 1);
    const { post, handles } = await serve(store, { write: true });
    const [handle] = await handles();
    const headers = { origin: "https://app.example", "sec-fetch-site": "same-origin" };
    expect((await post("/destroy", { handle }, headers)).status).toBe(200);
  });

  test("by GET is none", async () => {
    const store = open();
    await fill(store, 1);
    const { go, handles } = await serve(store, { write: true });
    const [handle] = await handles();
    expect((await go(`/destroy?handle=${handle}`)).status).toBe(405);
    expect((await go("/", { method: "POST" })).status).toBe(405);
    expect((await go("/", { method: "DELETE" })).status).toBe(405);
    expect(await store.length()).toBe(1);
  });

  test("of a path that is none there is no page, whatever it looks like", async () => {
    const { origin, errors } = await serve(open());
    const { port } = new URL(origin);
    const statusOf = (path) =>
      new Promise((resolve, reject) => {
        const asked = request({ port, host: "127.0.0.1", path, agent: false }, (response) => {
          response.resume().once("end", () => resolve(response.statusCode));
        });
        asked.once("error", reject).end();
      });
    for (const path of ["//:", "//count", "//evil.example/", "/../count", "/__proto__", "/%"]) {
      expect({ path, status: await statusOf(`/sessions${path}`) }).toEqual({ path, status: 404 });
    }
    expect(await statusOf("/sessions/count?handle=%zz&at=-1?at=%E0%A4%A")).toBe(200);
    expect(await statusOf("/sessions?at=-1&user=%")).toBe(200);
    // As a proxy gets it.
    expect(await statusOf(`${origin}/sessions/count`)).toBe(200);
    expect(errors).toEqual([]);
  });

  test("is read also if the app has parsed the body before", async () => {
    const store = open();
    await fill(store, 1);
    const page = await serve(store, { write: true }, (app) => app.use(express.json()));
    const [handle] = await page.handles();
    expect((await page.post("/destroy", { handle })).status).toBe(200);
  });

  test.each([
    ["nothing", ""],
    ["no JSON", "{"],
    ["no object", "null"],
    ["too much", JSON.stringify({ handle: "x".repeat(10_000) })],
    ["a handle that is none", JSON.stringify({ handle: { length: 24 } })],
    ["a session id as the handle", JSON.stringify({ handle: `${SID}0` })],
  ])("with %s in its body destroys nothing", async (_what, body) => {
    const store = open();
    await fill(store, 2);
    const { go, origin } = await serve(store, { write: true });
    const headers = { "content-type": "application/json", "x-connect-redis-rs": "admin", origin };
    expect((await go("/destroy", { method: "POST", headers, body })).status).toBe(404);
    expect((await go("/destroy-all-of", { method: "POST", headers, body })).status).toBe(400);
    expect(await store.length()).toBe(2);
  });
});

describe("handles", () => {
  test("open no session", async () => {
    const store = open();
    await fill(store, 1);
    const { handles } = await serve(store);
    const [handle] = await handles();
    expect(await store.get(handle)).toBeNull();
  });

  test("of another process are unknown, unless both have one secret", async () => {
    const store = open();
    await fill(store, 1);
    const [one, two] = ["a secret of one process", "a secret of another one"];
    const { handles } = await serve(store, { secret: one });
    const [handle] = await handles();
    const elsewhere = await serve(store, { secret: two, write: true });
    expect((await elsewhere.go(`/session?handle=${handle}`)).status).toBe(404);
    expect((await elsewhere.post("/destroy", { handle })).status).toBe(404);
    const alike = await serve(store, { secret: one, write: true });
    expect((await alike.post("/destroy", { handle })).status).toBe(200);
  });
});

describe("if Redis is away", () => {
  test("the page says so, tries again, and shows the sessions when it is back", async () => {
    const own = await startRedisServer();
    closing.push(() => own.stop());
    const store = open({ url: own.url });
    await fill(store, 1);
    const { go, post, handles } = await serve(store, { write: true });
    const [handle] = await handles();
    await own.kill();
    await waitUntil("the store knows", async () => (await go("")).status === 503);
    const { text } = await go("");
    expect(text).toContain("Redis is away");
    expect(text).toContain('http-equiv="refresh"');
    expect((await go(`/session?handle=${handle}`)).status).toBe(503);
    const answer = await post("/destroy", { handle });
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text).error).toContain("no connection");
    expect((await go("/metrics")).status).toBe(200);
    await own.restart();
    await waitUntil("it is back", async () => (await go("")).status === 200);
  });
});

async function fillWithMany() {
  const commands = Array.from({ length: 100 }, (_, n) => {
    const pairs = Array.from({ length: 1000 }, (_, m) => [`sess:${n}-${m}`, '{"cookie":{}}']);
    return inspector.mSet(pairs);
  });
  await Promise.all(commands);
}

test("a search ends when nobody waits for it any more, and a destroy is carried out", async () => {
  await fillWithMany();
  const { go, origin, errors, audited } = await serve(open({ user: undefined }), { write: true });
  const scans = async () =>
    Number(/cmdstat_scan:calls=(\d+)/.exec(await inspector.info("commandstats"))?.[1] ?? 0);
  const handle = "0".repeat(24);
  const path = `/session?handle=${handle}`;
  const first = await scans();
  expect((await go(path)).status).toBe(404);
  const all = (await scans()) - first;
  /** How many SCANs follow on a request whose sender goes away once there are some. */
  const whenGone = async (path, init) => {
    const before = await scans();
    const leaving = new AbortController();
    const asked = fetch(`${origin}/sessions${path}`, { ...init, signal: leaving.signal });
    const gone = expect(asked).rejects.toThrow("aborted");
    await waitUntil("it searches", async () => (await scans()) > before);
    leaving.abort();
    await gone;
    let now = await scans();
    for (let last = -1; last !== now; ) {
      last = now;
      await new Promise((resolve) => setTimeout(resolve, 200));
      now = await scans();
    }
    return now - before;
  };
  expect(await whenGone(path)).toBeLessThan(all / 2);
  const headers = { "x-connect-redis-rs": "admin", origin };
  const destroy = { method: "POST", headers, body: JSON.stringify({ handle }) };
  expect(await whenGone("/destroy", destroy)).toBeGreaterThanOrEqual(all / 2);
  expect(errors).toEqual([]);
  expect(audited).toEqual([
    { action: "show", handle: undefined },
    { action: "destroy", handle: undefined, destroyed: 0 },
  ]);
});

test("with many sessions the event loop turns while a handle is searched for", async () => {
  const store = open({ user: undefined });
  await fillWithMany();
  const { post, go } = await serve(store, { write: true });
  const lags = [];
  let last = performance.now();
  const timer = setInterval(() => {
    lags.push(performance.now() - last);
    last = performance.now();
  }, 5);
  expect((await post("/destroy", { handle: "0".repeat(24) })).status).toBe(404);
  expect(JSON.parse((await go("/count")).text)).toEqual({ count: 100_000 });
  clearInterval(timer);
  // It takes a second or so: had it been held, there would be hardly any.
  expect(lags.length).toBeGreaterThan(20);
});
