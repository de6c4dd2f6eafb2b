"use strict";

// A store like Overleaf's, written for connect-redis 6: a subclass that stores through two other stores,
// whose clients only have `set` and add NX or XX to its arguments.

const assert = require("node:assert/strict");
const cookieParser = require("cookie-parser");
const express = require("express");
const session = require("express-session");
const { assertExpiry, browser, gate, onlyKey, serve } = require("../kit.js");

/** @returns the class, and the reply of Redis to each SET with its flag */
function storeClass(module) {
  const RedisStore = module(session);
  const answers = [];

  class Wrapper {
    #client;
    #flag;

    constructor(client, flag) {
      this.#client = client;
      this.#flag = flag;
    }

    set(args, cb) {
      args.push(this.#flag);
      this.#client.set(args, (error, reply) => {
        answers.push(`${this.#flag} ${reply}`);
        cb(error, reply);
      });
    }
  }

  class CheckedStore extends RedisStore {
    #first;
    #again;

    constructor({ client }) {
      super({ client });
      this.#first = new RedisStore({ client: new Wrapper(client, "NX") });
      this.#again = new RedisStore({ client: new Wrapper(client, "XX") });
    }

    get(sid, cb) {
      super.get(sid, (error, sess) => {
        if (error || !sess || sess.token !== sid.slice(-4)) return cb(error, null);
        return cb(null, sess);
      });
    }

    set(sid, sess, cb) {
      sess.token = sid.slice(-4);
      const { req } = sess;
      if (sid === req.signedCookies.sid || sid === req.newSid) {
        this.#again.set(sid, sess, cb);
      } else {
        Object.defineProperty(req, "newSid", { value: sid });
        this.#first.set(sid, sess, cb);
      }
    }
  }
  return { CheckedStore, answers };
}

async function start(kit, routes = () => {}) {
  const { CheckedStore, answers } = storeClass(kit.module);
  const store = new CheckedStore(kit.options);
  if (!kit.isReference) kit.after(() => store.close());
  const app = express();
  app.use(cookieParser("secret"));
  const options = { name: "sid", secret: "secret", resave: false, saveUninitialized: false };
  app.use(session({ store, cookie: { maxAge: 60_000 }, rolling: true, ...options }));
  app.get("/", (req, res) => {
    req.session.n = (req.session.n ?? 0) + 1;
    res.json({ n: req.session.n });
  });
  app.get("/look", (req, res) => res.json({ n: req.session.n ?? null }));
  app.get("/login", (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error);
      req.session.user = "Ada";
      return req.session.save((failed) => (failed ? next(failed) : res.json({})));
    });
  });
  app.get("/logout", (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({})));
  });
  routes(app);
  const { address } = await serve(kit, app);
  return { address, answers, ...browser(address) };
}

module.exports = {
  title: "a client that only has set",
  connections: ["ioredis 5", "connect-redis 6"],
  cases: {
    async "a session is stored first with NX, then with XX, with its expiry"(kit) {
      const { read, answers } = await start(kit);
      for (const n of [1, 2, 3]) assert.deepEqual(await read("/"), { n });
      assert.deepEqual(answers, ["NX OK", "XX OK", "XX OK"]);
      await assertExpiry(kit, await onlyKey(kit), 60);
    },

    async "a session that is only read is touched"(kit) {
      const { read, answers } = await start(kit);
      await read("/");
      const key = await onlyKey(kit);
      await kit.redis.pExpire(key, 20_000);
      assert.deepEqual(await read("/look"), { n: 1 });
      await assertExpiry(kit, key, 60);
      assert.deepEqual(answers, ["NX OK"]);
    },

    async "a login is stored under a new key, and saved again in the same request"(kit) {
      const { read, answers } = await start(kit);
      await read("/");
      const before = await onlyKey(kit);
      await read("/login");
      const after = await onlyKey(kit);
      assert.notEqual(after, before);
      assert.equal(JSON.parse(await kit.redis.get(after)).user, "Ada");
      assert.ok(answers.slice(1).every((answer) => / OK$/.test(answer)));
    },

    async "a token that does not match gives a new session"(kit) {
      const { read } = await start(kit);
      await read("/");
      const key = await onlyKey(kit);
      const stored = JSON.parse(await kit.redis.get(key));
      await kit.redis.set(key, JSON.stringify({ ...stored, token: "none" }));
      assert.deepEqual(await read("/look"), { n: null });
    },

    async "a slow request does not bring back a session after a logout"(kit) {
      const [inside, outside] = [gate(), gate()];
      const { read, cookies, address, answers } = await start(kit, (app) => {
        app.get("/slow", async (req, res) => {
          inside.open();
          await outside.passed;
          req.session.late = true;
          res.json({});
        });
      });
      await read("/");
      const slow = browser(address);
      for (const [name, value] of cookies) slow.cookies.set(name, value);
      const answer = slow.read("/slow");
      await inside.passed;
      await read("/logout");
      outside.open();
      await answer;
      assert.equal(answers.at(-1), "XX null");
      assert.equal(await kit.redis.dbSize(), 0);
    },
  },
};
