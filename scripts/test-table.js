"use strict";

// Tables in the documents that a run of tests makes.

const { spawnSync } = require("node:child_process");
const { mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");

const ROOT = path.join(__dirname, "..");

/** Runs tests; returns jest's report, as its --json. */
function runJest(args, env = {}) {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-report-"));
  const file = path.join(folder, "report.json");
  const jest = path.join(ROOT, "node_modules", "jest", "bin", "jest.js");
  spawnSync(process.execPath, [jest, ...args, "--json", "--outputFile", file], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: "ignore",
  });
  const report = JSON.parse(readFileSync(file, "utf8"));
  rmSync(folder, { recursive: true, force: true });
  return report;
}

/**
 * Prints a table and writes it into a document, between the two marks that say it is made by
 * `npm run <name>`.
 * @param {string} document its path, from the project's folder
 * @param {string} name
 * @param {string[]} header
 * @param {(string | number)[][]} rows
 */
function writeTable(document, name, header, rows) {
  const marks = new RegExp(
    `(<!-- ${name}: made by npm run ${name} -->\\n)[\\s\\S]*(<!-- ${name}: end -->)`,
  );
  const lines = [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
  const file = path.join(ROOT, document);
  const text = readFileSync(file, "utf8");
  if (!marks.test(text)) throw new Error(`${name}: ${document} has no marks for the table`);
  // A function, as the cells may hold a $.
  writeFileSync(
    file,
    text.replace(marks, (_, start, end) => `${start}\n${lines.join("\n")}\n\n${end}`),
  );
  const biome = path.join(ROOT, "node_modules", "@biomejs", "biome", "bin", "biome");
  spawnSync(process.execPath, [biome, "check", "--write", file], { cwd: ROOT, stdio: "ignore" });
  console.log(lines.join("\n"));
}

module.exports = { ROOT, runJest, writeTable };
