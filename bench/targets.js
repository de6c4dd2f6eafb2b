"use strict";

// The targets of the store, and whether it met them, by the medians of one run.

const { BACKGROUND, CACHE, FLOOR, MEMORY, OURS, REFERENCE, SCAN } = require("./names.js");
const { roundTrips } = require("./redis-wait.js");
const { ratio } = require("./statistics.js");

/** At 600 bytes, against connect-redis 10 + node-redis 6: [operation, calls, figure, bound]. */
const OPERATIONS = [
  ["get", 64, "rate", { least: 4.5 }],
  ["get", 512, "rate", { least: 5 }],
  ["set", 64, "rate", { least: 3.5 }],
  ["set", 512, "rate", { least: 4 }],
  ["get", 16, "rate", { least: 3 }],
  ["set", 16, "rate", { least: 3 }],
  ["touch", 16, "rate", { least: 3 }],
  ["touch", 64, "rate", { least: 7 }],
  ["touch", 512, "rate", { least: 9 }],
  ["get", 64, "p99", { most: 1 / 5 }],
  ["get", 512, "p99", { most: 1 / 5 }],
  ["set", 64, "p99", { most: 1 / 4 }],
  ["set", 512, "p99", { most: 1 / 4 }],
  ["get", 64, "jsCpu", { most: 0.3 }],
  ["get", 512, "jsCpu", { most: 0.3 }],
  ["get", 64, "cpu", { most: 0.3 }],
  ...["get", "set", "touch"].flatMap((operation) => [
    [operation, 1, "rate", { least: 2.2 }],
    [operation, 1, "jsCpu", { most: 0.5 }],
  ]),
];

/** One call at a time while other processes keep all cores busy. */
const LEAST_BUSY = 1.2;
/** A `get` that is served from a copy, to JSON alone. */
const LEAST_CACHED = 95;

/** Of a million sessions: [operation, figure, bound], times and memory as ratios. */
const BULK = [
  ["length", "seconds", { least: 6 }],
  ["ids", "seconds", { least: 4 }],
  ["clear", "seconds", { least: 4 }],
  ["all", "seconds", { least: 2.2 }],
  ["all", "memoryMB", { most: 0.6 }],
];
const BULK_COUNT = 1_000_000;
/** To SCAN alone. */
const MOST_TO_SCAN = 1.15;
/** All sessions are made objects on the JS thread. */
const MOST_STALL_MS = { all: 50 };
const MOST_STALL_ELSE_MS = 20;
const MOST_HELD_MS = 10;

/** What a request waits for a Redis 1 ms away: to connect-redis's wait, and in round trips. */
const REQUEST_DISTANCE_MS = 1;
const MOST_WAIT_IN_BACKGROUND = 0.55; // half, as exactly as the proxy is
const MOST_WAIT_WITH_CACHE = 0.1; // none

const FIGURES = {
  rate: "throughput",
  p99: "p99",
  jsCpu: "JS-thread CPU",
  cpu: "process CPU",
  memoryMB: "peak memory",
};

/**
 * @param {object} results
 * @returns {{what: string, value: number, unit: string, least?: number, most?: number,
 *   isMet: boolean}[]} only targets that were measured; the unit "×" is a ratio to
 *   connect-redis 10 + node-redis 6
 */
function judge(results) {
  const judged = [];
  const add = (what, value, unit, bound) => {
    if (!Number.isFinite(value)) return;
    const { least = Number.NEGATIVE_INFINITY, most = Number.POSITIVE_INFINITY } = bound;
    judged.push({ what, value, unit, ...bound, isMet: value >= least && value <= most });
  };

  const cellOf = (operation, concurrency, size) =>
    results.operations?.find(
      (cell) =>
        cell.operation === operation && cell.concurrency === concurrency && cell.size === size,
    );
  for (const [operation, calls, figure, bound] of OPERATIONS) {
    const what = `${operation}, ${calls} call${calls === 1 ? "" : "s"}: ${FIGURES[figure]}`;
    add(what, ratio(cellOf(operation, calls, 600), figure, OURS, REFERENCE), "×", bound);
  }
  const share = ratio(cellOf("get", 64, 600), "rate", OURS, FLOOR);
  add("get, 64 calls: share of floor", share * 100, "%", { least: 85 });
  const cached = ratio(cellOf("get", 64, 600), "rate", CACHE, FLOOR);
  add("get, 64 calls, with cache: share of floor", cached * 100, "%", { least: LEAST_CACHED });
  for (const cell of results.busyOperations ?? []) {
    const value = ratio(cell, "rate", OURS, REFERENCE);
    add(`${cell.operation}, 1 call, all cores busy: throughput`, value, "×", { least: LEAST_BUSY });
  }
  for (const operation of ["get", "set"]) {
    const cell = cellOf(operation, 64, 64_000);
    const value = ratio(cell, "rate", OURS, REFERENCE);
    add(`${operation} of 64 kB, 64 calls: throughput`, value, "×", { least: 2 });
  }

  for (const cell of results.server ?? []) {
    if (cell.framework !== "http") continue;
    const what = `http with express-session, ${cell.route}: requests`;
    add(what, ratio(cell, "rate", OURS, REFERENCE), "×", { least: 1.3 });
    const value = ratio(cell, "rate", OURS, MEMORY);
    add(`${what}, to MemoryStore`, value, "× MemoryStore", { least: 1 });
  }

  const bulk = (results.bulk ?? []).filter(({ count }) => count === BULK_COUNT);
  for (const [operation, figure, bound] of BULK) {
    const cell = bulk.find((one) => one.operation === operation);
    // The speed is the inverse ratio of the times.
    const value =
      figure === "seconds"
        ? ratio(cell, figure, REFERENCE, OURS)
        : ratio(cell, figure, OURS, REFERENCE);
    add(`${operation} of a million: ${FIGURES[figure] ?? "speed"}`, value, "×", bound);
  }
  for (const cell of bulk) {
    const { operation, medians } = cell;
    const toScan = ratio(cell, "seconds", OURS, SCAN);
    add(`${operation} of a million: time to SCAN alone`, toScan, "×", { most: MOST_TO_SCAN });
    const { stall, held } = medians[OURS] ?? {};
    const most = MOST_STALL_MS[operation] ?? MOST_STALL_ELSE_MS;
    add(`${operation} of a million: event loop held`, stall, "ms", { most });
    add(`${operation} of a million: Redis held`, held, "ms", { most: MOST_HELD_MS });
  }

  const requests = results.requests ?? [];
  const alone = requests.find(
    ({ load, concurrency, distance }) =>
      load === "idle" && concurrency === 1 && distance === REQUEST_DISTANCE_MS,
  );
  if (alone) {
    const [theirs, background, cached] = [REFERENCE, BACKGROUND, CACHE].map((name) =>
      roundTrips(requests, alone, name),
    );
    const what = `a request, Redis ${REQUEST_DISTANCE_MS} ms away: wait for Redis`;
    const half = { most: MOST_WAIT_IN_BACKGROUND };
    add(`${what} with touch: "background"`, background / theirs, "×", half);
    add(`${what} with cache`, cached, "round trips", { most: MOST_WAIT_WITH_CACHE });
  }

  add("require", results.startup?.medians[OURS]?.require, "ms", { most: 15 });
  add("addon", results.startup?.addonMB, "MB", { most: 5 });
  return judged;
}

module.exports = { judge };
