"use strict";

// A server in a process of its own: bare http or Express, with express-session on a peer's store.
// A request without a session gets 401, so that a lost session is noticed.

const http = require("node:http");
const session = require("express-session");
const { cpuNow } = require("./cpu.js");
const { openPeer } = require("./peers.js");
const { serve } = require("./processes.js");
const { MAX_AGE_MS, makeSession } = require("./sessions.js");

const { cookie: _, ...data } = makeSession(600);

/** The routes, which are the same for both frameworks. */
const ROUTES = {
  "/login"(req) {
    Object.assign(req.session, data);
    return 200;
  },
  "/read": (req) => (req.session.passport ? 200 : 401),
  "/change"(req) {
    if (!req.session.passport) return 401;
    req.session.views += 1;
    return 200;
  },
};

function listen(framework, store) {
  const sessions = session({
    store,
    secret: "a secret",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: MAX_AGE_MS, httpOnly: true, sameSite: "lax" },
  });
  const app = framework === "express" ? withExpress(sessions) : bare(sessions);
  return new Promise((resolve) => {
    const server = http.createServer(app).listen(0, "127.0.0.1", () => {
      resolve(server.address().port);
    });
  });
}

function withExpress(sessions) {
  const app = require("express")();
  app.use(sessions);
  for (const [path, route] of Object.entries(ROUTES)) {
    app.get(path, (req, res) => {
      res.status(route(req)).send(`views ${req.session.views}`);
    });
  }
  return app;
}

function bare(sessions) {
  return (req, res) => {
    sessions(req, res, (error) => {
      res.statusCode = error ? 500 : ROUTES[req.url](req);
      res.end(`views ${req.session?.views}`);
    });
  };
}

serve({
  /** @returns the port */
  async listen(name, framework, where) {
    const { store } = await openPeer(name, where);
    return await listen(framework, store);
  },
  /** Nanoseconds of CPU used so far, of the JS thread and of the process. */
  cpu: cpuNow,
});
