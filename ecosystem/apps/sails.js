"use strict";

// Sails's session hook: it calls the adapter with express-session, and passes its whole configuration to
// the store. With `adapter: "connect-redis"` it makes a client (node-redis 3) itself.

const assert = require("node:assert/strict");
const { mkdirSync, mkdtempSync, rmSync, symlinkSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { Sails } = require("sails");
const { freePort } = require("../../scripts/redis-server.js");
const { assertExpiry, browser } = require("../kit.js");

/** Lays out an app that uses this store in place of connect-redis. */
function layApp(kit) {
  const appPath = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-sails-"));
  kit.after(() => rmSync(appPath, { recursive: true, force: true }));
  mkdirSync(path.join(appPath, "node_modules"));
  const ours = path.dirname(require.resolve("connect-redis-rs/package.json"));
  const theirs = path.dirname(require.resolve("@sailshq/connect-redis/package.json"));
  for (const [name, target] of [
    ["connect-redis-rs", ours],
    ["connect-redis", kit.isReference ? theirs : ours],
  ]) {
    symlinkSync(target, path.join(appPath, "node_modules", name), "junction");
  }
  return appPath;
}

/** Lifts an app with a session configuration. */
async function lift(kit, session) {
  const sails = new Sails();
  const port = await freePort();
  const config = {
    appPath: layApp(kit),
    explicitHost: "127.0.0.1",
    port,
    globals: false,
    log: { level: "silent" },
    hooks: { grunt: false },
    session: { secret: "secret", cookie: { maxAge: 60_000 }, ...session },
    routes: {
      "GET /": (req, res) => {
        req.session.n = (req.session.n ?? 0) + 1;
        return res.json({ n: req.session.n });
      },
      "GET /regenerate": (req, res) =>
        req.session.regenerate((error) => res.json({ error: error?.message ?? null })),
      "GET /logout": (req, res) => {
        req.session.destroy((error) => res.json({ error: error?.message ?? null }));
      },
    },
  };
  kit.after(async () => {
    await new Promise((resolve) => sails.lower(resolve));
    await sails.config.session?.store?.close?.();
    sails.config.session?.client?.quit?.();
  });
  await new Promise((resolve, reject) => {
    sails.lift(config, (error) => (error ? reject(error) : resolve()));
  });
  return { sails, ...browser(`http://127.0.0.1:${port}`) };
}

/** Uses the sessions of an app in each way. */
async function use(kit, session, prefix = "sess:") {
  const { sails, read } = await lift(kit, session);
  for (const n of [1, 2, 3]) assert.deepEqual(await read("/"), { n });
  const [key, ...others] = await kit.redis.keys("*");
  assert.deepEqual(others, []);
  assert.ok(key.startsWith(prefix), `the key begins with ${key.slice(0, 5)}`);
  await assertExpiry(kit, key, 60);

  // The hook's own access to a session, for sockets.
  const sid = key.slice(prefix.length);
  const ask = (name, ...args) =>
    new Promise((resolve, reject) => {
      sails.session[name](...args, (error, data) => (error ? reject(error) : resolve(data)));
    });
  const stored = await ask("get", sid);
  assert.equal(stored.n, 3);
  assert.equal((await ask("set", sid, { ...stored, n: 10 })).n, 10);
  assert.deepEqual(await read("/"), { n: 11 });
  await assert.rejects(ask("get", "nobody"), { code: "E_SESSION" });

  // A request over a socket also has a session.
  const virtual = await new Promise((resolve, reject) => {
    sails.request("GET /", (error, _response, body) => (error ? reject(error) : resolve(body)));
  });
  assert.deepEqual(virtual, { n: 1 });

  assert.deepEqual(await read("/regenerate"), { error: null });
  assert.equal(await kit.redis.exists(key), 0);
  assert.deepEqual(await read("/"), { n: 1 });
  assert.deepEqual(await read("/logout"), { error: null });
  assert.deepEqual(await read("/"), { n: 1 });
}

const partsOf = ({ url }) => ({ host: new URL(url).hostname, port: Number(new URL(url).port) });

module.exports = {
  title: "Sails",
  // Sails makes the connection.
  connections: ["url", "connect-redis 6"],
  cases: {
    async "adapter: connect-redis, with a url beside Sails's own client"(kit) {
      await use(kit, { adapter: "connect-redis", url: kit.url });
    },

    async "adapter: connect-redis, with host, port, db and a prefix"(kit) {
      const where = { ...partsOf(kit), db: 0, prefix: "app:" };
      await use(kit, { adapter: "connect-redis", ...where }, "app:");
    },
  },
  ours: {
    async "adapter: connect-redis-rs, with a url"(kit) {
      await use(kit, { adapter: "connect-redis-rs", url: kit.url });
    },

    async "the adapter itself, with a url"(kit) {
      await use(kit, { adapter: kit.module, url: kit.url });
    },

    async "handleConstructingSessionStore, with Sails's client"(kit) {
      await use(kit, {
        adapter: "connect-redis",
        url: kit.url,
        handleConstructingSessionStore: ({ client }, { RedisStore }) => new RedisStore({ client }),
      });
    },

    async "adapter: connect-redis-rs, with host and port: an error that says what to write"(kit) {
      const lifting = lift(kit, { adapter: "connect-redis-rs", ...partsOf(kit) });
      await assert.rejects(lifting, /TypeError: .*host.*url/s);
    },

    async "no option of the passed configuration is warned about twice"(kit) {
      const config = { adapter: "connect-redis", url: kit.url, ...partsOf(kit) };
      for (let i = 0; i < 2; i += 1) {
        await kit.redis.flushAll();
        await use(kit, { ...config });
      }
      const names = kit.warnings
        .filter(({ code }) => code === "CONNECT_REDIS_RS_OPTION")
        .flatMap(({ message }) =>
          /options? (.+) do(?:es)? nothing/.exec(message)[1].split(/, | and /),
        );
      assert.deepEqual(names, [...new Set(names)]);
    },
  },
};
