"use strict";

// What the peers are called, in the results and in the tables.

module.exports = {
  /** What everything is compared with. */
  REFERENCE: "connect-redis 10 + node-redis 6",
  /** With its auto-pipelining on. */
  IOREDIS: "connect-redis 8 + ioredis 5",
  MEMORY: "MemoryStore",
  /** This store by `url`, on the connection of a client, and through the client. */
  OURS: "connect-redis-rs",
  ADOPTED: "connect-redis-rs, adopted client",
  THROUGH: "connect-redis-rs, through node-redis",
  /** JSON.stringify and JSON.parse in the harness's loop, and in a loop that awaits nothing. */
  FLOOR: "floor",
  BARE: "floor, bare",
  BUN: "Bun's Redis client",
  LIMIT: "redis-benchmark, pipelined",
};
