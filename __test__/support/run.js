"use strict";

const { spawn } = require("node:child_process");
const path = require("node:path");

const ROOT = path.join(__dirname, "..", "..");

/**
 * Runs the text of an ES module in a new Node process.
 * @param {string} code
 * @param {object} [env] more environment variables
 * @param {(stdout: string, child: import("node:child_process").ChildProcess) => void} [onOutput]
 *   called with all its output so far
 * @returns {Promise<{code: number | null, signal: string | null, stdout: string, stderr: string}>}
 */
function run(code, env, onOutput) {
  return start(["--input-type=module", "--expose-gc", "--eval", code], env, onOutput);
}

/** Like `run`, for a script of the project. */
function start(args, env = {}, onOutput = () => {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { cwd: ROOT, env: { ...process.env, ...env } });
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"]) {
      child[name].setEncoding("utf8").on("data", (text) => {
        output[name] += text;
        onOutput(output.stdout, child);
      });
    }
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, ...output }));
  });
}

module.exports = { run, start };
