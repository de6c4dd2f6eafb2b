"use strict";

// The names of the peers, in the results and in the tables.

module.exports = {
  /** All others are compared with this one. */
  REFERENCE: "connect-redis 10 + node-redis 6",
  /** With auto-pipelining on. */
  IOREDIS: "connect-redis 8 + ioredis 5",
  MEMORY: "MemoryStore",
  /** This store by `url`, on a direct connection beside a client, and through the client. */
  OURS: "connect-redis-rs",
  DIRECT: "connect-redis-rs, direct connection",
  THROUGH: "connect-redis-rs, through node-redis",
  /** This store by `url`, with the options that save a request its round trips. */
  BACKGROUND: 'connect-redis-rs, touch: "background"',
  TOUCH_AFTER: "connect-redis-rs, touchAfter",
  CACHE: "connect-redis-rs, cache",
  /** Only JSON.stringify and JSON.parse, in the harness's loop and in a loop that awaits nothing. */
  FLOOR: "floor",
  BARE: "floor, bare",
  BUN: "Bun's Redis client",
  LIMIT: "redis-benchmark, pipelined",
  /** SCAN, driven from Rust, and UNLINK for `clear`: what Redis needs to go over all keys. */
  SCAN: "SCAN alone",
};
