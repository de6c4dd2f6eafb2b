"use strict";

// Store operations under load, the same for every peer.
//
// Every store is called as express-session calls it, with a callback, in one Promise of the harness.
// So the promise that some stores also return is not measured, and MemoryStore, which only has
// callbacks, is called like all others.

const { monitorEventLoopDelay } = require("node:perf_hooks");
const { cpuEach, cpuNow } = require("./cpu.js");
const { SIDS } = require("./sessions.js");
const { percentile } = require("./statistics.js");

/** Calls between two looks at the clock. A timer would not fire: `floor` never yields to the event loop. */
const LOOK_EVERY = 16;
const LOOP_DELAY_RESOLUTION_MS = 1;

/** Latencies; reused, so that no slice has to allocate it. If a slice has more calls, the first ones count. */
const latencies = new Float64Array(1_000_000);

/** The operations that are measured, as functions of the sid. */
function callsOf(store, session) {
  return {
    get: (sid) =>
      new Promise((resolve, reject) => {
        store.get(sid, (error, found) => {
          if (error) reject(error);
          else if (found) resolve(found);
          else reject(new Error("a stored session is missing"));
        });
      }),
    set: (sid) =>
      new Promise((resolve, reject) => {
        store.set(sid, session, (error) => (error ? reject(error) : resolve()));
      }),
    touch: (sid) =>
      new Promise((resolve, reject) => {
        store.touch(sid, session, (error) => (error ? reject(error) : resolve()));
      }),
  };
}

/** Stores the sessions for the measurement. */
async function fill(store, session) {
  const { set } = callsOf(store, session);
  for (let from = 0; from < SIDS.length; from += 50) {
    await Promise.all(SIDS.slice(from, from + 50).map(set));
  }
}

/**
 * Keeps `concurrency` calls going for `seconds`.
 * @returns {Promise<{calls: number, seconds: number}>} the number of calls, and the time until the last reply
 */
async function keepGoing(call, concurrency, seconds) {
  let calls = 0;
  let isOver = false;
  const started = performance.now();
  const until = started + seconds * 1000;
  const worker = async () => {
    while (!isOver) {
      calls += 1;
      if (calls % LOOK_EVERY === 0 && performance.now() >= until) isOver = true;
      await call(SIDS[calls % SIDS.length]);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return { calls, seconds: (performance.now() - started) / 1000 };
}

/** The same without promises, for a store that calls back synchronously: the cost of the harness. */
async function keepGoingBare(store, operation, session, seconds) {
  let calls = 0;
  const started = performance.now();
  const until = started + seconds * 1000;
  const done = () => {};
  while (calls % LOOK_EVERY !== 0 || performance.now() < until) {
    calls += 1;
    if (operation === "get") store.get(SIDS[calls % SIDS.length], done);
    else store.set(SIDS[calls % SIDS.length], session, done);
  }
  return { calls, seconds: (performance.now() - started) / 1000 };
}

/**
 * Measures once, after a warm-up. Latency has its own slice, half as long: reading the clock twice
 * in each call would cost a twentieth of the throughput if a call takes a microsecond.
 * @param {object} store
 * @param {object} session
 * @param {{operation: "get" | "set" | "touch", concurrency: number, seconds: number,
 *   isBare?: boolean}} how
 * @returns {Promise<{rate: number, jsCpu: number, cpu: number, p50?: number, p99?: number,
 *   loopP99?: number, loopMax?: number}>} operations a second; CPU per operation in microseconds, of
 *   the JS thread and of the process; latency and event-loop delay in milliseconds
 */
async function measure(store, session, { operation, concurrency, seconds, isBare }) {
  const call = callsOf(store, session)[operation];
  const go = isBare
    ? (time) => keepGoingBare(store, operation, session, time)
    : (time) => keepGoing(call, concurrency, time);
  await go(seconds / 4);
  const before = cpuNow();
  const done = await go(seconds);
  const figures = { rate: done.calls / done.seconds, ...cpuEach(before, done.calls) };
  return isBare ? figures : { ...figures, ...(await timeCalls(call, concurrency, seconds / 2)) };
}

async function timeCalls(call, concurrency, seconds) {
  let timed = 0;
  const timedCall = async (sid) => {
    const started = performance.now();
    await call(sid);
    if (timed < latencies.length) latencies[timed] = performance.now() - started;
    timed += 1;
  };
  const delay = monitorEventLoopDelay({ resolution: LOOP_DELAY_RESOLUTION_MS });
  delay.enable();
  await keepGoing(timedCall, concurrency, seconds);
  // A delay is recorded only when the loop turns again.
  await new Promise((resolve) => setTimeout(resolve, 2 * LOOP_DELAY_RESOLUTION_MS));
  delay.disable();
  const sorted = latencies.subarray(0, Math.min(timed, latencies.length)).sort();
  // The monitor includes the time from one tick to the next.
  const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - LOOP_DELAY_RESOLUTION_MS);
  return {
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    loopP99: late(delay.percentile(99)),
    loopMax: late(delay.max),
  };
}

module.exports = { callsOf, fill, keepGoing, measure };
