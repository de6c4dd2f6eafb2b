"use strict";

const express = require("express");
const session = require("express-session");
const { admin } = require("connect-redis-rs/admin");
const { USERS, renderPage, renderRace } = require("./page.js");
const { KEYS, createTracks, race } = require("./race.js");

const MAX_AGE_MS = 30 * 60 * 1000;

/** Whoever sits at this machine may see the sessions, and end them. */
const isFromHere = ({ socket }) => /^(::1|(::ffff:)?127\.)/.test(socket.remoteAddress);

/**
 * The demo's Express app: sign in, count visits, list a user's sessions, sign out here or everywhere
 * else, and send twenty requests at once; and the admin page beside it.
 * @param {import("connect-redis-rs").RedisStore} store where sessions are kept; it knows their users
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
    const [stored, sessions, ...counts] = await Promise.all([
      inspect(req.sessionID),
      store.sessionsOf(user),
      ...USERS.map((each) => store.countOf(each)),
    ]);
    // No sid goes into the page: whoever has it and the secret has the session.
    const devices = sessions.map(({ id, expires, data: { device, visits } }) => {
      return { device, visits, expires, isThis: id === req.sessionID };
    });
    res.send(renderPage({ user, visits, expires: cookie.expires, stored, devices, counts }));
  });

  app.post("/login", (req, res, next) => {
    const user = USERS.find((name) => name === req.body?.user);
    if (!user) {
      return res.status(400).send(renderPage({ error: `Please choose ${USERS.join(" or ")}.` }));
    }
    const device = deviceOf(req.get("user-agent"));
    // A new sid at sign-in, against session fixation.
    req.session.regenerate((error) => {
      if (error) return next(error);
      Object.assign(req.session, { user, device, visits: 0 });
      res.redirect("/");
    });
  });

  app.post("/login-elsewhere", async (req, res) => {
    if (req.session.user) {
      await fetch(`http://localhost:${req.socket.localPort}/login`, {
        method: "POST",
        headers: { "user-agent": "Another browser" },
        body: new URLSearchParams({ user: req.session.user }),
        redirect: "manual",
      });
    }
    res.redirect("/");
  });

  app.post("/logout-elsewhere", async (req, res) => {
    if (req.session.user) {
      await store.destroyAllOf(req.session.user, { except: req.sessionID });
    }
    res.redirect("/");
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

/**
 * A name for the browser that has signed in.
 * @param {string} [agent] its User-Agent
 */
function deviceOf(agent = "Unknown browser") {
  const browser = /\b(Firefox|Edg|OPR|Chrome|Safari)\//.exec(agent)?.[1];
  const system = /\b(Windows|Android|iPhone|iPad|Mac OS X|Linux)\b/.exec(agent)?.[1];
  return browser && system ? `${browser} on ${system}` : agent.slice(0, 80);
}

function save(sess) {
  return new Promise((resolve, reject) => {
    sess.save((error) => (error ? reject(error) : resolve()));
  });
}

module.exports = { createApp };
