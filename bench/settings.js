"use strict";

// What the two modes measure. Peers that are compared with each other take part in the same rounds.

const N = require("./names.js");
const { SIZES } = require("./sessions.js");

const PAIR = [N.REFERENCE, N.OURS];
const MAIN = [N.REFERENCE, N.IOREDIS, N.MEMORY, N.OURS, N.FLOOR];
const REQUESTS = [N.REFERENCE, N.OURS, N.BACKGROUND, N.TOUCH_AFTER, N.CACHE];
const EVERYBODY = [...MAIN, N.DIRECT, N.THROUGH, N.CACHE, N.BARE, N.BUN, N.LIMIT];

/** About a minute. */
const SHORT = {
  parts: ["operations", "server", "startup", "requests"],
  operations: {
    seconds: 0.15,
    rounds: 5,
    sizes: [{ size: 600, concurrencies: [1, 64, 512], peers: [...PAIR, N.FLOOR] }],
  },
  server: {
    seconds: 2,
    rounds: 1,
    frameworks: ["http"],
    peers: [N.REFERENCE, N.MEMORY, N.OURS],
  },
  bulk: { sizes: [{ count: 10_000, rounds: 1 }], peers: [...PAIR, N.SCAN] },
  startup: { rounds: 5, memory: false, peers: PAIR },
  topologies: { seconds: 0.15, rounds: 3, peers: PAIR },
  requests: {
    seconds: 0.25,
    rounds: 3,
    loads: ["idle"],
    concurrencies: [1],
    distances: [0, 1],
    peers: REQUESTS,
  },
};

/** About half an hour. */
const FULL = {
  parts: ["operations", "server", "bulk", "startup", "topologies", "requests"],
  operations: {
    seconds: 0.25,
    rounds: 9,
    sizes: SIZES.map((size) => ({
      size,
      concurrencies: [1, 16, 64, 512],
      ...(size === 600
        ? { peers: EVERYBODY, busy: { concurrencies: [1], peers: PAIR } }
        : { peers: MAIN, rounds: 5 }),
    })),
  },
  server: {
    seconds: 3,
    rounds: 5,
    frameworks: ["http", "express"],
    peers: [N.REFERENCE, N.IOREDIS, N.MEMORY, N.OURS],
  },
  bulk: {
    sizes: [
      { count: 10_000, rounds: 5 },
      { count: 100_000, rounds: 3 },
      { count: 1_000_000, rounds: 3 },
    ],
    peers: [N.REFERENCE, N.IOREDIS, N.OURS, N.SCAN],
  },
  startup: { rounds: 15, memory: true, peers: PAIR },
  topologies: { seconds: 0.25, rounds: 9, peers: PAIR },
  requests: {
    seconds: 0.5,
    rounds: 5,
    loads: ["idle", "busy"],
    concurrencies: [1, 10, 100],
    distances: [0, 0.5, 1, 5],
    peers: REQUESTS,
  },
};

/**
 * The settings of a mode; the arguments override them.
 * @param {{full?: boolean, only?: string[], rounds?: number, seconds?: number}} asked
 */
function settingsFor({ full = false, only, rounds, seconds }) {
  const settings = structuredClone(full ? FULL : SHORT);
  settings.mode = full ? "full" : "short";
  settings.parts = only ?? settings.parts;
  settings.isShortened = rounds !== undefined || seconds !== undefined;
  for (const part of FULL.parts) {
    const own = settings[part];
    if (seconds !== undefined && own.seconds !== undefined) own.seconds = seconds;
    for (const where of [own, ...(own.sizes ?? [])]) {
      if (rounds !== undefined && where.rounds !== undefined) where.rounds = rounds;
    }
  }
  return settings;
}

module.exports = { PARTS: FULL.parts, settingsFor };
