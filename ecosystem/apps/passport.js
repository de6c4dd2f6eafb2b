"use strict";

// passport 0.7 regenerates the session at login and logout. With keepSessionInfo it copies the fields of
// the old session. connect-flash keeps messages in the session.

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const flash = require("connect-flash");
const express = require("express");
const session = require("express-session");
const { Passport } = require("passport");
const { Strategy } = require("passport-local");
const { assertExpiry, browser, gate, onlyKey, serve } = require("../kit.js");

async function start(kit, { keepSessionInfo = false, routes = () => {} } = {}) {
  const passport = new Passport();
  passport.serializeUser((user, done) => done(null, user.name));
  passport.deserializeUser((name, done) => done(null, { name }));
  passport.use(
    new Strategy((username, password, done) =>
      password === "right"
        ? done(null, { name: username })
        : done(null, false, { message: "wrong password" }),
    ),
  );
  const app = express();
  const options = { secret: "secret", resave: false, saveUninitialized: false };
  app.use(session({ store: kit.store(), cookie: { maxAge: 60_000 }, ...options }));
  app.use(express.urlencoded({ extended: false }), flash());
  app.use(passport.initialize(), passport.session());
  app.get("/", (req, res) => {
    const { basket = null } = req.session;
    res.json({ user: req.user?.name ?? null, basket, messages: req.flash("error") });
  });
  app.get("/buy", (req, res) => {
    req.session.basket = ["book"];
    res.json({});
  });
  app.post(
    "/login",
    passport.authenticate("local", {
      successRedirect: "/",
      failureRedirect: "/",
      failureFlash: true,
      keepSessionInfo,
    }),
  );
  app.get("/logout", (req, res, next) => {
    req.logout({ keepSessionInfo }, (error) => (error ? next(error) : res.redirect("/")));
  });
  routes(app);
  const { address } = await serve(kit, app);
  return { address, ...browser(address) };
}

/** Starts the app of docs/sessions-of-a-user.md as it stands there, but for where it listens. */
async function startDocumented(kit) {
  const document = path.join(__dirname, "..", "..", "docs", "sessions-of-a-user.md");
  const [, sample] = /^```mjs\n([\s\S]*?)^```$/m.exec(readFileSync(document, "utf8"));
  const code = sample
    .replace("redis://localhost:6379", kit.url)
    .replace("app.listen(3000)", "app.listen(0, function () { console.log(this.address().port) })");
  const args = ["--input-type=module", "--eval", code];
  const child = spawn(process.execPath, args, {
    cwd: path.join(__dirname, ".."),
    stdio: ["ignore", "pipe", "inherit"],
  });
  kit.after(() => child.kill());
  const port = await new Promise((resolve, reject) => {
    child.stdout.setEncoding("utf8").once("data", resolve);
    child.once("exit", (code) => reject(new Error(`the sample ended with ${code}`)));
  });
  return `http://localhost:${port.trim()}`;
}

const RIGHT = { username: "Ada", password: "right" };
const WRONG = { username: "Ada", password: "wrong" };

module.exports = {
  title: "passport",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases: {
    async "a login is stored under a new key, and the old one is gone"(kit) {
      const app = await start(kit);
      await app.read("/buy");
      const before = await onlyKey(kit, "sess:*");
      assert.equal((await app.go("/login", RIGHT)).status, 302);
      const after = await onlyKey(kit, "sess:*");
      assert.notEqual(after, before);
      await assertExpiry(kit, after, 60);
      assert.deepEqual(await app.read("/"), { user: "Ada", basket: null, messages: [] });
    },

    async "keepSessionInfo copies the session's fields, at login and logout"(kit) {
      const app = await start(kit, { keepSessionInfo: true });
      await app.read("/buy");
      const keys = [await onlyKey(kit, "sess:*")];
      await app.go("/login", RIGHT);
      assert.deepEqual(await app.read("/"), { user: "Ada", basket: ["book"], messages: [] });
      keys.push(await onlyKey(kit, "sess:*"));
      await app.go("/logout");
      assert.deepEqual(await app.read("/"), { user: null, basket: ["book"], messages: [] });
      keys.push(await onlyKey(kit, "sess:*"));
      assert.equal(new Set(keys).size, 3);
      await assertExpiry(kit, keys[2], 60);
    },

    async "a session with copied fields can be saved again and again"(kit) {
      const app = await start(kit, { keepSessionInfo: true });
      for (let i = 0; i < 3; i += 1) {
        await app.go("/login", RIGHT);
        await app.read("/buy");
        assert.deepEqual(await app.read("/"), { user: "Ada", basket: ["book"], messages: [] });
      }
      await onlyKey(kit, "sess:*");
    },

    async "a login in the same request as other changes keeps all changes"(kit) {
      const app = await start(kit, {
        routes(routes) {
          routes.get("/register", (req, res, next) => {
            req.session.basket = ["pen"];
            req.login({ name: "Eve" }, { keepSessionInfo: true }, (error) => {
              if (error) return next(error);
              req.session.welcome = true;
              return res.json({});
            });
          });
        },
      });
      await app.read("/register");
      const { passport, basket, welcome } = JSON.parse(
        await kit.redis.get(await onlyKey(kit, "sess:*")),
      );
      assert.deepEqual([passport, basket, welcome], [{ user: "Eve" }, ["pen"], true]);
    },

    async "a message of connect-flash is shown once, after the redirect"(kit) {
      const app = await start(kit);
      assert.equal((await app.go("/login", WRONG)).location, "/");
      assert.deepEqual((await app.read("/")).messages, ["wrong password"]);
      assert.deepEqual((await app.read("/")).messages, []);
    },

    async "after a logout the old cookie belongs to no user"(kit) {
      const app = await start(kit);
      await app.go("/login", RIGHT);
      const stolen = browser(app.address);
      for (const [name, value] of app.cookies) stolen.cookies.set(name, value);
      assert.equal((await stolen.read("/")).user, "Ada");
      await app.go("/logout");
      assert.equal((await stolen.read("/")).user, null);
      assert.equal((await app.read("/")).user, null);
    },
  },
  ours: {
    async "the app of docs/sessions-of-a-user.md signs a user out everywhere"(kit) {
      const address = await startDocumented(kit);
      const [one, two, three, other] = [1, 2, 3, 4].map(() => browser(address));
      const form = (username) => ({ username, password: "a password" });
      for (const each of [one, two, three]) await each.go("/login", form("Ada"));
      await other.go("/login", form("Eve"));
      const statuses = async () =>
        Promise.all([one, two, three, other].map(async (each) => (await each.go("/")).status));
      assert.deepEqual(await statuses(), [200, 200, 200, 200]);
      assert.deepEqual(await one.read("/logout-everywhere-else", {}), { ended: 2 });
      assert.deepEqual(await statuses(), [200, 401, 401, 200]);
      await two.go("/login", form("Ada"));
      assert.deepEqual(await two.read("/logout-everywhere", {}), { ended: 2 });
      assert.deepEqual(await statuses(), [401, 401, 401, 200]);
    },

    async "a slow request does not bring back a session after a logout"(kit) {
      const [inside, outside] = [gate(), gate()];
      const app = await start(kit, {
        routes(routes) {
          routes.get("/slow", async (req, res) => {
            inside.open();
            await outside.passed;
            req.session.late = true;
            res.json({});
          });
        },
      });
      await app.go("/login", RIGHT);
      const key = await onlyKey(kit, "sess:*");
      const slow = browser(app.address);
      for (const [name, value] of app.cookies) slow.cookies.set(name, value);
      const answer = slow.read("/slow");
      await inside.passed;
      await app.go("/logout");
      outside.open();
      await answer;
      assert.equal(await kit.redis.exists(key), 0);
    },
  },
};
