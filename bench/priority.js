"use strict";

// What stands for other machines: Redis, the network, the users. On a machine whose cores are busy, these
// must not wait for a core as the app does.

const { readdirSync } = require("node:fs");
const os = require("node:os");

/**
 * Lets the threads that a process has now, and those that they start, go before all others. Does nothing
 * if the user may not do that.
 * @param {number} pid
 * @returns {boolean} whether it was done
 */
function beBeside(pid) {
  try {
    for (const task of tasksOf(pid)) os.setPriority(task, os.constants.priority.PRIORITY_HIGHEST);
    return true;
  } catch {
    return false;
  }
}

/** On Linux, threads have priorities of their own. */
function tasksOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).map(Number);
  } catch {
    return [pid];
  }
}

module.exports = { beBeside };
