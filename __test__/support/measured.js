"use strict";

const { appendFileSync } = require("node:fs");

/**
 * Records a figure that a test has measured, for the table in docs/reliability.md; the test's name is
 * the promise in that table. `npm run reliability` sets MEASURED to the file; without it, does nothing.
 * @param {string} fault such as "nothing listens"
 * @param {string} figure the figure, with its unit
 */
function measured(fault, figure) {
  const { MEASURED } = process.env;
  if (!MEASURED) return;
  const { testPath, currentTestName } = expect.getState();
  const line = { file: testPath, test: currentTestName, fault, figure };
  appendFileSync(MEASURED, `${JSON.stringify(line)}\n`);
}

module.exports = { measured };
