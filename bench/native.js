"use strict";

// The programs of native/, for what JS is too slow for. cargo builds them in seconds: they need no crates.

const { spawnSync } = require("node:child_process");
const path = require("node:path");
const { ROOT } = require("../scripts/test-table.js");

const MANIFEST = path.join(__dirname, "native", "Cargo.toml");
const TARGET = path.join(ROOT, "target", "bench-native");

let isBuilt = false;

/**
 * The path of a program of native/, which is built if it has to be.
 * @param {"delay-proxy" | "scan-floor"} name
 * @throws {Error} if it cannot be built, such as without cargo
 */
function nativeProgram(name) {
  if (!isBuilt) build();
  return path.join(TARGET, "release", process.platform === "win32" ? `${name}.exe` : name);
}

function build() {
  const args = ["build", "--release", "--quiet", "--manifest-path", MANIFEST];
  const { error, status, stderr } = spawnSync("cargo", [...args, "--target-dir", TARGET], {
    encoding: "utf8",
  });
  if (error) throw new Error(`cargo cannot be run: ${error.message}`);
  if (status !== 0) throw new Error(`bench/native cannot be built: ${stderr.trim()}`);
  isBuilt = true;
}

module.exports = { nativeProgram };
