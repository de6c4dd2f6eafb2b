"use strict";

// `store.metrics()`: what a store has counted, as plain numbers. Read when it is asked for; to count costs a
// call an addition.

const { latencyBounds: BOUNDS } = require("../addon/crossing.js");

/** @typedef {InstanceType<typeof import("./counts.js").Counts>} Counts */
/** @typedef {InstanceType<typeof import("../native/native-backend.js").NativeBackend>} NativeBackend */
/** @typedef {InstanceType<typeof import("../client/client-calls.js").Calls>} Calls */

/** The upper bounds of the latencies' buckets, in seconds. One more bucket has none. */
const SECONDS = BOUNDS.map((microseconds) => microseconds / 1e6);

/**
 * @param {object} of
 * @param {Counts} of.counts
 * @param {NativeBackend[]} of.backends those with a connection of the store's own; the first carries its
 *   calls now
 * @param {Calls} [of.calls] the calls that an app's client carries
 */
function metricsOf({ counts, backends, calls: ofClient }) {
  const calls = counts.calls();
  const [reconnects = 0, batches = 0, ...latencies] = backends[0]?.traffic() ?? [];
  const half = latencies.length / 2;
  const waiting = { calls: ofClient?.waiting.length ?? 0, bytes: ofClient?.waiting.bytes ?? 0 };
  for (const { caller } of backends) {
    waiting.calls += caller.length;
    waiting.bytes += caller.bytes;
  }
  return {
    calls,
    errors: Object.fromEntries(counts.codes),
    waiting,
    latency: {
      queue: histogram(latencies.slice(0, half)),
      redis: histogram(latencies.slice(half)),
    },
    batches,
    reconnects,
    discarded: calls.set.discarded,
    merged: calls.set.merged,
    skippedTouches: calls.touch.skipped,
    cache: nearCacheOf(backends),
  };
}

/**
 * What the near caches of these backends have done and hold.
 * @param {NativeBackend[]} backends
 */
function nearCacheOf(backends) {
  const sums = { hits: 0, misses: 0, copies: 0, bytes: 0 };
  for (const { caller } of backends) {
    if (caller.cache === undefined) continue;
    const { hits, misses, copies, bytes } = caller.cache.figures;
    sums.hits += hits;
    sums.misses += misses;
    sums.copies += copies;
    sums.bytes += bytes;
  }
  return sums;
}

/**
 * A histogram of src/io/traffic.rs: the microseconds of all calls together, and the calls of each bucket.
 * @param {number[]} numbers
 */
function histogram([microseconds = 0, ...counts]) {
  const found = counts.length > 0 ? counts : new Array(SECONDS.length + 1).fill(0);
  return {
    bounds: [...SECONDS],
    counts: found,
    count: found.reduce((sum, count) => sum + count, 0),
    sum: microseconds / 1e6,
  };
}

module.exports = { metricsOf };
