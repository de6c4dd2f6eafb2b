"use strict";

// Uses the store as other projects do, in the programs of ecosystem/apps: with frameworks and plugins
// from npm, the tarballs of a release, and a private Redis.
//
//   npm run ecosystem -- fastify sails     only these

const { fork, spawnSync } = require("node:child_process");
const { mkdirSync, mkdtempSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { installPackages } = require("./npm-packages.js");
const { packPair } = require("./pack.js");
const { startRedisServer } = require("./redis-server.js");

const FOLDER = path.join(__dirname, "..", "ecosystem");
const APPS = path.join(FOLDER, "apps");
/** More than all cases of a program may take. */
const LIMIT_MS = 120_000;

main().catch((error) => {
  console.error(`ecosystem: ${error.message}`);
  process.exitCode = 1;
});

async function main() {
  const apps = appsToRun();
  const problem = installPackages(FOLDER, (line) => console.log(`ecosystem: ${line}`));
  if (problem !== undefined) throw new Error(problem);
  layStore();
  const redis = await startRedisServer();
  const counts = { passed: 0, failed: 0 };
  try {
    for (const app of apps) {
      const { title, connections } = require(path.join(APPS, app));
      for (const connection of connections) {
        await runAll({ app, connection, url: redis.url }, ({ claim, error }) => {
          counts[error === undefined ? "passed" : "failed"] += 1;
          console.log(
            `${error === undefined ? "pass" : "FAIL"}  ${title}, ${connection}: ${claim}`,
          );
          if (error !== undefined) console.log(error.replace(/^/gm, "      "));
        });
      }
    }
  } finally {
    await redis.stop();
  }
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  if (counts.failed > 0) process.exitCode = 1;
}

/** The programs named on the command line; by default, all. */
function appsToRun() {
  const all = readdirSync(APPS);
  const asked = process.argv.slice(2).map((name) => `${name.replace(/\.js$/, "")}.js`);
  const unknown = asked.find((name) => !all.includes(name));
  if (unknown)
    throw new Error(`no program ${unknown} in ${APPS}; the programs are ${all.join(", ")}`);
  return asked.length > 0 ? asked : all;
}

/** Unpacks the tarballs of a release into ecosystem/node_modules. */
function layStore() {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-ecosystem-"));
  try {
    for (const { name, file } of Object.values(packPair(folder))) {
      const to = path.join(FOLDER, "node_modules", name);
      rmSync(to, { recursive: true, force: true });
      mkdirSync(to, { recursive: true });
      const args = ["-xzf", file, "-C", to, "--strip-components=1"];
      const { status, stderr, error } = spawnSync("tar", args, { encoding: "utf8" });
      if (status !== 0) throw new Error(`tar ${args.join(" ")}: ${error?.message ?? stderr}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Runs all cases of a program with a connection. If the process ends in the middle of a case, that
 * case has failed, and another process runs the remaining cases.
 * @param {(result: {claim: string, error?: string}) => void} report
 */
async function runAll(what, report) {
  let done = 0;
  for (;;) {
    const { count, isDone } = await runFrom(what, done, report);
    done += count;
    if (isDone) return;
  }
}

/** Runs the cases from number `first` on, until the process ends. */
function runFrom({ app, connection, url }, first, report) {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(FOLDER, "run.js"), [app, connection, first], {
      env: { ...process.env, URL: url, NODE_ENV: "development" },
      silent: true,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        output = (output + text).slice(-4000);
      });
    }
    const limit = setTimeout(() => child.kill("SIGKILL"), LIMIT_MS);
    let count = 0;
    let running;
    let isDone = false;
    child.on("message", ({ event, claim, error }) => {
      running = event === "begin" ? claim : undefined;
      isDone = event === "done";
      if (event !== "end") return;
      count += 1;
      report({ claim, error });
    });
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(limit);
      if (isDone && code === 0) return resolve({ count, isDone });
      const error = `the process ended with ${signal ?? code}:\n${output}`;
      report({
        claim: running ?? (isDone ? "the process keeps running" : "the program loads"),
        error,
      });
      resolve({ count: count + 1, isDone: running === undefined });
    });
  });
}
