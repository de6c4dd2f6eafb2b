"use strict";

const { appendFileSync } = require("node:fs");

/**
 * Notes what a test has measured of a fault, for the table in docs/reliability.md; the test's name is
 * the promise there. Written to the file that MEASURED names, by `npm run reliability`.
 * @param {string} fault such as "nothing listens"
 * @param {string} figure what came out, with its unit
 */
function measured(fault, figure) {
  const { MEASURED } = process.env;
  if (!MEASURED) return;
  const { testPath, currentTestName } = expect.getState();
  const line = { file: testPath, test: currentTestName, fault, figure };
  appendFileSync(MEASURED, `${JSON.stringify(line)}\n`);
}

module.exports = { measured };
