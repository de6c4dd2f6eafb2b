"use strict";

// Prints the last line of a run by npm: the command, the counts, the time, and how to run the rest.

/** How to run the tests that a script of package.json leaves out, by the script's name. */
const REST = {
  test: "; the rest: npm run test:long",
  "test:long": "; the others: npm test",
  "test:all": "",
};

class Summary {
  onRunComplete(_contexts, results) {
    const script = process.env.npm_lifecycle_event;
    const rest = REST[script];
    if (rest === undefined) return;
    const counts = [`${results.numPassedTests} passed`, `${results.numPendingTests} left out`];
    if (results.numFailedTests > 0) counts.unshift(`${results.numFailedTests} failed`);
    const seconds = Math.round((Date.now() - results.startTime) / 1000);
    const command = script === "test" ? "npm test" : `npm run ${script}`;
    // Jest prints its own summary after every reporter.
    process.once("exit", () =>
      process.stderr.write(`\n${command}: ${counts.join(", ")}, in ${seconds} s${rest}\n`),
    );
  }
}

module.exports = Summary;
