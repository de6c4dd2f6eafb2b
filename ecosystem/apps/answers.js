"use strict";

// Express apps whose callbacks throw, which is what an answer that is sent twice does. With
// connect-redis such an app lives: the callback is called once more, with its own error.

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

/** An app with one route that answers twice in a callback; asserts that it serves the next request. */
function answersTwice(call) {
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
    "the app lives if it answers twice in save": answersTwice(({ req }, cb) =>
      req.session.save(cb),
    ),
    "the app lives if it answers twice in regenerate": answersTwice(({ req }, cb) =>
      req.session.regenerate(cb),
    ),
    "the app lives if it answers twice in destroy": answersTwice(({ req }, cb) =>
      req.session.destroy(cb),
    ),
    "the app lives if it answers twice in reload": answersTwice(({ req }, cb) =>
      req.session.reload(cb),
    ),
    "the app lives if it answers twice in get": answersTwice(({ req, store }, cb) =>
      store.get(req.sessionID, cb),
    ),
    "the app lives if it answers twice in set": answersTwice(({ req, store }, cb) =>
      store.set(req.sessionID, req.session, cb),
    ),
    "the app lives if it answers twice in touch": answersTwice(({ req, store }, cb) =>
      store.touch(req.sessionID, req.session, cb),
    ),
    "the app lives if it answers twice in all": answersTwice(({ store }, cb) => store.all(cb)),
    "the app lives if it answers twice in length": answersTwice(({ store }, cb) =>
      store.length(cb),
    ),
    "the app lives if it answers twice in ids": answersTwice(({ store }, cb) => store.ids(cb)),
    "the app lives if it answers twice in clear": answersTwice(({ store }, cb) => store.clear(cb)),
  },
};
