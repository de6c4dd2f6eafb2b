"use strict";

// Runs the behaviour suite against every kind of client and writes what came of it into the
// README, between its two marks.

const { spawnSync } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");

const ROOT = path.join(__dirname, "..");
const README = path.join(ROOT, "README.md");
const MARKS = /(<!-- clients: made by npm run clients -->\n)[\s\S]*(<!-- clients: end -->)/;
const TRANSPORT = /^its transport is (\w+)$/;
/** The order of the table. */
const SUITES = ["behaviour.node-redis", "behaviour.ioredis", "behaviour.fakes", "behaviour.own"];

const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-clients-"));
const file = path.join(folder, "report.json");
console.log("clients: running the behaviour suite against every client (about two minutes) …");
spawnSync(process.execPath, [jest(), "behaviour", "--json", "--outputFile", file], {
  cwd: ROOT,
  stdio: "ignore",
});
const report = JSON.parse(readFileSync(file, "utf8"));
rmSync(folder, { recursive: true, force: true });

const kinds = new Map();
for (const suite of SUITES) {
  const results = report.testResults.filter(({ name }) => name.includes(suite));
  if (results.length !== 1) throw new Error(`clients: the suite ${suite} has not run`);
  for (const { ancestorTitles, title, status } of results[0].assertionResults) {
    const [name] = ancestorTitles;
    if (!kinds.has(name)) kinds.set(name, { transport: "", passed: 0, failed: 0 });
    const kind = kinds.get(name);
    if (status === "passed") kind.passed += 1;
    if (status === "failed") kind.failed += 1;
    kind.transport ||= TRANSPORT.exec(title)?.[1] ?? "";
  }
}

const lines = ["| client | transport | tests passed | |", "| --- | --- | --- | --- |"];
for (const [name, { transport, passed, failed }] of kinds) {
  if (transport === "") continue; // connect-redis itself
  const result = failed === 0 ? "pass" : `**${failed} fail**`;
  lines.push(`| ${name} | ${transport} | ${passed} | ${result} |`);
}
const readme = readFileSync(README, "utf8");
if (!MARKS.test(readme)) throw new Error("clients: the README has no marks for the table");
writeFileSync(README, readme.replace(MARKS, `$1\n${lines.join("\n")}\n\n$2`));
spawnSync(
  process.execPath,
  [
    path.join(ROOT, "node_modules", "@biomejs", "biome", "bin", "biome"),
    "check",
    "--write",
    README,
  ],
  { cwd: ROOT, stdio: "ignore" },
);
console.log(lines.join("\n"));
process.exitCode = report.numFailedTests === 0 ? 0 : 1;

function jest() {
  return path.join(ROOT, "node_modules", "jest", "bin", "jest.js");
}
