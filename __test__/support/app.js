"use strict";

const express = require("express");
const session = require("express-session");

/**
 * Starts an Express 5 app on a free port.
 * @param {session.Store} store
 * @param {object} options options for express-session
 * @param {(app: express.Express) => void} routes adds the app's routes
 * @returns a client that keeps cookies as a browser does
 */
async function startApp(store, options, routes) {
  const errors = [];
  const app = express();
  app.use(session({ store, secret: "test", resave: false, saveUninitialized: false, ...options }));
  routes(app);
  app.use((error, _req, res, _next) => {
    errors.push(error);
    res.status(500).json({ error: error.message, code: error.code });
  });
  const server = await new Promise((resolve, reject) => {
    const listening = app.listen(0, "127.0.0.1", (error) =>
      error ? reject(error) : resolve(listening),
    );
  });
  const address = `http://127.0.0.1:${server.address().port}`;
  const jar = { cookie: undefined };

  /** Sends a request; a cookie that the app sets is sent from then on. */
  async function request(path, { cookie = jar.cookie } = {}) {
    const response = await fetch(address + path, { headers: cookie ? { cookie } : {} });
    const set = response.headers.get("set-cookie");
    if (set) jar.cookie = set.split(";")[0];
    const text = await response.text();
    return { status: response.status, set, body: text && JSON.parse(text) };
  }

  async function close() {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }

  const sid = () => decodeURIComponent(jar.cookie).match(/=s:([^.]+)\./)[1];
  return { request, close, errors, jar, sid };
}

module.exports = { startApp };
