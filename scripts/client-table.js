"use strict";

// Runs the behaviour suite against every client and writes the results into docs/clients.md, between
// its two marks.

const { runJest, writeTable } = require("./test-table.js");

const TRANSPORT = /^its transport is (\w+)$/;
/** The order of the table. */
const SUITES = ["usual", "node-redis", "ioredis", "alike", "fakes", "own"].map(
  (name) => `behaviour.${name}.`,
);

console.log("clients: running the behaviour suite against every client (about five minutes) …");
const report = runJest(["/behaviour\\."]);

const setups = new Map();
for (const suite of SUITES) {
  const results = report.testResults.filter(({ name }) => name.includes(suite));
  if (results.length !== 1) throw new Error(`clients: the suite ${suite} has not run`);
  for (const { ancestorTitles, title, status } of results[0].assertionResults) {
    const [name] = ancestorTitles;
    if (!setups.has(name)) setups.set(name, { transport: "", passed: 0, failed: 0 });
    const setup = setups.get(name);
    if (status === "passed") setup.passed += 1;
    if (status === "failed") setup.failed += 1;
    setup.transport ||= TRANSPORT.exec(title)?.[1] ?? "";
  }
}

const rows = [];
for (const [name, { transport, passed, failed }] of setups) {
  if (transport === "") continue; // connect-redis itself
  rows.push([name, transport, passed, failed === 0 ? "pass" : `**${failed} fail**`]);
}
writeTable("docs/clients.md", "clients", ["client", "transport", "tests passed", ""], rows);
process.exitCode = report.numFailedTests === 0 ? 0 : 1;
