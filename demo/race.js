"use strict";

// Twenty parallel requests of one session, each of which sets a key of its own: once with a store whose
// last save wins, once with one that merges.

const { setTimeout: sleep } = require("node:timers/promises");
const express = require("express");
const session = require("express-session");

const KEYS = Array.from({ length: 20 }, (_, n) => `key${n + 1}`);
/** Milliseconds that a request works before it changes its session, as with a query to a database. */
const WORK_MS = 100;

/**
 * The routes of the race: those that the twenty requests are sent to, at the path of each store's name.
 * @param {Record<string, session.Store>} stores by the value of `concurrency` that they have
 */
function createTracks(stores) {
  const router = express.Router();
  for (const [name, store] of Object.entries(stores))
    router.use(`/${name}`, createTrack(name, store));
  return router;
}

/**
 * @param {string} name
 * @param {session.Store} store
 */
function createTrack(name, store) {
  const router = express.Router();
  router.use(
    session({
      store,
      name: `race.${name}`,
      secret: "only for the demo",
      resave: false,
      saveUninitialized: false,
      cookie: { maxAge: 60 * 1000, sameSite: "lax" },
    }),
  );
  router.post("/", (req, res) => {
    req.session.isRacing = true; // so that it is stored
    res.end();
  });
  router.put("/:key", async (req, res) => {
    await sleep(WORK_MS);
    req.session[req.params.key] = true;
    res.end();
  });
  router.get("/", (req, res) => {
    res.json(KEYS.filter((key) => req.session[key]));
  });
  router.delete("/", (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.end()));
  });
  return router;
}

/**
 * Sends the requests, as a browser would that has one session. Returns the keys that are left of the
 * twenty.
 * @param {string} address of a store's routes
 * @returns {Promise<string[]>}
 */
async function race(address) {
  const { headers } = await ask("POST", "");
  const cookie = headers.get("set-cookie").split(";")[0];
  await Promise.all(KEYS.map((key) => ask("PUT", `/${key}`, cookie)));
  const left = await (await ask("GET", "", cookie)).json();
  await ask("DELETE", "", cookie);
  return left;

  async function ask(method, path, cookie) {
    const response = await fetch(address + path, { method, headers: cookie ? { cookie } : {} });
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}`);
    return response;
  }
}

module.exports = { KEYS, createTracks, race };
