"use strict";

// The cost of a library at startup and at rest: loading, the first get, memory.

const { statSync } = require("node:fs");
const path = require("node:path");
const { addonFile, findPlatform } = require("../lib/addon/platform.js");
const { OURS, REFERENCE } = require("./names.js");
const { outputOf } = require("./processes.js");
const { ratio, takeTurns } = require("./statistics.js");

const ROOT = path.join(__dirname, "..");
const STARTUP_PROCESS = path.join(__dirname, "startup-process.js");
/** The estimated time of one process, in seconds. */
const SECONDS = { require: 0.2, firstGet: 0.3, memory: 2.5 };
const WITHOUT = "without a store";

function plan({ rounds, memory, peers }) {
  const each = SECONDS.require + SECONDS.firstGet + (memory ? SECONDS.memory : 0);
  return rounds * peers.length * each;
}

async function run({ redis, settings, results, progress }) {
  const { rounds, peers, memory } = settings;
  const ask = async (what, peer = "", ...nodeArgs) =>
    JSON.parse(
      await outputOf(process.execPath, [...nodeArgs, STARTUP_PROCESS, what, peer, redis.url]),
    );

  const cell = await takeTurns(peers, rounds, async (name) => ({
    require: await ask("require", name),
    firstGet: await ask("firstGet", name),
  }));
  results.startup = { ...cell, addonMB: statSync(fileOfAddon()).size / 1e6 };
  const words = [];
  for (const name of peers) {
    const { require: load, firstGet } = cell.medians[name] ?? {};
    if (load === undefined) words.push(`${name} FAILED: ${cell.failed[name]}`);
    else words.push(`${name}: require ${load.toFixed(1)} ms, first get ${firstGet.toFixed(0)} ms`);
  }
  words.push(`${ratio(cell, "require", REFERENCE, OURS).toFixed(2)}×`);
  progress.done(words.join("   "), plan({ rounds, peers, memory: false }));
  if (!memory) return;

  const idle = await takeTurns([WITHOUT, ...peers], rounds, async (name) => {
    if (name === WITHOUT) return await ask("memory0", "", "--expose-gc");
    const one = await ask("memory1", name, "--expose-gc");
    const hundred = await ask("memory100", name, "--expose-gc");
    return { ...one, rss100: hundred.rss, heap100: hundred.heap };
  });
  results.idle = idle;
  const sizes = Object.entries(idle.medians).map(
    ([name, { rss, rss100 }]) =>
      `${name} ${rss.toFixed(1)} MB${rss100 ? ` (100 stores ${rss100.toFixed(1)} MB)` : ""}`,
  );
  for (const [name, error] of Object.entries(idle.failed ?? {}))
    sizes.push(`${name} FAILED: ${error}`);
  progress.done(`memory: ${sizes.join("   ")}`, rounds * peers.length * SECONDS.memory);
}

/** The addon that `require("connect-redis-rs")` loads here. */
function fileOfAddon() {
  return path.join(ROOT, addonFile(findPlatform()));
}

module.exports = { plan, run };
