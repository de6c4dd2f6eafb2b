"use strict";

// get, set and touch: peers in turn, by size of the session and by concurrent calls; a few once more while
// other processes keep all cores busy.

const { spawnSync } = require("node:child_process");
const path = require("node:path");
const { findRedisServer, send } = require("../scripts/redis-server.js");
const { keepCoresBusy } = require("./busy.js");
const { BARE, BUN, CACHE, FLOOR, LIMIT, OURS, REFERENCE } = require("./names.js");
const { outputOf, startProcess } = require("./processes.js");
const { makeSession, sizeOf } = require("./sessions.js");
const { ratio, takeTurns } = require("./statistics.js");
const { findBun } = require("./runtimes.js");

const OPERATIONS = ["get", "set", "touch"];
const PEER_PROCESS = path.join(__dirname, "peer-process.js");
/** The time of a measurement beside its slices, in seconds: IPC, the last replies. */
const AROUND_SECONDS = 0.02;
/** What is measured at one concurrency only. */
const ONLY_AT = 64;

/** Whether a peer is measured with this operation at this concurrency. */
function takesPart(name, operation, concurrency) {
  if ([FLOOR, BARE, LIMIT].includes(name) && operation === "touch") return false;
  // The cache is measured as part of requests; here only a copy to JSON alone.
  if (name === CACHE && operation !== "get") return false;
  return ![BARE, LIMIT, CACHE].includes(name) || concurrency === ONLY_AT;
}

function cellsOf({ sizes, rounds, seconds }) {
  const loads = sizes.flatMap(({ busy, ...row }) => [
    { ...row, load: "idle" },
    ...(busy ? [{ ...row, ...busy, load: "busy" }] : []),
  ]);
  return loads.flatMap((row) =>
    OPERATIONS.flatMap((operation) =>
      row.concurrencies.map((concurrency) => {
        const peers = row.peers.filter((name) => takesPart(name, operation, concurrency));
        const turns = peers.length * (row.rounds ?? rounds);
        return {
          load: row.load,
          size: row.size,
          operation,
          concurrency,
          peers,
          rounds: row.rounds ?? rounds,
          estimate: turns * (1.75 * seconds + AROUND_SECONDS),
        };
      }),
    ),
  );
}

/** The estimated time, in seconds. */
function plan(settings) {
  return cellsOf(settings).reduce((sum, { estimate }) => sum + estimate, 0);
}

async function run({ redis, settings, results, progress, leaveOut }) {
  const cells = cellsOf(settings);
  results.operations = [];
  results.busyOperations = [];
  for (const { size, peers } of settings.sizes) {
    const made = makeSession(size);
    const opened = await openAll(peers, redis, made, leaveOut);
    let others = [];
    for (const cell of cells.filter((one) => one.size === size)) {
      const { load, operation, concurrency, rounds } = cell;
      if (load === "busy" && others.length === 0) others = await keepCoresBusy();
      const names = cell.peers.filter((name) => opened.has(name));
      const turns = await takeTurns(names, rounds, (name) =>
        opened.get(name).measure({ operation, concurrency, seconds: settings.seconds }),
      );
      const measured = { operation, size, bytes: sizeOf(made), concurrency, ...turns };
      const found = load === "busy" ? results.busyOperations : results.operations;
      found.push(measured);
      progress.done(`${load === "busy" ? "busy " : ""}${lineOf(measured)}`, cell.estimate);
    }
    await Promise.all(others.map((other) => other.stop()));
    for (const peer of opened.values()) await peer.stop();
    await send(redis.port, "FLUSHALL");
  }
}

/** Starts the peers and fills their stores, each with its own prefix. */
async function openAll(peers, redis, made, leaveOut) {
  const opened = new Map();
  for (const [n, name] of peers.entries()) {
    const isBare = name === BARE;
    try {
      if (name === LIMIT) opened.set(name, openLimit(redis, made));
      else {
        const where = { url: redis.url, prefix: `peer${n}:` };
        const program = name === BUN ? findBun() : undefined;
        opened.set(name, await openPeerProcess(name, where, made, { program, isBare }));
      }
    } catch (error) {
      leaveOut(name, error.message);
    }
  }
  return opened;
}

/**
 * Starts a peer in its own process and stores the sessions.
 * @param {string} name
 * @param {object} where as `openPeer` takes it
 * @param {object} made the session, as data
 * @param {{program?: string, isBare?: boolean}} [how]
 */
async function openPeerProcess(name, where, made, { program, isBare } = {}) {
  const child = startProcess(PEER_PROCESS, { program });
  try {
    await child.call("open", name, where);
    await child.call("fill", made);
  } catch (error) {
    await child.stop();
    throw error;
  }
  const measure = (how) => child.call("measure", { ...how, isBare });
  const stop = async () => {
    await child.call("close").catch(() => {}); // a peer that failed is stopped anyway
    await child.stop();
  };
  return { measure, stop };
}

/** How fast this Redis answers a client that pipelines 64 commands and ignores the replies. */
function openLimit(redis, made) {
  const program = path.join(path.dirname(findRedisServer()), "redis-benchmark");
  if (spawnSync(program, ["--version"]).status !== 0) {
    throw new Error("redis-benchmark is missing: install it beside redis-server");
  }
  const bytes = sizeOf(made);
  const common = ["-p", `${redis.port}`, "-P", "64", "-c", "1", "-d", `${bytes}`, "--csv"];
  // GET needs the key that SET stores.
  const stored = outputOf(program, [...common, "-t", "set", "-n", "64"]);
  return {
    async measure({ operation, seconds }) {
      await stored;
      // About as long as the others: a server writes some hundred MB, or half a million replies, a second.
      const count = Math.ceil((Math.min(5e5, 4e8 / bytes) * seconds) / 64) * 64;
      const output = await outputOf(program, [...common, "-t", operation, "-n", `${count}`]);
      const [, rate] = /^"(?:GET|SET)[^"]*","([\d.]+)"/m.exec(output) ?? [];
      if (rate === undefined)
        throw new Error(`unexpected output of redis-benchmark: ${output.slice(0, 200)}`);
      return { rate: Number(rate) };
    },
    async stop() {},
  };
}

function lineOf(cell) {
  const { operation, size, concurrency, medians, failed = {} } = cell;
  const thousands = (name) => ((medians[name]?.rate ?? Number.NaN) / 1000).toFixed(1);
  const calls = `${`${concurrency}`.padStart(3)} calls`;
  const words = [`${operation.padEnd(5)} ${`${size} B`.padStart(7)} ${calls}`];
  for (const name of [REFERENCE, OURS]) {
    if (medians[name]) words.push(`${name} ${thousands(name)} k/s`);
  }
  if (medians[REFERENCE] && medians[OURS]) {
    words.push(`${ratio(cell, "rate", OURS, REFERENCE).toFixed(2)}×`);
  }
  for (const [name, error] of Object.entries(failed)) words.push(`${name} FAILED: ${error}`);
  return words.join("   ");
}

module.exports = { lineOf, openPeerProcess, plan, run };
