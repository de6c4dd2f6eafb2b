#!/usr/bin/env node
"use strict";

// Builds the addon from the sources in this package and puts it where load.js looks first: for
// platforms that have no package, and for systems that its file does not run on. An app calls it as
// connect-redis-rs-build. Needs cargo and a C compiler, and nothing of npm.

const { spawn, spawnSync } = require("node:child_process");
const { once } = require("node:events");
const fs = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { addonFile, findPlatform } = require("./platform.js");

const PACKAGE = path.join(__dirname, "..", "..");

/** What cargo calls the library, by system. */
const LIBRARY = /\.(?:so|dylib|dll)$/;

main().catch((error) => {
  for (const line of error.message.split("\n")) console.error(`connect-redis-rs: ${line}`);
  process.exitCode = 1;
});

async function main() {
  if (process.argv.length > 2) {
    throw new Error("connect-redis-rs-build builds the addon for this machine; it has no options");
  }
  const platform = findPlatform();
  const to = path.join(PACKAGE, addonFile(platform));
  checkCargo();
  // Made before minutes of building, to know that it can be.
  const fresh = `${to}.${process.pid}`;
  try {
    fs.writeFileSync(fresh, "");
  } catch (error) {
    throw new Error(`The addon cannot be put into the package's folder: ${error.message}`);
  }
  const given = process.env.CARGO_TARGET_DIR;
  const folder = given
    ? path.resolve(given)
    : fs.mkdtempSync(path.join(tmpdir(), "connect-redis-rs-build-"));
  try {
    console.log(`connect-redis-rs: building for ${platform}, which takes some minutes …`);
    fs.copyFileSync(await build(platform, folder), fresh);
    checkAddon(fresh);
    // Not written over: a process may be running the one that is there.
    fs.renameSync(fresh, to);
    console.log(`connect-redis-rs: built ${to}`);
  } finally {
    fs.rmSync(fresh, { force: true });
    if (!given) fs.rmSync(folder, { recursive: true, force: true });
  }
}

function checkCargo() {
  const manifest = fs.readFileSync(path.join(PACKAGE, "Cargo.toml"), "utf8");
  const needed = /^rust-version = "(.+)"$/m.exec(manifest)?.[1] ?? "";
  const { stdout, error } = spawnSync("cargo", ["--version"], { encoding: "utf8" });
  if (error) {
    throw new Error(
      `Building needs cargo, and it cannot be run: ${error.message}\n` +
        `Install Rust ${needed} or newer (https://rustup.rs), open a new shell and run this again.`,
    );
  }
  const found = /\d+\.\d+/.exec(stdout)?.[0];
  if (found === undefined || isOlder(found, needed)) {
    throw new Error(
      `Building needs Rust ${needed} or newer, and cargo --version says: ${stdout.trim()}\n` +
        "Update it (rustup update) and run this again.",
    );
  }
}

/**
 * @param {string} found
 * @param {string} needed
 */
function isOlder(found, needed) {
  const [[major, minor], [neededMajor, neededMinor]] = [found, needed].map((version) =>
    version.split(".").map(Number),
  );
  return major < neededMajor || (major === neededMajor && minor < neededMinor);
}

/**
 * Builds the library; resolves to its file.
 * @param {string} platform
 * @param {string} folder
 */
async function build(platform, folder) {
  /** @type {NodeJS.ProcessEnv} */
  const env = { ...process.env, CARGO_TARGET_DIR: folder };
  // Rust links programs for musl statically unless it is told otherwise, and an addon cannot be so.
  if (platform.endsWith("-musl")) {
    env.RUSTFLAGS = `${env.RUSTFLAGS ?? ""} -C target-feature=-crt-static`.trim();
  }
  const args = ["build", "--release", "--locked", "--lib"];
  const cargo = spawn("cargo", [...args, "--message-format", "json-render-diagnostics"], {
    cwd: PACKAGE,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let stdout = "";
  cargo.stdout.setEncoding("utf8").on("data", (text) => {
    stdout += text;
  });
  // Whoever ends this ends cargo, and what was made is removed. (npx passes on what came here, too.)
  process.on("SIGINT", () => cargo.kill("SIGINT"));
  process.on("SIGTERM", () => cargo.kill("SIGTERM"));
  const [status, signal] = await once(cargo, "close");
  if (signal !== null) throw new Error(`cargo was ended by ${signal}; nothing was changed`);
  if (status !== 0) {
    throw new Error(
      `cargo ${args.join(" ")} has failed, see above. It also needs a C compiler, and the crates ` +
        "of Cargo.lock from the network or from cargo's cache.",
    );
  }
  const files = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ target }) => target?.name === "connect_redis_rs")
    .flatMap(({ filenames }) => filenames ?? []);
  return files.find((file) => LIBRARY.test(file));
}

/**
 * Loads the addon in a process of its own, as an app will.
 * @param {string} file
 */
function checkAddon(file) {
  const code = "require('node:process').dlopen({ exports: {} }, process.argv[1])";
  const { status, stderr } = spawnSync(process.execPath, ["--eval", code, file], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`What was built does not load here:\n${stderr}`);
}
