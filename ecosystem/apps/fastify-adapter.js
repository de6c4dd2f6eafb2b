"use strict";

// Fastify's session plugin with the store's own adapter: all that holds without it holds with it.

const assert = require("node:assert/strict");
const { fastifyStore } = require("connect-redis-rs/fastify");
const { cases: plain } = require("./fastify.js");

/** A case whose store is given to the plugin through the adapter. */
const adapted = (run) => (kit) => {
  const store = (options) => fastifyStore(kit.store(options));
  return run({ ...kit, store });
};

const cases = Object.fromEntries(
  Object.entries(plain).map(([claim, run]) => [claim, adapted(run)]),
);

module.exports = {
  title: "@fastify/session, with connect-redis-rs/fastify",
  connections: ["url", "ioredis 5", "node-redis 6"],
  cases: {
    ...cases,
    async "the adapter refuses what is no store"() {
      assert.throws(() => fastifyStore({}), TypeError);
    },
  },
};
