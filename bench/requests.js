"use strict";

// What a user waits for: requests to an Express app with a Redis that is some way off, on a machine with
// nothing else to do, and on one whose cores are all busy. Of ten requests nine only read the session of a
// signed-in user, and one changes it.

const path = require("node:path");
const { costOf, openApp } = require("./apps.js");
const { keepCoresBusy } = require("./busy.js");
const { ofOther } = require("./cpu.js");
const { startDistance } = require("./distance.js");
const { OURS, REFERENCE } = require("./names.js");
const { beBeside } = require("./priority.js");
const { startProcess } = require("./processes.js");
const { roundTrips } = require("./redis-wait.js");
const { takeTurns } = require("./statistics.js");

const BROWSERS = path.join(__dirname, "browser-process.js");
/** Requests of a measurement at least: with fewer, p99 says nothing. */
const LEAST = 150;
const WARM_UP = { seconds: 0.05, least: 5 };
/** Before the first measurement: V8 takes some thousand requests to compile what is used often. */
const FIRST_WARM_UP = { concurrency: 10, seconds: 1.5, least: 1000 };
/** The estimated time of a turn beside the requests, and of starting an app, in seconds. */
const AROUND_SECONDS = 0.1;
const START_SECONDS = 4;
/** What a request waits for, roughly, in round trips. */
const ROUND_TRIPS = 2;

function plan(settings) {
  const { loads, concurrencies, peers } = settings;
  const cells = loads.flatMap(() => concurrencies.map((calls) => estimateOf(settings, calls)));
  return cells.reduce((sum, cell) => sum + cell, START_SECONDS * peers.length);
}

/** The estimated time of the cells of one concurrency, in seconds. */
function estimateOf({ peers, rounds, seconds, distances }, concurrency) {
  const least = (distance) => (LEAST * (0.5 + distance * ROUND_TRIPS)) / 1000 / concurrency;
  const turns = distances.map((distance) => Math.max(seconds, least(distance)) + AROUND_SECONDS);
  return peers.length * rounds * turns.reduce((sum, turn) => sum + turn, 0);
}

async function run({ redis, settings, results, progress, leaveOut }) {
  let away;
  try {
    away = await startDistance(redis.port);
  } catch (error) {
    leaveOut("requests with Redis some way off", error.message);
    return;
  }
  results.requests = [];
  results.distances = [];
  const browsers = startProcess(BROWSERS);
  const apps = await openApps(settings.peers, away.url, browsers, leaveOut);
  progress.done("the apps are running", START_SECONDS * settings.peers.length);
  if (![redis.pid, away.pid].every(beBeside)) {
    progress.say("Redis and the proxy have no priority over the app: this user may not give it");
  }
  for (const load of settings.loads) {
    const others = load === "busy" ? await keepCoresBusy() : [];
    for (const distance of settings.distances) {
      await away.setDistance(distance);
      results.distances.push({ load, distance, ping: await away.ping() });
    }
    for (const concurrency of settings.concurrencies) {
      const cells = await measureCells({ load, concurrency }, settings, { apps, browsers, away });
      results.requests.push(...cells);
      const lines = cells.map((cell) => lineOf(results.requests, cell));
      progress.done(lines.join("\n"), estimateOf(settings, concurrency));
    }
    await Promise.all(others.map((other) => other.stop()));
  }
  for (const app of apps.values()) await app.stop();
  await browsers.stop();
  await away.stop();
}

/** Starts the apps, which have had some requests when it resolves, and at least one of each user. */
async function openApps(peers, url, browsers, leaveOut) {
  const apps = new Map();
  for (const [n, name] of peers.entries()) {
    try {
      const { app, port, cookies } = await openApp(name, "express", { url, prefix: `app${n}:` });
      await browsers.call("meet", name, port, cookies);
      await browsers.call("visit", name);
      await browsers.call("load", name, FIRST_WARM_UP);
      apps.set(name, app);
    } catch (error) {
      leaveOut(`requests to ${name}`, error.message);
    }
  }
  return apps;
}

/** Measures all peers at all distances, in turns: a round has every pair of them. */
async function measureCells({ load, concurrency }, settings, { apps, browsers, away }) {
  const { distances, rounds, seconds } = settings;
  const peers = [...apps.keys()];
  const pairs = new Map(
    distances.flatMap((distance) =>
      peers.map((name) => [`${name} at ${distance} ms`, { name, distance }]),
    ),
  );
  const turns = await takeTurns([...pairs.keys()], rounds, async (pair) => {
    const { name, distance } = pairs.get(pair);
    await away.setDistance(distance);
    const ask = (how) => browsers.call("load", name, { concurrency, ...how });
    await ask(WARM_UP);
    const before = ofOther(away.pid);
    let requests;
    const figures = await costOf(apps.get(name), async () => {
      const loaded = await ask({ seconds, least: LEAST });
      requests = loaded.requests;
      return loaded;
    });
    return { ...figures, proxyCpu: (ofOther(away.pid) - before) / 1000 / requests };
  });
  return distances.map((distance) => {
    const own = (figures) =>
      Object.fromEntries(
        peers
          .map((name) => [name, figures?.[`${name} at ${distance} ms`]])
          .filter(([, found]) => found !== undefined),
      );
    const failed = own(turns.failed);
    return {
      ...{ load, concurrency, distance },
      ...{ rounds: turns.rounds.map(own), medians: own(turns.medians) },
      ...(Object.keys(failed).length > 0 && { failed }),
    };
  });
}

function lineOf(requests, cell) {
  const { load, concurrency, distance, medians, failed = {} } = cell;
  const words = [`${load} ${`${concurrency}`.padStart(3)} requests, Redis ${distance} ms away`];
  for (const [name, { p50 }] of Object.entries(medians)) {
    // With many at once, they wait for the CPU rather than for Redis.
    const trips = concurrency === 1 ? roundTrips(requests, cell, name) : Number.NaN;
    const waits = Number.isFinite(trips) ? ` (${trips.toFixed(1)} round trips)` : "";
    const short = name.replace(`${OURS}, `, "").replace(REFERENCE, "connect-redis");
    words.push(`${short} ${p50.toPrecision(3)} ms${waits}`);
  }
  for (const [name, error] of Object.entries(failed)) words.push(`${name} FAILED: ${error}`);
  return words.join("   ");
}

module.exports = { plan, run };
