"use strict";

// Runs the tests on every runtime with every Redis and Valkey and writes the results into
// docs/compatibility.md, between its two marks. With --node, --bun, --redis or --valkey it runs a
// part, and only prints the results:
//
//   npm run compat -- --node 22 --node 24 --bun --redis 8.2 --valkey 9

const { spawnSync } = require("node:child_process");
const { readdirSync } = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");
const { fetchBun, fetchNode, fetchServer } = require("./fetch-runtimes.js");
const { findRedisServer, versionOfRedis } = require("./redis-server.js");
const { ROOT, formatTable, runBun, runJest, writeTable } = require("./test-table.js");

const NODES = ["20", "22", "24", "26"];
const REDISES = ["6.2", "8.2"];
const VALKEYS = ["9"];

/**
 * The test files that this command does not run: those that take minutes (each version of each
 * client, a client's options, failovers; behaviour.own has a cluster and a sentinel), those that need
 * other programs (vitest, tsx, cargo, a browser), those that start servers of all versions themselves,
 * and those whose result is the same on each runtime and server (the benchmark, the packages, old versions
 * of express-session).
 */
const ELSEWHERE =
  /^(behaviour\.(usual|node-redis|ioredis|alike|fakes)|clients\.(options|partial|shared|tracers)|topology\.(cluster|sentinel)|near-cache\.model|[\w-]+\.servers|script-errors|admin\.(browser|million)|bench|bench-figures|documents|examples|express-session\.versions|packages|panics|published)\./;

/** The reason in the name of a test that this redis-server cannot run. */
const LEFT_OUT = /\[left out: ([^\]]+)\]/;

try {
  process.exitCode = main() ? 0 : 1;
} catch (error) {
  console.error(`compat: ${error.message}`);
  process.exitCode = 1;
}

/** Returns whether all tests have passed. */
function main() {
  const { nodes, withBun, redises, valkeys, isAll } = readOptions();
  const servers = [...redises.map(redisOf), ...valkeys.map(valkeyOf)];
  const runtimes = nodes.map((major) => nodeOf(major));
  if (withBun) runtimes.push(bun());
  const files = ["__test__", path.join("__test__", "long")].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder))
      .filter((name) => name.endsWith(".test.js") && !ELSEWHERE.test(name))
      .map((name) => path.join(folder, name)),
  );

  const failures = [];
  const reasons = new Map();
  const rows = runtimes.map((runtime) => {
    const cells = servers.map((server) => {
      const environment = `${runtime.name}, ${server.name}`;
      process.stdout.write(`compat: ${environment} … `);
      const start = Date.now();
      const { passed, failed, leftOut } = outcomesWith(runtime, server, files);
      for (const { test, message } of failed) failures.push(`${environment}: ${test}\n${message}`);
      for (const test of leftOut) {
        const reason = LEFT_OUT.exec(test)?.[1];
        if (reason === undefined) continue;
        if (!reasons.has(reason)) reasons.set(reason, new Set());
        reasons.get(reason).add(server.name);
      }
      const counts = [`${passed.length} passed`];
      if (failed.length > 0) counts.unshift(`**${failed.length} failed**`);
      if (leftOut.length > 0) counts.push(`${leftOut.length} left out`);
      console.log(`${counts.join(", ")} (${Math.round((Date.now() - start) / 1000)} s)`);
      return counts.join(", ");
    });
    return [runtime.name, ...cells];
  });
  const header = ["", ...servers.map(({ name }) => name)];
  const notes = [...reasons].map(([reason, names]) => `${[...names].join(", ")}: ${reason}.`);
  if (isAll) writeTable("docs/compatibility.md", "compat", header, rows, notes);
  else console.log([...formatTable(header, rows), "", ...notes].join("\n"));
  for (const failure of failures) console.error(`\nfailed: ${failure}`);
  return failures.length === 0;
}

function outcomesWith(runtime, server, files) {
  try {
    return runtime.test(files, { REDIS_SERVER: server.path });
  } catch ({ message }) {
    // A crash of the runtime is also a result.
    return { passed: [], failed: [{ test: "the run itself", message }], leftOut: [] };
  }
}

function readOptions() {
  const own = findRedisServer();
  const redises = [...REDISES];
  // REDIS_SERVER may be a Valkey.
  if (nameOfServer(own) === "Redis") redises.push(minorOf(own));
  const all = [...new Set(redises)].sort();
  const { values } = parseArgs({
    options: {
      node: { type: "string", multiple: true, default: [] },
      bun: { type: "boolean", default: false },
      redis: { type: "string", multiple: true, default: [] },
      valkey: { type: "string", multiple: true, default: [] },
    },
  });
  for (const [name, chosen, known] of [
    ["node", values.node, NODES],
    ["redis", values.redis, all],
    ["valkey", values.valkey, VALKEYS],
  ]) {
    const unknown = chosen.find((one) => !known.includes(one));
    if (unknown) throw new Error(`--${name} ${unknown}: there is only ${known.join(", ")}`);
  }
  const isAnyRuntime = values.node.length === 0 && !values.bun;
  const isAnyServer = values.redis.length === 0 && values.valkey.length === 0;
  return {
    nodes: isAnyRuntime ? NODES : values.node,
    withBun: isAnyRuntime || values.bun,
    redises: isAnyServer ? all : values.redis,
    valkeys: isAnyServer ? VALKEYS : values.valkey,
    isAll: isAnyRuntime && isAnyServer,
  };
}

/** A redis-server of a version: this machine's if it has that version, else a fetched one. */
function redisOf(version) {
  const own = findRedisServer();
  const isOwn = nameOfServer(own) === "Redis" && minorOf(own) === version;
  const path = isOwn ? own : fetchServer(`Redis ${version}`);
  return { name: `Redis ${versionOfRedis(path)}`, path };
}

function valkeyOf(version) {
  const path = fetchServer(`Valkey ${version}`);
  return { name: `Valkey ${versionOfRedis(path)}`, path };
}

/** The name in a server's version: "Redis" or "Valkey". */
function nameOfServer(server) {
  return /^\w+/.exec(spawnSync(server, ["--version"], { encoding: "utf8" }).stdout)?.[0];
}

/** The version of a server, such as "7.0". */
function minorOf(server) {
  return versionOfRedis(server).split(".").slice(0, 2).join(".");
}

/** The Node of a major version: this one if it is of that version, else a fetched one. */
function nodeOf(major) {
  const isThis = process.versions.node.startsWith(`${major}.`);
  const path = isThis ? process.execPath : fetchNode(major);
  const test = (files, env) => outcomesOf(runJest(files, env, path));
  return { name: `Node ${versionOf(path)}`, test };
}

function bun() {
  const path = fetchBun();
  return { name: `Bun ${versionOf(path)}`, test: (files, env) => runBun(path, files, env) };
}

function versionOf(program) {
  return spawnSync(program, ["--version"], { encoding: "utf8" }).stdout.trim().replace(/^v/, "");
}

/** The results in jest's report, in the form that `runBun` returns. */
function outcomesOf({ testResults }) {
  const outcomes = { passed: [], failed: [], leftOut: [] };
  for (const { name, status, message, assertionResults } of testResults) {
    for (const { fullName, status, failureMessages } of assertionResults) {
      if (status === "passed") outcomes.passed.push(fullName);
      else if (status !== "failed") outcomes.leftOut.push(fullName);
      else outcomes.failed.push({ test: fullName, message: failureMessages.join("\n") });
    }
    const isExplained = assertionResults.some(({ status }) => status === "failed");
    if (status === "failed" && !isExplained) {
      outcomes.failed.push({ test: path.basename(name), message });
    }
  }
  return outcomes;
}
