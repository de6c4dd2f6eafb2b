"use strict";

// Fastify's session plugin: it makes its own session objects from what `get` returns, and does not
// call createSession.

const assert = require("node:assert/strict");
const cookies = require("@fastify/cookie");
const sessions = require("@fastify/session");
const fastify = require("fastify");
const { assertExpiry, browser, onlyKey } = require("../kit.js");

async function start(kit, routes, options) {
  const app = fastify();
  app.register(cookies);
  app.register(sessions, {
    store: kit.store(),
    secret: "a secret of 32 characters or more",
    saveUninitialized: false,
    cookie: { secure: false, maxAge: 60_000 },
    ...options,
  });
  routes(app);
  const address = await app.listen({ host: "127.0.0.1", port: 0 });
  kit.after(() => app.close());
  return { address, ...browser(address) };
}

function counting(app) {
  app.get("/", async ({ session }) => {
    session.set("n", (session.get("n") ?? 0) + 1);
    return { n: session.get("n") };
  });
  app.get("/look", async ({ session }) => ({ n: session.get("n") ?? null }));
}

const cases = {
  async "a session is stored, read and changed"(kit) {
    const { read } = await start(kit, counting);
    for (const n of [1, 2, 3]) assert.deepEqual(await read("/"), { n });
    const key = await onlyKey(kit);
    assert.match(key, /^sess:[^.]+$/);
    assert.equal(JSON.parse(await kit.redis.get(key)).n, 3);
    await assertExpiry(kit, key, 60);
  },

  async "a visitor without data is not stored"(kit) {
    const { read } = await start(kit, counting);
    assert.deepEqual(await read("/look"), { n: null });
    assert.equal(await kit.redis.dbSize(), 0);
  },

  async "fifty visitors at once do not see each other's sessions"(kit) {
    const { address } = await start(kit, counting);
    const visitors = Array.from({ length: 50 }, () => browser(address));
    for (const n of [1, 2]) {
      const seen = await Promise.all(visitors.map(({ read }) => read("/")));
      assert.deepEqual(seen, Array(50).fill({ n }));
    }
    assert.equal(await kit.redis.dbSize(), 50);
  },

  async "destroy removes the session"(kit) {
    const { read } = await start(kit, (app) => {
      counting(app);
      app.get("/logout", async ({ session }) => {
        await session.destroy();
        return {};
      });
    });
    await read("/");
    await read("/logout");
    assert.equal(await kit.redis.dbSize(), 0);
    assert.deepEqual(await read("/look"), { n: null });
  },

  async "regenerate keeps the named fields, under another key"(kit) {
    const { read, cookies: jar } = await start(kit, (app) => {
      counting(app);
      app.get("/login", async ({ session }) => {
        session.basket = ["book"];
        await session.regenerate(["basket"]);
        return {};
      });
      app.get("/login/callback", (request, reply) => {
        request.session.regenerate((error) => reply.send({ error: error ?? null }));
      });
    });
    await read("/");
    const [before, cookie] = [await onlyKey(kit), jar.get("sessionId")];
    await read("/login");
    const after = await onlyKey(kit);
    assert.notEqual(after, before);
    assert.notEqual(jar.get("sessionId"), cookie);
    const { n, basket } = JSON.parse(await kit.redis.get(after));
    assert.deepEqual([n, basket], [undefined, ["book"]]);
    assert.deepEqual(await read("/login/callback"), { error: null });
    assert.notEqual(await onlyKey(kit), after);
  },

  async "reload reads what another request has stored"(kit) {
    const { read } = await start(kit, (app) => {
      counting(app);
      app.get("/reload", async (request) => {
        request.session.n = "not saved";
        await kit.redis.set(await onlyKey(kit), '{"n":7,"cookie":{"originalMaxAge":60000}}');
        await request.session.reload();
        return { n: request.session.n };
      });
    });
    await read("/");
    assert.deepEqual(await read("/reload"), { n: 7 });
  },

  async "a rolling session lives on with each request"(kit) {
    const { read } = await start(kit, counting, { rolling: true });
    await read("/");
    const key = await onlyKey(kit);
    await kit.redis.pExpire(key, 20_000);
    await read("/look");
    await assertExpiry(kit, key, 60);
  },

  async "a session that does not roll is not stored again until it is changed or touched"(kit) {
    const routes = (app) => {
      counting(app);
      app.get("/touch", async ({ session }) => {
        session.touch();
        await session.save();
        return {};
      });
    };
    const { read } = await start(kit, routes, { rolling: false });
    await read("/");
    const key = await onlyKey(kit);
    await kit.redis.pExpire(key, 20_000);
    assert.deepEqual(await read("/look"), { n: 1 });
    assert.ok((await kit.redis.pTTL(key)) <= 20_000);
    await read("/touch");
    await assertExpiry(kit, key, 60);
  },

  async "an expired session is replaced by a new one"(kit) {
    const { read } = await start(kit, counting);
    await read("/");
    await kit.redis.flushAll();
    assert.deepEqual(await read("/"), { n: 1 });
  },

  async "an error of Redis is a response with 500"(kit) {
    const { go, read } = await start(kit, counting);
    await read("/");
    const key = await onlyKey(kit);
    await kit.redis.del(key);
    await kit.redis.lPush(key, "not a session");
    const { status, text } = await go("/look");
    assert.equal(status, 500);
    assert.match(text, /WRONGTYPE/);
  },

  async "the app keeps running if an async handler sends its response and does not return it"(kit) {
    const { read, go } = await start(kit, (app) => {
      counting(app);
      app.get("/twice", async (request, reply) => {
        request.session.seen = true;
        reply.send({ sent: true });
      });
    });
    await read("/");
    for (let i = 0; i < 5; i += 1) await go("/twice").catch(() => {});
    assert.deepEqual(await read("/"), { n: 2 });
  },

  async "the app keeps running if a response is sent twice when the session is saved"(kit) {
    const { read, go } = await start(kit, (app) => {
      counting(app);
      app.get("/twice", (request, reply) => {
        request.session.save(() => {
          reply.send({ sent: 1 });
          reply.send({ sent: 2 });
        });
      });
    });
    await read("/");
    for (let i = 0; i < 5; i += 1) await go("/twice").catch(() => {});
    assert.deepEqual(await read("/"), { n: 2 });
  },

  async "a handler can use the store itself"(kit) {
    const routes = (app) => {
      counting(app);
      app.get("/admin", async ({ sessionStore }) => {
        const ids = await sessionStore.ids();
        const [{ n }] = await sessionStore.all();
        const answer = { count: await sessionStore.length(), ids: ids.length, n };
        await sessionStore.clear();
        return answer;
      });
    };
    // Otherwise the plugin stores the admin's own session again.
    const { read } = await start(kit, routes, { rolling: false });
    await read("/");
    assert.deepEqual(await read("/admin"), { count: 1, ids: 1, n: 1 });
    assert.equal(await kit.redis.dbSize(), 0);
  },
};

module.exports = {
  title: "@fastify/session",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases,
};
