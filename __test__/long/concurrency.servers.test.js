"use strict";

// The claims of concurrency.test.js on other servers: one that compares by SET with IFEQ, an old and a
// new Redis, a cluster and a master behind a sentinel.

const { fetchServer } = require("../../scripts/fetch-runtimes.js");
const { describeConcurrency } = require("../support/concurrency.js");
const { own } = require("../support/setups.js");

const named = (name) => own.find((setup) => setup.name === name);

/** A setup whose servers are of another version. */
function on(what, setup) {
  const start = async () => {
    const before = process.env.REDIS_SERVER;
    process.env.REDIS_SERVER = fetchServer(what);
    try {
      return await setup.start();
    } finally {
      if (before === undefined) delete process.env.REDIS_SERVER;
      else process.env.REDIS_SERVER = before;
    }
  };
  return { ...setup, name: `${what}: ${setup.name}`, start };
}

describeConcurrency(on("Valkey 9", named("url")), { hasIfEq: true });
describeConcurrency(on("Redis 6.2", named("url")));
describeConcurrency(on("Redis 8.2", named("url")));
describeConcurrency(named("cluster"));
describeConcurrency(on("Valkey 9", named("cluster")), { hasIfEq: true });
describeConcurrency(named("sentinel"));
