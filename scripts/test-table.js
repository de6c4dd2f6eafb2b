"use strict";

// Runs tests, and writes their results as tables into the documents.

const { spawnSync } = require("node:child_process");
const { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");

const ROOT = path.join(__dirname, "..");
/** Far more than any run takes: a run that hangs must also end. */
const RUN_LIMIT_MS = 20 * 60_000;

/** Runs tests with a Node, by default this one; returns the report of jest's --json. */
function runJest(args, env = {}, node = process.execPath) {
  const jest = path.join(ROOT, "node_modules", "jest", "bin", "jest.js");
  const { text } = runForReport(
    node,
    (file) => [jest, ...args, "--json", "--outputFile", file],
    env,
  );
  return JSON.parse(text);
}

/**
 * Runs test files with Bun's own runner, which has the parts of jest's API that they use.
 * @returns {{passed: string[], failed: {test: string, message: string}[], leftOut: string[]}} the
 *   tests, by result
 */
function runBun(bun, files, env) {
  const { testTimeout } = require("../package.json").jest;
  const paths = files.map((file) => `./${file}`);
  const { status, text } = runForReport(
    bun,
    (file) => {
      const report = ["--reporter", "junit", "--reporter-outfile", file];
      return ["test", "--timeout", `${testTimeout}`, ...report, ...paths];
    },
    env,
  );
  const outcomes = { passed: [], failed: [], leftOut: [] };
  const tests =
    /<testcase name="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g;
  for (const [, name, around, result = ""] of text.matchAll(tests)) {
    // The innermost group comes first.
    const groups = unescapeXml(around).split(" > ").reverse();
    const test = [...groups, unescapeXml(name)].join(" ").trim();
    const failure = /<(?:failure|error)[^>]*/.exec(result);
    if (failure) outcomes.failed.push({ test, message: unescapeXml(failure[0]) });
    else outcomes[result.includes("<skipped") ? "leftOut" : "passed"].push(test);
  }
  if (status !== 0 && outcomes.failed.length === 0) {
    outcomes.failed.push({
      test: "outside of all tests",
      message: `bun test ended with ${status}`,
    });
  }
  return outcomes;
}

/** Runs tests that write a report into a file; `args` gets its path. Returns the report's text. */
function runForReport(program, args, env) {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-report-"));
  const file = path.join(folder, "report");
  const { status, signal } = spawnSync(program, args(file), {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: "ignore",
    timeout: RUN_LIMIT_MS,
  });
  try {
    if (!existsSync(file))
      throw new Error(`${program} ended with ${signal ?? status} and wrote no report`);
    return { status, text: readFileSync(file, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function unescapeXml(text) {
  const meant = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&", "#10": "\n" };
  return text.replace(/&(lt|gt|quot|apos|amp|#10);/g, (_, name) => meant[name]);
}

/** Returns the lines of a Markdown table. */
function formatTable(header, rows) {
  return [header, header.map(() => "---"), ...rows].map((row) => `| ${row.join(" | ")} |`);
}

/**
 * Prints a table and writes it into a document, between the two marks of `npm run <name>`.
 * @param {string} document its path, from the project's folder
 * @param {string} name
 * @param {string[]} header
 * @param {(string | number)[][]} rows
 * @param {string[]} [notes] lines below it
 */
function writeTable(document, name, header, rows, notes = []) {
  const lines = formatTable(header, rows);
  for (const note of notes) lines.push("", note);
  writeBetweenMarks({ document, name, command: `npm run ${name}` }, lines);
  console.log(lines.join("\n"));
}

/**
 * Replaces the lines between two marks of a document. The marks name the command that makes the lines.
 * @param {{document: string, name: string, command: string}} marks the document's path from the
 *   project's folder, the name in both marks, the command in the first
 * @param {string[]} lines
 */
function writeBetweenMarks({ document, name, command }, lines) {
  const marks = new RegExp(
    `(<!-- ${name}: made by ${command} -->\\n)[\\s\\S]*(<!-- ${name}: end -->)`,
  );
  const file = path.join(ROOT, document);
  const text = readFileSync(file, "utf8");
  if (!marks.test(text)) throw new Error(`${name}: ${document} has no marks for the table`);
  // A function, because a $ in a replacement string is special.
  writeFileSync(
    file,
    text.replace(marks, (_, start, end) => `${start}\n${lines.join("\n")}\n\n${end}`),
  );
  tidy(file);
}

/** Formats a file with the project's formatter. */
function tidy(file) {
  const biome = path.join(ROOT, "node_modules", "@biomejs", "biome", "bin", "biome");
  spawnSync(process.execPath, [biome, "check", "--write", file], { cwd: ROOT, stdio: "ignore" });
}

module.exports = { ROOT, formatTable, runBun, runJest, tidy, writeBetweenMarks, writeTable };
