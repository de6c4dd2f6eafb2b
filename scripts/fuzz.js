"use strict";

// Fuzzes the rooms that read or rewrite foreign data: see fuzz/README.md. Without arguments, it is the
// short run of the checks, which is the same each time: all inputs of the corpus, and some more.
//
//   npm run fuzz -- [TARGET …] [--seconds N] [--keep] [--lint]
//
// --seconds N  runs for N seconds with random inputs; inputs that add coverage stay in fuzz/found
// --keep       adds to fuzz/corpus the fewest inputs of fuzz/found that add coverage
// --lint       runs clippy and fmt on the fuzzing crate first

const { spawnSync } = require("node:child_process");
const { mkdirSync, mkdtempSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { parseArgs } = require("node:util");
const { install, runs } = require("./system.js");

const FOLDER = path.join(__dirname, "..", "fuzz");
const SHORT_SECONDS = 4;
/** The least number of inputs in a short run, for a target that is compared with a model. */
const SHORT_RUNS = { patch: 1_000_000 };
/** Kept inputs are small, because people also read them. */
const LONGEST_KEPT = 200;

/**
 * With these flags, rustc counts the edges of the control flow and reports comparisons to libFuzzer.
 * The stable compiler accepts them; cargo-fuzz uses the same.
 */
const COVERAGE = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/** The package of a C++ compiler, which libFuzzer needs to build, by package manager. */
const CPP = {
  "apt-get": "g++",
  dnf: "gcc-c++",
  yum: "gcc-c++",
  apk: "g++",
  pacman: "gcc",
  zypper: "gcc-c++",
};

main();

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      seconds: { type: "string" },
      keep: { type: "boolean" },
      lint: { type: "boolean" },
    },
  });
  const all = readdirSync(path.join(FOLDER, "targets")).map((file) => path.basename(file, ".rs"));
  const targets = positionals.length > 0 ? positionals : all;
  for (const target of targets) {
    if (!all.includes(target)) fail(`no target ${target}; the targets are ${all.join(", ")}.`);
  }
  if (!runs("c++", ["--version"])) {
    const problem = install("a C++ compiler", CPP, say);
    if (problem)
      fail("libFuzzer needs a C++ compiler to build, and this machine has none.", problem);
  }
  // If a target is named, cargo builds build scripts and macros without the flags.
  const host = /^host: (.*)$/m.exec(spawnSync("rustc", ["-vV"], { encoding: "utf8" }).stdout)[1];
  const build = ["--release", "--target", host];
  if (values.lint) {
    cargo("fmt", "--check");
    cargo("clippy", ...build, "--", "-D", "warnings");
  }
  cargo("build", ...build);
  for (const target of targets) fuzz(target, path.join(FOLDER, "target", host, "release"), values);
}

function fuzz(target, binaries, { seconds, keep }) {
  const [corpus, found] = ["corpus", "found"].map((name) => path.join(name, target));
  mkdirSync(path.join(FOLDER, found), { recursive: true });
  mkdirSync(path.join(FOLDER, "artifacts"), { recursive: true });
  const options = [`-artifact_prefix=artifacts/${target}-`, "-dict=words.dict", "-timeout=10"];
  if (keep) {
    options.push(
      "-set_cover_merge=1",
      "-use_counters=0",
      `-max_len=${LONGEST_KEPT}`,
      corpus,
      found,
    );
  } else if (seconds !== undefined) {
    options.push(`-max_total_time=${seconds}`, "-max_len=8192", found, corpus);
  } else {
    // New inputs are not kept, so that the next run is the same.
    const thrownAway = mkdtempSync(path.join(tmpdir(), "fuzz-"));
    process.once("exit", () => rmSync(thrownAway, { recursive: true }));
    const runs = SHORT_RUNS[target];
    options.push(runs === undefined ? `-max_total_time=${SHORT_SECONDS}` : `-runs=${runs}`);
    options.push("-max_len=8192", "-seed=1");
    options.push(thrownAway, corpus);
  }
  const { status, stderr } = spawnSync(path.join(binaries, target), options, {
    cwd: FOLDER,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    // A long run shows its progress.
    stdio: ["ignore", "inherit", seconds === undefined ? "pipe" : "inherit"],
  });
  if (status === 0) return say(`${target}: ${summary(stderr) ?? "done"}`);
  console.error(stderr ?? "");
  fail(
    `${target} has failed; the input is in fuzz/artifacts.`,
    `Again: npm run fuzz -- ${target}, with the input in fuzz/corpus/${target}.`,
  );
}

/** A summary of libFuzzer's last line but one, `#4711 DONE cov: 1 ft: 2 …`. */
function summary(log) {
  const last = /^#(\d+)\s+DONE\s+cov: (\d+) ft: (\d+).*exec\/s: (\d+)/m.exec(log ?? "");
  if (last === null) return undefined;
  const [, inputs, edges, , speed] = last;
  return `${inputs} inputs, ${speed} a second, ${edges} edges covered`;
}

function cargo(command, ...args) {
  const { CARGO_ENCODED_RUSTFLAGS, ...env } = process.env;
  const { status } = spawnSync("cargo", [command, ...args], {
    cwd: FOLDER,
    stdio: "inherit",
    env: { ...env, RUSTFLAGS: COVERAGE.join(" ") },
  });
  if (status !== 0) fail(`cargo ${command} has failed; see above.`);
}

function say(line) {
  console.log(`fuzz: ${line}`);
}

function fail(...lines) {
  for (const line of lines) console.error(`fuzz: ${line}`);
  process.exit(1);
}
