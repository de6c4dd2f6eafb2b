"use strict";

// `npm run version`: moves the changesets into CHANGELOG.md, and writes the new version into every file
// that contains it. `-- --check 1.2.3` changes nothing, and fails unless every file has that version,
// because the published version must be the tagged one. `-- --check` fails if the files differ.

const { readdirSync, readFileSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { spawnSync } = require("node:child_process");

const ROOT = path.join(__dirname, "..");
/** The crate's own version: the first in Cargo.toml, and the one after its name in Cargo.lock. */
const IN_CARGO_TOML = /^version = "(.*)"$/m;
const IN_CARGO_LOCK = /(?<=^name = "connect-redis-rs"\n)version = "(.*)"$/m;

const [flag, wanted] = process.argv.slice(2);
if (flag === "--check") check(wanted ?? read("package.json").version);
else move();

function move() {
  run("@changesets/cli/bin.js", "version");
  const { version } = read("package.json");
  run("@napi-rs/cli/dist/cli.js", "version"); // npm/*
  replace("Cargo.toml", IN_CARGO_TOML, version);
  replace("Cargo.lock", IN_CARGO_LOCK, version);
  const lock = read("package-lock.json");
  lock.version = version;
  lock.packages[""].version = version;
  write("package-lock.json", `${JSON.stringify(lock, null, 2)}\n`);
  check(version);
}

function check(version) {
  const found = Object.entries(versions());
  for (const [file, at] of found.filter(([, at]) => at !== version)) {
    console.error(`version: ${file} has ${at}, not ${version}`);
    process.exitCode = 1;
  }
  if (process.exitCode !== 1) console.log(`version: ${version} in ${found.length} files`);
}

/** The version in each file, by path. */
function versions() {
  const lock = read("package-lock.json");
  const found = {
    "package.json": read("package.json").version,
    "package-lock.json": lock.version,
    'package-lock.json, ""': lock.packages[""].version,
    "Cargo.toml": IN_CARGO_TOML.exec(text("Cargo.toml"))?.[1],
    "Cargo.lock": IN_CARGO_LOCK.exec(text("Cargo.lock"))?.[1],
  };
  for (const platform of readdirSync(path.join(ROOT, "npm"))) {
    const file = `npm/${platform}/package.json`;
    found[file] = read(file).version;
  }
  return found;
}

function replace(file, pattern, version) {
  write(file, text(file).replace(pattern, `version = "${version}"`));
}

function run(script, ...args) {
  const at = path.join(ROOT, "node_modules", script);
  const { status } = spawnSync(process.execPath, [at, ...args], { cwd: ROOT, stdio: "inherit" });
  if (status !== 0) throw new Error(`${script} ${args.join(" ")} has failed`);
}

function read(file) {
  return JSON.parse(text(file));
}

function text(file) {
  return readFileSync(path.join(ROOT, file), "utf8");
}

function write(file, contents) {
  writeFileSync(path.join(ROOT, file), contents);
}
