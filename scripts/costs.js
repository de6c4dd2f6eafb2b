"use strict";

// What a call costs in figures that do not depend on how busy a machine is: instructions of the Rust side
// (valgrind counts them), and bytes that JS allocates. `npm run costs` fails if one is above its bound in
// costs.json; `npm run costs -- --write` writes new bounds.

const { spawnSync } = require("node:child_process");
const { readFileSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { install, runs } = require("./system.js");

const ROOT = path.join(__dirname, "..");
const BOUNDS = path.join(__dirname, "costs.json");
/** Rust's are the same each time; V8 allocates a little more or less. */
const TOLERANCE = { instructions: 1.02, bytes: 1.05 };
/** Calls of the two runs that are compared, so that starting does not count. */
const [FEW, MANY] = [200, 1200];

function main() {
  const isWriting = process.argv.includes("--write");
  const bounds = isWriting ? {} : JSON.parse(readFileSync(BOUNDS, "utf8"));
  const node = process.versions.node.split(".")[0];
  const measured = { node, instructions: instructions(), bytes: bytes() };
  let isAbove = false;
  for (const kind of /** @type {const} */ (["instructions", "bytes"])) {
    const costs = measured[kind];
    // Each V8 allocates in its own way.
    const isComparable = kind === "instructions" || bounds.node === node;
    for (const [operation, cost] of Object.entries(costs)) {
      const bound = isComparable ? bounds[kind]?.[operation] : undefined;
      const isTooMuch = bound !== undefined && cost > bound * TOLERANCE[kind];
      isAbove ||= isTooMuch;
      const verdict = bound === undefined ? "" : `, bound ${bound}${isTooMuch ? ": too much" : ""}`;
      console.log(`${kind} of ${operation}: ${cost}${verdict}`);
    }
  }
  if (isWriting) writeFileSync(BOUNDS, `${JSON.stringify(measured, undefined, 2)}\n`);
  if (isAbove) fail("a call costs more than it did; if that is worth it: npm run costs -- --write");
}

/** Instructions of the Rust side, a call. */
function instructions() {
  if (!runs("valgrind", ["--version"])) {
    const problem = install("valgrind", "valgrind", (line) => console.error(`costs: ${line}`));
    if (problem !== undefined) fail(problem);
  }
  const folder = path.join(ROOT, "fuzz");
  command("cargo", ["build", "--profile", "costs", "--features", "costs", "--bin", "hot-path"], {
    cwd: folder,
  });
  const program = path.join(folder, "target", "costs", "hot-path");
  const counted = (operation, count) => {
    const { stderr } = command("valgrind", [
      ...["--tool=callgrind", "--callgrind-out-file=/dev/null"],
      ...[program, operation, `${count}`],
    ]);
    return Number(/Collected : (\d+)/.exec(stderr)[1]);
  };
  return Object.fromEntries(
    ["get", "set", "touch"].map((operation) => {
      const [few, many] = [FEW, MANY].map((count) => counted(operation, count));
      return [operation, Math.round((many - few) / (MANY - FEW))];
    }),
  );
}

/** Bytes that JS allocates, a call. */
function bytes() {
  // The whole run must fit into the young generation, or the collector would take some away.
  const flags = ["--expose-gc", "--max-semi-space-size=128", "--min-semi-space-size=128"];
  const { stdout } = command(process.execPath, [
    ...flags,
    path.join(__dirname, "costs-process.js"),
  ]);
  return JSON.parse(stdout);
}

function command(program, args, options) {
  const done = spawnSync(program, args, { encoding: "utf8", ...options });
  if (done.status !== 0) {
    fail(`${program} ${args.join(" ")} has failed\n${done.stderr ?? done.error}`);
  }
  return done;
}

function fail(why) {
  console.error(`costs: ${why}`);
  process.exit(1);
}

main();
