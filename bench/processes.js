"use strict";

// Child processes that run functions on request, over IPC, one at a time. None outlives the parent:
// it kills them when it ends, and if it cannot, they end when the IPC channel closes.

const { spawn } = require("node:child_process");

/** Far more than any call takes: a peer that hangs must fail, not block the run. */
const CALL_LIMIT_MS = 3 * 60_000;

const running = new Set();
process.once("exit", killProcesses);

/** Kills all child processes that still run. */
function killProcesses() {
  for (const child of running) child.kill("SIGKILL");
}

/**
 * Starts a process that ends with the parent; its error is what it writes to stderr.
 * @param {string} program
 * @param {string[]} args
 * @param {import("node:child_process").StdioOptions} stdio with a pipe for stderr
 * @returns {{child: import("node:child_process").ChildProcess,
 *   ended: Promise<{code?: number | null, error: Error}>}}
 */
function start(program, args, stdio) {
  const env = { ...process.env, NODE_ENV: "production" };
  const child = spawn(program, args, { stdio, env, serialization: "json" });
  running.add(child);
  const ended = new Promise((resolve) => {
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      said = (said + text).slice(-4000);
    });
    child.once("error", (error) => {
      running.delete(child);
      resolve({ error: new Error(`${program} cannot be run: ${error.message}`) });
    });
    child.once("close", (code, signal) => {
      running.delete(child);
      // The line with the message, if stderr has one, without the stack below it.
      const telling = /^.*(?:error|FATAL).*$/im.exec(said)?.[0] ?? said.trim();
      resolve({ code, error: new Error(`its process ended with ${signal ?? code}: ${telling}`) });
    });
  });
  return { child, ended };
}

/**
 * Starts a file that calls `serve`.
 * @param {string} file
 * @param {object} [options]
 * @param {string} [options.program] another runtime than this Node
 * @param {string[]} [options.nodeArgs]
 * @returns {{pid: number, call: (name: string, ...args: unknown[]) => Promise<any>,
 *   stop: () => Promise<void>}}
 */
function startProcess(file, { program = process.execPath, nodeArgs = [] } = {}) {
  const { child, ended } = start(program, [...nodeArgs, file], ["ignore", "ignore", "pipe", "ipc"]);
  const waiting = new Map();
  let calls = 0;
  let failure;
  const fail = (error) => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
  ended.then(({ error }) => fail(error));
  child.on("message", ({ id, value, error }) => {
    const call = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) call?.resolve(value);
    else call?.reject(new Error(error));
  });
  function call(name, ...args) {
    if (failure) return Promise.reject(failure);
    calls += 1;
    const id = calls;
    return new Promise((resolve, reject) => {
      const limit = setTimeout(() => {
        child.kill("SIGKILL");
        fail(new Error(`no reply to ${name} within ${CALL_LIMIT_MS / 60_000} minutes`));
      }, CALL_LIMIT_MS);
      const settle = (then) => (value) => {
        clearTimeout(limit);
        then(value);
      };
      waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      child.send({ id, name, args }, (error) => error && fail(error));
    });
  }
  async function stop() {
    child.kill("SIGKILL");
    await ended;
  }
  return { pid: child.pid, call, stop };
}

/** Resolves to what a program writes to stdout; rejects if its exit code is not 0. */
async function outputOf(program, args) {
  const { child, ended } = start(program, args, ["ignore", "pipe", "pipe"]);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  const { code, error } = await ended;
  if (code !== 0) throw error;
  return output;
}

/** In a child process: runs these functions when the parent calls them. */
function serve(functions) {
  process.on("SIGINT", () => {}); // Ctrl-C is for the parent, which ends this process
  process.on("disconnect", () => process.exit());
  process.on("message", async ({ id, name, args }) => {
    try {
      process.send({ id, value: await functions[name](...args) });
    } catch (error) {
      process.send({ id, error: error.message || error.code || `${error}` });
    }
  });
}

module.exports = { killProcesses, outputOf, serve, start, startProcess };
