"use strict";

const express = require("express");
const session = require("express-session");
const { admin } = require("connect-redis-rs/admin");
const { renderPage, renderRace } = require("./page.js");
const { KEYS, createTracks, race } = require("./race.js");

const MAX_AGE_MS = 30 * 60 * 1000;

/** Whoever sits at this machine may see the sessions, and end them. */
const isFromHere = ({ socket }) => /^(::1|(::ffff:)?127\.)/.test(socket.remoteAddress);

/**
 * The demo's Express app: sign in, count visits, sign out, and send twenty requests at once; and the admin
 * page beside it.
 * @param {session.Store} store where sessions are kept
 * @param {(sid: string) => Promise<{key: string, json: string, ttl: number} | null>} inspect
 *   returns what Redis holds for a session
 * @param {{last: session.Store, merge: session.Store}} stores for the twenty requests, by the value of
 *   `concurrency` that they have
 */
function createApp(store, inspect, stores) {
  const app = express();
  // Before the session of the app: they have sessions of their own.
  app.use("/race", createTracks(stores));
  app.post("/race", async (req, res) => {
    const address = `http://localhost:${req.socket.localPort}/race`;
    const [last, merge] = [await race(`${address}/last`), await race(`${address}/merge`)];
    res.send(renderRace({ keys: KEYS, last, merge }));
  });
  app.use("/sessions", admin(store, { authorize: isFromHere, write: true, show: ["user"] }));
  app.use(express.urlencoded({ extended: false }));
  app.use(
    session({
      store,
      secret: "only for the demo",
      resave: false,
      saveUninitialized: false,
      rolling: true,
      cookie: { maxAge: MAX_AGE_MS, sameSite: "lax" },
    }),
  );

  app.get("/", async (req, res) => {
    if (!req.session.user) return res.send(renderPage({}));
    req.session.visits += 1;
    await save(req.session);
    const { user, visits, cookie } = req.session;
    const stored = await inspect(req.sessionID);
    res.send(renderPage({ user, visits, expires: cookie.expires, stored }));
  });

  app.post("/login", (req, res, next) => {
    const user = String(req.body?.user ?? "").trim();
    if (!user) return res.status(400).send(renderPage({ error: "Please enter a name." }));
    // A new sid at sign-in, against session fixation.
    req.session.regenerate((error) => {
      if (error) return next(error);
      Object.assign(req.session, { user: user.slice(0, 80), visits: 0 });
      res.redirect("/");
    });
  });

  app.post("/logout", (req, res, next) => {
    req.session.destroy((error) => {
      if (error) return next(error);
      res.redirect("/");
    });
  });

  app.use((error, _req, res, _next) => {
    console.error(error.message);
    res.status(500).send(renderPage({ error: `No session: ${error.message}` }));
  });
  return app;
}

function save(sess) {
  return new Promise((resolve, reject) => {
    sess.save((error) => (error ? reject(error) : resolve()));
  });
}

module.exports = { createApp };
