"use strict";

// length, ids, all and clear over many sessions: how long they take, and how long they block the event
// loop and Redis. Every call is made in a fresh process, like the first call of an app. All peers read
// the same sessions, in the form that all of them store.

const os = require("node:os");
const path = require("node:path");
const { send } = require("../scripts/redis-server.js");
const { fillRedis } = require("./fill.js");
const { OURS, REFERENCE, SCAN } = require("./names.js");
const { nativeProgram } = require("./native.js");
const { outputOf, startProcess } = require("./processes.js");
const { ratio, takeTurns } = require("./statistics.js");

const OPERATIONS = ["length", "ids", "all", "clear"];
const PREFIX = "sess:";
/** What SCAN alone does; the keys that SCAN looks at in a step are as many as the store's. */
const SCANS = { length: "count", ids: "count", clear: "unlink" };
const SCAN_COUNT = 500;
const BULK_PROCESS = path.join(__dirname, "bulk-process.js");
const WATCHER_PROCESS = path.join(__dirname, "watcher-process.js");
/** The memory that Redis, and a process that holds all sessions as objects, need: bytes per session. */
const MEMORY_EACH = 6_000;
/** Estimated seconds per session, of a call and of filling Redis. */
const SECONDS_EACH = { length: 3e-6, ids: 4e-6, all: 15e-6, clear: 5e-6, fill: 8e-6 };
const START_SECONDS = 0.4;

function plan(settings) {
  return settings.sizes.reduce(
    (sum, size) =>
      sum + OPERATIONS.reduce((of, operation) => of + estimateOf(operation, size, settings), 0),
    0,
  );
}

/** The estimated time of one cell, in seconds. */
function estimateOf(operation, { count, rounds }, { peers }) {
  const each = SECONDS_EACH[operation] + (operation === "clear" ? SECONDS_EACH.fill : 0);
  return rounds * peersOf(operation, peers).length * (START_SECONDS + each * count);
}

/** The peers that have an operation. */
function peersOf(operation, peers) {
  return peers.filter((name) => name !== SCAN || operation in SCANS);
}

async function run({ redis, settings, results, progress, leaveOut }) {
  results.bulk = [];
  const peers = settings.peers.filter((name) => name !== SCAN || canScan(leaveOut));
  const watcher = startProcess(WATCHER_PROCESS);
  await watcher.call("open", redis.port);
  for (const size of settings.sizes) {
    const needed = size.count * MEMORY_EACH;
    const free = Math.min(os.freemem(), process.availableMemory?.() ?? Number.POSITIVE_INFINITY);
    if (free < needed) {
      const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(1)} GB`;
      const why = `needs ${gigabytes(needed)} of memory, only ${gigabytes(free)} are free`;
      leaveOut(`${size.count} sessions`, why);
      continue;
    }
    await send(redis.port, "FLUSHALL");
    await fillRedis(redis.port, PREFIX, size.count);
    for (const operation of OPERATIONS) {
      const cell = await takeTurns(peersOf(operation, peers), size.rounds, (name) =>
        runOnce(name, operation, size.count, redis, watcher),
      );
      const measured = { operation, count: size.count, ...cell };
      results.bulk.push(measured);
      progress.done(lineOf(measured), estimateOf(operation, size, settings));
    }
  }
  await watcher.stop();
}

function canScan(leaveOut) {
  try {
    nativeProgram("scan-floor");
    return true;
  } catch (error) {
    leaveOut(SCAN, error.message);
    return false;
  }
}

/**
 * Makes one call in its own process.
 * @returns {Promise<{seconds: number, stall?: number, memoryMB?: number, held: number}>} `held` is
 *   the longest time that another client waited for the reply to a PING, in milliseconds
 */
async function runOnce(name, operation, count, redis, watcher) {
  // A clear before this call has deleted all sessions.
  if ((await keysIn(redis)) !== count) {
    await send(redis.port, "FLUSHALL");
    await fillRedis(redis.port, PREFIX, count);
  }
  const peer = name === SCAN ? scanAlone(redis) : await openProcess(name, redis);
  try {
    await watcher.call("begin");
    const { count: found, ...figures } = await peer.run(operation);
    const held = await watcher.call("end");
    const right = operation === "clear" ? 0 : count;
    const left = operation === "clear" ? await keysIn(redis) : found;
    if (left !== right) throw new Error(`${operation}: ${left} sessions instead of ${right}`);
    return { ...figures, held };
  } finally {
    await watcher.call("end"); // even if the call failed
    await peer.stop();
  }
}

/** A peer in a fresh process, which is connected. */
async function openProcess(name, redis) {
  const child = startProcess(BULK_PROCESS);
  try {
    await child.call("open", name, { url: redis.url, prefix: PREFIX });
  } catch (error) {
    await child.stop();
    throw error;
  }
  return { run: (operation) => child.call("run", operation), stop: child.stop };
}

function scanAlone({ port }) {
  const run = async (operation) => {
    const args = [`${port}`, SCANS[operation], `${PREFIX}*`, `${SCAN_COUNT}`];
    return JSON.parse(await outputOf(nativeProgram("scan-floor"), args));
  };
  return { run, async stop() {} };
}

async function keysIn(redis) {
  return Number((await send(redis.port, "DBSIZE")).slice(1));
}

function lineOf(cell) {
  const { operation, count, medians, failed = {} } = cell;
  const words = [`${operation.padEnd(6)} ${`${count}`.padStart(7)} sessions`];
  for (const name of [REFERENCE, OURS]) {
    const { seconds, stall, held } = medians[name] ?? {};
    if (seconds === undefined) continue;
    const waits = `stall ${stall.toFixed(0)} ms, Redis held ${held.toFixed(0)} ms`;
    words.push(`${name} ${seconds.toFixed(2)} s (${waits})`);
  }
  if (medians[SCAN]) words.push(`${SCAN} ${medians[SCAN].seconds.toFixed(2)} s`);
  if (medians[REFERENCE] && medians[OURS]) {
    words.push(`${ratio(cell, "seconds", REFERENCE, OURS).toFixed(2)}×`);
  }
  for (const [name, error] of Object.entries(failed)) words.push(`${name} FAILED: ${error}`);
  return words.join("   ");
}

module.exports = { plan, run };
