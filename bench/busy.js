"use strict";

// Other processes that keep all cores busy.

const os = require("node:os");
const path = require("node:path");
const { startProcess } = require("./processes.js");

const BUSY = path.join(__dirname, "busy-process.js");

/** Starts as many processes as there are cores, each of which wants one. */
async function keepCoresBusy() {
  const others = os.cpus().map(() => startProcess(BUSY));
  await Promise.all(others.map((other) => other.call("ready")));
  return others;
}

module.exports = { keepCoresBusy };
