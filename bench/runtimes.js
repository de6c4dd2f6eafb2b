"use strict";

// Programs that are measured with where they are there; nothing is fetched.

const { spawnSync } = require("node:child_process");
const { bunInCache } = require("../scripts/fetch-runtimes.js");

/** The path of a Bun: on the PATH, else what npm run compat has fetched. */
function findBun() {
  const found = ["bun", bunInCache()].find((program) => versionOf(program) !== undefined);
  if (!found) throw new Error("there is no bun (npm run compat fetches one)");
  return found;
}

/** The first line of what a program says to --version; undefined where it does not run. */
function versionOf(program, args = ["--version"]) {
  const { error, stdout } = spawnSync(program, args, { encoding: "utf8" });
  return error ? undefined : stdout.trim().split("\n")[0];
}

module.exports = { findBun, versionOf };
