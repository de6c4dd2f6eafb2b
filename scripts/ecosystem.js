"use strict";

// Uses the store as other projects do, in the programs of ecosystem/apps: with the frameworks and
// plugins that npm has of them, from the tarballs of a release, and a private Redis.
//
//   npm run ecosystem -- fastify sails     those alone

const { fork, spawnSync } = require("node:child_process");
const { mkdirSync, mkdtempSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { installPackages } = require("./npm-packages.js");
const { packPair } = require("./pack.js");
const { startRedisServer } = require("./redis-server.js");

const FOLDER = path.join(__dirname, "..", "ecosystem");
const APPS = path.join(FOLDER, "apps");
/** More than the cases of a program may take. */
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

/** The programs that are asked for, all by default. */
function appsToRun() {
  const all = readdirSync(APPS);
  const asked = process.argv.slice(2).map((name) => `${name.replace(/\.js$/, "")}.js`);
  const unknown = asked.find((name) => !all.includes(name));
  if (unknown) throw new Error(`there is no ${unknown} in ${APPS}, only ${all.join(", ")}`);
  return asked.length > 0 ? asked : all;
}

/** Puts the packages of a release beside those that are installed. */
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
 * Runs all cases of a program with a connection. A process that ends in the middle of a case has
 * failed that case, and another runs those that are left.
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

/** Runs the cases from the one of a number on, as far as the process comes. */
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
      report({ claim: running ?? (isDone ? "the process lives" : "the program loads"), error });
      resolve({ count: count + 1, isDone: running === undefined });
    });
  });
}
