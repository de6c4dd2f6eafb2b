"use strict";

// CPU time that a process has used so far.

const { readFileSync, readdirSync } = require("node:fs");

/** CPU time of a thread of a process, in nanoseconds; throws if this is not Linux. */
function ofTask(pid, task) {
  // Nanoseconds on a CPU, time waited for one, slices. It lags by a tick at most.
  return Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[0]);
}

/** CPU time of the threads that another process has now, in nanoseconds; NaN if this is not Linux. */
function ofOther(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => sum + ofTask(pid, task), 0);
  } catch {
    return Number.NaN;
  }
}

/** CPU time of the JS thread, in nanoseconds; NaN if the system does not report it. */
function ofThread() {
  try {
    return ofTask("self", process.pid);
  } catch {
    const used = process.threadCpuUsage?.(); // Node 22.19, 23.9 and newer
    return used ? (used.user + used.system) * 1000 : Number.NaN;
  }
}

/** CPU time of all threads, in nanoseconds. */
function ofProcess() {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
}

function cpuNow() {
  return { thread: ofThread(), process: ofProcess() };
}

/** The CPU time used since `since`, in microseconds per operation. */
function cpuEach(since, operations) {
  const now = cpuNow();
  return {
    jsCpu: (now.thread - since.thread) / 1000 / operations,
    cpu: (now.process - since.process) / 1000 / operations,
  };
}

module.exports = { cpuEach, cpuNow, ofOther };
