"use strict";

// Programs that the benchmark uses if they are installed; nothing is fetched.

const { spawnSync } = require("node:child_process");
const { bunInCache } = require("../scripts/fetch-runtimes.js");

/** The path of Bun: the one on the PATH, else the one that npm run compat has fetched. */
function findBun() {
  const found = ["bun", bunInCache()].find((program) => versionOf(program) !== undefined);
  if (!found) throw new Error("Bun is not installed (npm run compat fetches it)");
  return found;
}

/** The first line that a program prints for --version; undefined if it does not run. */
function versionOf(program, args = ["--version"]) {
  const { error, stdout } = spawnSync(program, args, { encoding: "utf8" });
  return error ? undefined : stdout.trim().split("\n")[0];
}

module.exports = { findBun, versionOf };
