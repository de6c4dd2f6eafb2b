"use strict";

// connect-redis-rs/fastify: what an Express app gets, through @fastify/session, on a real Redis.

const { readFileSync } = require("node:fs");
const path = require("node:path");
const { RedisStore } = require("connect-redis-rs");
const { fastifyStore } = require("connect-redis-rs/fastify");
const { startRedisServer } = require("../scripts/redis-server.js");
const { openInspector } = require("./support/inspector.js");
const { run, start } = require("./support/run.js");

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

/** An app with the store, in a process of its own, and a browser of it. */
async function openApp({ store, session, isPlain } = {}) {
  const options = { store: { url: server.url, ...store }, session, isPlain };
  const app = path.join("__test__", "support", "fastify-app.js");
  let output = "";
  let changed = () => {};
  let child;
  const ended = start([app], { OPTIONS: JSON.stringify(options) }, (text, process_) => {
    output = text;
    child = process_;
    changed();
  });
  closing.push(async () => {
    child?.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 0, stderr: "" });
  });
  /** Waits until the app has printed something. */
  const printed = (pattern) =>
    new Promise((resolve) => {
      changed = () => pattern.test(output) && resolve(pattern.exec(output));
      changed();
    });
  const [, address] = await printed(/at (http\S+)/);
  let cookie;
  const go = async (url, headers) => {
    const response = await fetch(address + url, { headers });
    return { response, body: await response.json() };
  };
  const ask = async (url) => {
    const { response, body } = await go(url, cookie ? { cookie } : {});
    const [set] = response.headers.getSetCookie();
    if (set) cookie = set.split(";")[0];
    expect({ url, status: response.status }).toEqual({ url, status: 200 });
    return body;
  };
  const key = async () => (await inspector.keys("sess:*"))[0];
  return {
    ask,
    key,
    printed,
    cookie: () => cookie,
    go,
    stored: async () => JSON.parse(await inspector.get(await key())),
    told: async () => (await go("/told")).body,
    goOn: () => fetch(`${address}/go-on`),
  };
}

/** Logs out while a request is under way, which saves the session then. */
async function logOutMeanwhile({ ask, printed, goOn }) {
  await ask("/set?user=Ada");
  const slow = ask("/slow");
  await printed(/slow/);
  await ask("/logout");
  await goOn();
  await slow;
}

test("a session is stored as connect-redis stores it, and nothing more in it", async () => {
  const { ask, stored, key } = await openApp();
  await ask("/set?user=Ada");
  await ask("/set?theme=dark");
  const { cookie, ...data } = await stored();
  expect(data).toEqual({ user: "Ada", theme: "dark" });
  expect(cookie).toMatchObject({ originalMaxAge: 60_000, path: "/" });
  expect(await inspector.pTTL(await key())).toBeGreaterThan(30_000);
});

test("a member that is deleted stays deleted", async () => {
  const { ask, stored } = await openApp();
  await ask("/set?user=Ada&theme=dark");
  await ask("/forget");
  expect(await stored()).not.toHaveProperty("user");
  expect((await ask("/look")).theme).toBe("dark");
});

test.each([
  { expires: "garbage" },
  { expires: 1e300 },
  { originalMaxAge: "long" },
  { originalMaxAge: 60_000, expires: "garbage" },
  5,
])("a session with the cookie %j, as another program has written it, is served", async (cookie) => {
  const { ask, stored, key } = await openApp();
  await ask("/set?user=Ada");
  await inspector.set(await key(), JSON.stringify({ user: "Grace", cookie }));
  expect((await ask("/look")).user).toBe("Grace");
  await ask("/set?theme=dark");
  expect(await stored()).toMatchObject({ user: "Grace", theme: "dark" });
});

test("what a stored cookie says counts, and what it does not say the plugin's options decide", async () => {
  const { ask, stored, key } = await openApp();
  await ask("/set?user=Ada");
  const cookie = { httpOnly: false, sameSite: "strict" };
  await inspector.set(await key(), JSON.stringify({ user: "Ada", cookie }));
  await ask("/set?theme=dark");
  expect((await stored()).cookie).toMatchObject({ ...cookie, path: "/", originalMaxAge: 60_000 });
});

test("a session that was destroyed while a request had it loaded stays destroyed", async () => {
  const app = await openApp();
  await logOutMeanwhile(app);
  expect(await inspector.dbSize()).toBe(0);
  expect((await app.told()).discarded).toBe(1);
});

test("without the adapter it would come back", async () => {
  await logOutMeanwhile(await openApp({ isPlain: true }));
  expect(await inspector.dbSize()).toBe(1);
});

test("a session that is unmodified is touched, and another's change to it stays", async () => {
  const { ask, key, stored, told } = await openApp();
  await ask("/set?user=Ada");
  const text = JSON.stringify({ ...(await stored()), user: "Grace" });
  await inspector.set(await key(), text, { PX: 20_000 });
  await ask("/look");
  expect(await inspector.pTTL(await key())).toBeGreaterThan(30_000);
  const { calls } = await told();
  expect([calls.set.ok, calls.touch.ok]).toEqual([1, 1]);
  expect((await stored()).user).toBe("Grace");
});

test("with touchAfter an unchanged request sends nothing but its get", async () => {
  const { ask, told } = await openApp({ store: { touchAfter: 30 } });
  await ask("/set?user=Ada");
  for (let n = 0; n < 3; n += 1) expect((await ask("/look")).user).toBe("Ada");
  const { calls } = await told();
  expect(calls.touch).toEqual({ ok: 0, skipped: 3, error: 0 });
  expect(calls.set.ok).toBe(1);
});

test("with concurrency merge, requests beside one another keep each their change", async () => {
  const { ask, stored, printed, goOn } = await openApp({ store: { concurrency: "merge" } });
  await ask("/set?user=Ada");
  const slow = ask("/slow");
  await printed(/slow/);
  await ask("/set?theme=dark");
  await goOn();
  await slow;
  expect(await stored()).toMatchObject({ user: "Ada", theme: "dark", slow: "1" });
});

test("a lifetime ends a session that is used all the time", async () => {
  const { ask, key } = await openApp({ store: { lifetime: 40 } });
  await ask("/set?user=Ada");
  for (let n = 0; n < 3; n += 1) await ask(`/set?n=${n}`);
  expect(await inspector.pTTL(await key())).toBeLessThanOrEqual(40_000);
});

test("a session that is saved twice in a request is stored as it is then", async () => {
  const { ask, stored } = await openApp();
  await ask("/twice");
  expect(await stored()).toMatchObject({ one: 1, two: 2 });
  await ask("/set?three=3");
  expect(await stored()).toMatchObject({ one: 1, two: 2, three: "3" });
});

test("a session that takes over all members of another is a new one", async () => {
  const { ask, stored, key } = await openApp();
  await ask("/set?user=Ada");
  const before = await key();
  await ask("/login");
  expect(await inspector.keys("sess:*")).toHaveLength(1);
  expect(await key()).not.toBe(before);
  expect(await stored()).toMatchObject({ user: "Ada", login: "yes" });
});

test("what is no store is a TypeError at once", () => {
  for (const wrong of [undefined, null, {}, { get() {}, set() {}, destroy() {} }]) {
    expect(() => fastifyStore(wrong)).toThrow(
      expect.objectContaining({ name: "TypeError", code: "ERR_INVALID_ARG_VALUE" }),
    );
  }
});

test("an error of Redis is an answer with 500", async () => {
  const { ask, key, go, cookie } = await openApp();
  await ask("/set?user=Ada");
  const name = await key();
  await inspector.del(name);
  await inspector.lPush(name, "x");
  const { response, body } = await go("/look", { cookie: cookie() });
  expect(response.status).toBe(500);
  expect(body.code).toBe("WRONGTYPE");
});

test("each method answers by promise, too", async () => {
  const store = new RedisStore({ url: server.url });
  closing.push(() => store.close());
  const adapter = fastifyStore(store);
  expect(await adapter.get("a")).toBeNull();
  await adapter.set("a", { user: "Ada", cookie: { originalMaxAge: 1000 } });
  const session = await adapter.get("a");
  expect(JSON.parse(JSON.stringify(session))).toMatchObject({ user: "Ada" });
  await adapter.destroy("a");
  expect(await adapter.get("a")).toBeNull();
  expect(adapter.store).toBe(store);
});

describe("the recipes of docs/frameworks.md", () => {
  const text = readFileSync(path.join(__dirname, "..", "docs", "frameworks.md"), "utf8");
  const samples = [...text.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => code);

  test.each([
    ["Fastify", "await app.listen({ port: 3000 });", "app.server.address().port"],
    ["Koa", "app.listen(3000)", "server.address().port"],
    ["Hono", "port: 3000", "server.address().port"],
  ])("%s counts visits, logs out, and the logout is final", async (name, listen, port) => {
    const code = samples.find((sample) => sample.includes(`// ${name}`));
    expect(code).toContain(listen);
    const { stdout, stderr } = await run(
      `${code.replaceAll("redis://localhost:6379", server.url).replaceAll("3000", "0")}
       const address = "http://127.0.0.1:" + ${port};
       let cookie;
       const ask = async (path) => {
         const response = await fetch(address + path, { headers: cookie ? { cookie } : {} });
         const set = response.headers.getSetCookie();
         if (set.length > 0) cookie = set.map((one) => one.split(";")[0]).join("; ");
         return response.text();
       };
       const seen = [];
       for (let n = 0; n < 3; n += 1) seen.push(JSON.parse(await ask("/")).views);
       const old = cookie;
       const slow = ask("/slow");
       await new Promise((resolve) => setTimeout(resolve, 100));
       await ask("/logout");
       await slow;
       cookie = old;
       seen.push(JSON.parse(await ask("/")).views);
       console.log(JSON.stringify(seen));
       process.exit();`,
    );
    expect({ stdout, stderr }).toEqual({ stdout: "[1,2,3,1]\n", stderr: "" });
  });
});
