"use strict";

// next-session 4: it uses the store's promises, calls set with what get returned, and has its own
// express-session, which contains only Store.

const assert = require("node:assert/strict");
const { default: nextSession } = require("next-session");
const { expressSession, promisifyStore } = require("next-session/lib/compat");
const { assertExpiry, browser, onlyKey, serve } = require("../kit.js");

async function start(kit, store, options) {
  const sessionOf = nextSession({ store, cookie: { maxAge: 60 }, ...options });
  const { address } = await serve(kit, async (req, res) => {
    try {
      const session = await sessionOf(req, res);
      if (req.url === "/") session.n = (session.n ?? 0) + 1;
      if (req.url === "/commit") {
        session.n = 100;
        await session.commit();
      }
      if (req.url === "/logout") await session.destroy();
      res.setHeader("content-type", "application/json");
      res.end(JSON.stringify({ n: session.n ?? null }));
    } catch (error) {
      res.statusCode = 500;
      res.end(String(error?.stack));
    }
  });
  return browser(address);
}

/** The same cases for each way to pass the store. */
function casesOf(way, storeOf) {
  return {
    async [`${way}: a session is stored, read and changed`](kit) {
      const { read } = await start(kit, storeOf(kit));
      for (const n of [1, 2, 3]) assert.deepEqual(await read("/"), { n });
      const key = await onlyKey(kit, "sess:*");
      assert.equal(JSON.parse(await kit.redis.get(key)).n, 3);
      await assertExpiry(kit, key, 60);
    },

    async [`${way}: destroy removes the session`](kit) {
      const { read } = await start(kit, storeOf(kit));
      await read("/");
      await read("/logout");
      assert.equal(await kit.redis.dbSize(), 0);
      assert.deepEqual(await read("/"), { n: 1 });
    },

    async [`${way}: touchAfter keeps the session alive`](kit) {
      const { read } = await start(kit, storeOf(kit), { touchAfter: 0 });
      await read("/");
      const key = await onlyKey(kit, "sess:*");
      await kit.redis.pExpire(key, 20_000);
      assert.deepEqual(await read("/look"), { n: 1 });
      await assertExpiry(kit, key, 60);
    },

    async [`${way}: commit stores the session`](kit) {
      const { read } = await start(kit, storeOf(kit), { autoCommit: false });
      await read("/commit");
      assert.deepEqual(await read("/look"), { n: 100 });
      assert.deepEqual(await read("/"), { n: 101 });
      assert.deepEqual(await read("/look"), { n: 100 });
    },
  };
}

module.exports = {
  title: "next-session",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases: {
    ...casesOf("promisifyStore", (kit) => promisifyStore(kit.store())),
    ...casesOf("the store itself", (kit) => kit.store()),
  },
  // connect-redis 10 no longer accepts an express-session.
  ours: casesOf("made for next-session's expressSession", (kit) => {
    const store = new (kit.module(expressSession))(kit.options);
    assert.ok(store instanceof expressSession.Store);
    kit.after(() => store.close());
    return promisifyStore(store);
  }),
};
