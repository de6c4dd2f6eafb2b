"use strict";

// Fastify's session plugin with the store's own adapter: all that holds without it holds with it.
//
// The plugin's own tests, which are not in its package, with the adapter in place of its MemoryStore (and
// without memorystore.test.js, which is about that class): all pass but these, none for a fault of the
// adapter. Except for the third they fail with any store that answers in a later turn, one in memory, too.
//
// - "should save the session properly" looks into the Map of its store, and ends before `save` has
// - "should support multiple secrets" likewise, and its async handler sends and does not return the reply
// - "regenerate destroys the previous session in the store" looks into that Map
// - "should decryptSession with custom request object" ends before the session is read
// - "should decryptSession with custom cookie options" likewise
// - "Custom options" ends before it has the response
//
// With a wait at these places, and a Map that shows what is in Redis, they pass.

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
