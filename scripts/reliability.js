"use strict";

// Runs the tests of faults and writes their promises and figures into docs/reliability.md, between its
// two marks: all tests of process.test.js, and the tests of other files that call `measured`.

const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { ROOT, runJest, writeTable } = require("./test-table.js");

const SUITES = "/(faults|process|panics|topology|concurrency\\.crash)\\.";
/** The files whose tests are listed even if they measure nothing. */
const NEEDS_NO_FIGURE = /(process|panics)\.test\.js$/;

const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-reliability-"));
const file = path.join(folder, "measured.jsonl");
writeFileSync(file, "");
console.log("reliability: running the tests of faults (about six minutes) …");
// One file after the other: other tests would distort the figures.
const report = runJest([SUITES, "--runInBand"], { MEASURED: file });
const lines = readFileSync(file, "utf8").trim().split("\n").filter(Boolean);
rmSync(folder, { recursive: true, force: true });

const measured = lines.map((line) => JSON.parse(line));
const rows = [];
const suites = report.testResults.sort((a, b) => (a.name < b.name ? -1 : 1));
for (const { name, message, assertionResults } of suites) {
  if (assertionResults.length === 0)
    throw new Error(`reliability: ${name} has not run: ${message}`);
  const document = path.relative(ROOT, name);
  const link = `[${path.basename(name)}](../${document})`;
  for (const { fullName, title, status, ancestorTitles } of assertionResults) {
    const found = measured.filter(({ file, test }) => file === name && test === fullName);
    const failed = status === "failed";
    const isListed = failed || NEEDS_NO_FIGURE.test(name);
    if (status === "pending" || (found.length === 0 && !isListed)) continue;
    const fault = found[0]?.fault ?? (ancestorTitles.join(", ") || "the process");
    const figures = found.map(({ figure }) => figure);
    if (figures.length === 0 && !failed) figures.push("holds");
    rows.push([fault, title, link, [...(failed ? ["**fails**"] : []), ...figures].join("; ")]);
  }
}
writeTable(
  "docs/reliability.md",
  "reliability",
  ["fault", "what the store promises", "test", "measured"],
  rows,
);
process.exitCode = report.success ? 0 : 1;
