"use strict";

// Express apps whose callbacks throw because they send the response twice. With connect-redis such an
// app keeps running: the callback is called once more, with its own error.

const assert = require("node:assert/strict");
const express = require("express");
const session = require("express-session");
const { browser, serve } = require("../kit.js");

async function start(kit, routes) {
  const store = kit.store();
  const app = express();
  const options = { secret: "secret", resave: false, saveUninitialized: false };
  app.use(session({ store, cookie: { maxAge: 60_000 }, ...options }));
  app.get("/", (req, res) => {
    req.session.n = (req.session.n ?? 0) + 1;
    res.json({ n: req.session.n });
  });
  const heard = [];
  routes(app, { store, heard });
  app.use((error, _req, res, _next) => {
    if (!res.headersSent) res.status(500).json({ error: error.message });
  });
  const { address } = await serve(kit, app);
  return { heard, ...browser(address) };
}

/** An app with one route that sends the response twice in a callback; it must serve the next request. */
function respondsTwice(call) {
  return async (kit) => {
    const app = await start(kit, (routes, { store, heard }) => {
      routes.get("/twice", (req, res, next) => {
        req.session.n += 1;
        call({ req, store }, (error) => {
          heard.push(error?.code ?? null);
          if (error) return next(error);
          res.json({ sent: 1 });
          return res.json({ sent: 2 });
        });
      });
    });
    await app.read("/");
    for (let i = 0; i < 3; i += 1) {
      const { status, text } = await app.go("/twice");
      assert.deepEqual([status, text], [200, '{"sent":1}']);
    }
    await app.read("/");
    const once = [null, "ERR_HTTP_HEADERS_SENT"];
    assert.deepEqual(app.heard, [...once, ...once, ...once]);
  };
}

module.exports = {
  title: "Express, a callback throws",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases: {
    "the app keeps running if it responds twice in save": respondsTwice(({ req }, cb) =>
      req.session.save(cb),
    ),
    "the app keeps running if it responds twice in regenerate": respondsTwice(({ req }, cb) =>
      req.session.regenerate(cb),
    ),
    "the app keeps running if it responds twice in destroy": respondsTwice(({ req }, cb) =>
      req.session.destroy(cb),
    ),
    "the app keeps running if it responds twice in reload": respondsTwice(({ req }, cb) =>
      req.session.reload(cb),
    ),
    "the app keeps running if it responds twice in get": respondsTwice(({ req, store }, cb) =>
      store.get(req.sessionID, cb),
    ),
    "the app keeps running if it responds twice in set": respondsTwice(({ req, store }, cb) =>
      store.set(req.sessionID, req.session, cb),
    ),
    "the app keeps running if it responds twice in touch": respondsTwice(({ req, store }, cb) =>
      store.touch(req.sessionID, req.session, cb),
    ),
    "the app keeps running if it responds twice in all": respondsTwice(({ store }, cb) =>
      store.all(cb),
    ),
    "the app keeps running if it responds twice in length": respondsTwice(({ store }, cb) =>
      store.length(cb),
    ),
    "the app keeps running if it responds twice in ids": respondsTwice(({ store }, cb) =>
      store.ids(cb),
    ),
    "the app keeps running if it responds twice in clear": respondsTwice(({ store }, cb) =>
      store.clear(cb),
    ),
  },
};
