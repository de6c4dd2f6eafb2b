"use strict";

// A real server under load: Express and bare http with express-session, on each peer's store. A request
// that reads a session calls get and touch; one that changes it calls get and set.

const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { costOf, openApp } = require("./apps.js");
const { findLoader, loadWith } = require("./http-load.js");
const { MEMORY, OURS, REFERENCE } = require("./names.js");
const { ratio, takeTurns } = require("./statistics.js");

const ROUTES = ["/read", "/change"];
const WARM_UP_SECONDS = 1;

function plan({ frameworks, peers, rounds, seconds }) {
  return frameworks.length * ROUTES.length * estimateOf({ peers, rounds, seconds });
}

/** The estimated time of one cell, in seconds. */
function estimateOf({ peers, rounds, seconds }) {
  return peers.length * (WARM_UP_SECONDS + rounds * (Math.max(1, seconds) + 0.15));
}

async function run({ redis, settings, results, progress, leaveOut }) {
  const { frameworks, peers, rounds, seconds } = settings;
  const loader = findLoader();
  results.loader = loader;
  results.server = [];
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-bench-"));
  // Even if the run is interrupted.
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", removeFolder);
  for (const framework of frameworks) {
    const apps = new Map();
    for (const [n, name] of peers.entries()) {
      const cookieFile = path.join(folder, `${framework}-${n}`);
      const where = { url: redis.url, prefix: `${framework}${n}:` };
      try {
        const { app, port, cookies } = await openApp(name, framework, where);
        writeFileSync(cookieFile, `${cookies.join("\n")}\n`);
        apps.set(name, { app, address: `http://127.0.0.1:${port}`, cookieFile });
      } catch (error) {
        leaveOut(`${name} with ${framework}`, error.message);
      }
    }
    for (const route of ROUTES) {
      const cell = await takeTurns([...apps.keys()], rounds, async (name, round) => {
        const { app, address, cookieFile } = apps.get(name);
        const load = (time) => loadWith(loader, `${address}${route}`, cookieFile, time);
        if (round === 0) await load(WARM_UP_SECONDS);
        return await costOf(app, () => load(seconds));
      });
      const measured = { framework, route, ...cell };
      results.server.push(measured);
      progress.done(lineOf(measured), estimateOf(settings));
    }
    for (const { app } of apps.values()) await app.stop();
  }
  process.off("exit", removeFolder);
  removeFolder();
}

function lineOf(cell) {
  const { framework, route, medians, failed = {} } = cell;
  const words = [`${framework.padEnd(7)} ${route.padEnd(7)}`];
  for (const name of [REFERENCE, MEMORY, OURS]) {
    if (medians[name]) words.push(`${name} ${Math.round(medians[name].rate)}/s`);
  }
  if (medians[REFERENCE] && medians[OURS]) {
    words.push(`${ratio(cell, "rate", OURS, REFERENCE).toFixed(2)}×`);
  }
  for (const [name, error] of Object.entries(failed)) words.push(`${name} FAILED: ${error}`);
  return words.join("   ");
}

module.exports = { plan, run };
