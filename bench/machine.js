"use strict";

// Describes the machine and the versions of a run.

const { spawnSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { findRedisServer, versionOfRedis } = require("../scripts/redis-server.js");
const { ROOT } = require("../scripts/test-table.js");
const { findBun, versionOf } = require("./runtimes.js");

const PACKAGES = [
  "connect-redis",
  "connect-redis-8",
  "redis",
  "ioredis",
  "express-session",
  "express",
];

function describeMachine() {
  const [cpu] = os.cpus();
  return {
    cpu: cpu?.model ?? "unknown",
    cores: os.cpus().length,
    memoryGB: Math.round(os.totalmem() / 1e9),
    kernel: `${os.type()} ${os.release()} ${os.arch()}`,
    // If the machine was busy before, the figures are less exact.
    loadBefore: os.loadavg()[0],
  };
}

function describeVersions() {
  const packages = PACKAGES.map((name) => {
    const file = path.join(ROOT, "node_modules", name, "package.json");
    return [name, JSON.parse(readFileSync(file, "utf8")).version];
  });
  const git = (...args) => spawnSync("git", args, { cwd: ROOT, encoding: "utf8" });
  const commit = git("rev-parse", "--short", "HEAD").stdout?.trim();
  const isChanged = git("status", "--porcelain", "--untracked-files=no").stdout?.trim() !== "";
  return {
    "connect-redis-rs": require("../package.json").version,
    commit: commit ? `${commit}${isChanged ? ", changed" : ""}` : "unknown",
    node: process.versions.node,
    "redis-server": versionOfRedis(findRedisServer()) ?? "unknown",
    bun: bunVersion(),
    wrk: versionOf("wrk", ["-v"])?.replace(/^wrk (\S+).*/, "$1"),
    ...Object.fromEntries(packages),
  };
}

function bunVersion() {
  try {
    return versionOf(findBun());
  } catch {
    return undefined;
  }
}

module.exports = { describeMachine, describeVersions };
