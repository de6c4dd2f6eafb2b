"use strict";

// `npm run bench`: see README.md beside this file.

const { copyFileSync, existsSync, mkdirSync, readFileSync } = require("node:fs");
const path = require("node:path");
const { parseArgs } = require("node:util");
const { startRedisServer } = require("../scripts/redis-server.js");
const { ROOT } = require("../scripts/test-table.js");
const { describeMachine, describeVersions } = require("./machine.js");
const { killProcesses } = require("./processes.js");
const { formatTime, startProgress } = require("./progress.js");
const { render, renderReadme } = require("./report.js");
const { writeResults } = require("./results.js");
const { PARTS, settingsFor } = require("./settings.js");
const { judge } = require("./targets.js");

const USAGE = `npm run bench                        about a minute: store operations, a server, require, requests
npm run bench -- --full              everything: about forty minutes
npm run bench -- --render FILE       charts and tables again, from the results of a run

  --only PART[,PART]   parts: ${PARTS.join(", ")}
  --rounds N           how often each peer has its turn
  --seconds S          how long one measurement takes
  --out FOLDER         where results, charts and tables go`;

/** The folder for the output of a run that is not a full one. */
const SCRATCH = path.join(ROOT, "target", "bench");

main().catch((error) => {
  console.error(error.isUsage ? `${error.message}\n\n${USAGE}` : error);
  process.exitCode = 1;
});

async function main() {
  const asked = readArguments(process.argv.slice(2));
  if (asked.help) {
    console.log(USAGE);
    return;
  }
  if (asked.render) {
    publish(asked.render, asked.out);
    return;
  }
  const folder = path.resolve(asked.out ?? SCRATCH);
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, "results.json");
  await measureAll(settingsFor(asked), file);
  const results = publish(file, asked.out);
  if (results.failed.length > 0) process.exitCode = 1;
}

function readArguments(args) {
  const options = {
    full: { type: "boolean" },
    only: { type: "string", multiple: true },
    rounds: { type: "string" },
    seconds: { type: "string" },
    out: { type: "string" },
    render: { type: "string" },
    help: { type: "boolean" },
  };
  let asked;
  try {
    asked = parseArgs({ args, options }).values;
  } catch (error) {
    throw wrongUse(error.message.split(". ")[0]);
  }
  for (const name of ["rounds", "seconds"]) {
    if (asked[name] === undefined) continue;
    const number = Number(asked[name]);
    const isFine = number > 0 && (name === "seconds" || Number.isInteger(number));
    const what = name === "seconds" ? "number greater than 0" : "whole number from 1";
    if (!isFine) throw wrongUse(`--${name} ${asked[name]}: must be a ${what}`);
    asked[name] = number;
  }
  if (asked.render && !existsSync(asked.render)) {
    throw wrongUse(`--render ${asked.render}: no such file`);
  }
  if (asked.only) {
    asked.only = [...new Set(asked.only.flatMap((parts) => parts.split(",")))];
    const unknown = asked.only.find((part) => !PARTS.includes(part));
    if (unknown !== undefined) throw wrongUse(`--only ${unknown}: there is no such part`);
  }
  return asked;
}

function wrongUse(message) {
  return Object.assign(new Error(message), { isUsage: true });
}

/** Measures all parts, and saves the results after each cell. */
async function measureAll(settings, file) {
  const results = {
    date: new Date().toISOString(),
    mode: settings.mode,
    isComplete: false,
    settings,
    machine: describeMachine(),
    versions: describeVersions(),
    leftOut: [],
    failed: [],
  };
  const save = () => writeResults(file, results);
  // The handlers of "exit" kill the processes that the run has started.
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ]) {
    process.once(signal, () => {
      save();
      console.error(`\ninterrupted; what was measured is in ${path.relative("", file)}`);
      process.exit(code);
    });
  }
  const parts = settings.parts.map((name) => ({ name, ...require(`./${name}.js`) }));
  const total = parts.reduce((sum, { name, plan }) => sum + plan(settings[name]), 0);
  const progress = startProgress(total, save);
  progress.say(`this takes about ${formatTime(total)}`);
  const leaveOut = (what, why) => {
    results.leftOut.push({ what, why });
    progress.say(`${what}: left out: ${why}`);
  };
  for (const { name, run } of parts) {
    progress.say(`\n${name}`);
    // Each part gets a fresh server, so that the data of one part does not affect the next.
    let redis;
    try {
      redis = await startRedisServer();
      await run({ redis, settings: settings[name], results, progress, leaveOut });
    } catch (error) {
      results.failed.push({ what: name, why: error.message });
      progress.say(`${name} FAILED: ${error.stack}`);
    }
    killProcesses(); // if the part has failed
    await redis?.stop();
  }
  results.failed.push(...failuresIn(results));
  results.isComplete = true;
  results.minutes = progress.minutes();
  results.targets = judge(results);
  save();
}

/** The peers that failed, in all cells. */
function failuresIn({ startup, idle, ...results }) {
  const { operations = [], busyOperations = [], server = [], bulk = [] } = results;
  const { topologies = [], requests = [] } = results;
  const cells = [
    ...operations,
    ...busyOperations,
    ...server,
    ...bulk,
    ...topologies,
    ...requests,
    startup,
    idle,
  ];
  return cells.filter(Boolean).flatMap((cell) => {
    const { topology, framework, route, operation, size, count, concurrency } = cell;
    const { load, distance } = cell;
    const where = [topology, framework, route, operation, size, count, concurrency, load, distance];
    return Object.entries(cell.failed ?? {}).map(([name, why]) => ({
      what: [name, ...where.filter((word) => word !== undefined)].join(", "),
      why,
    }));
  });
}

/**
 * Writes charts and tables: those of the project for a full run, else into a separate folder.
 * @param {string} file the path of the results
 * @param {string} [out] another folder for them
 * @returns {object} the results
 */
function publish(file, out) {
  // Always from the file, so that rendering it again gives the same.
  const results = JSON.parse(readFileSync(file, "utf8"));
  const { parts, isShortened } = results.settings;
  const isFull = results.mode === "full" && parts.length === PARTS.length && !isShortened;
  const isProjects = isFull && results.isComplete && out === undefined;
  const folder = isProjects ? __dirname : path.resolve(out ?? SCRATCH);
  mkdirSync(folder, { recursive: true });
  const kept = path.join(folder, "results.json");
  if (path.resolve(file) !== kept) copyFileSync(file, kept);
  const { text, charts } = render(results, folder);
  if (isProjects) renderReadme(results, charts);
  console.log(`\n${text}\n`);
  const where = path.relative("", folder) || ".";
  console.log(`results, tables, charts: ${where}${isProjects ? ", and in README.md" : ""}`);
  return results;
}
