"use strict";

// The claims of concurrency.test.js on other servers: one that compares by SET with IFEQ, an old and a
// new Redis, a cluster and a master behind a sentinel.

const { describeConcurrency } = require("../support/concurrency.js");
const { own } = require("../support/setups.js");

const named = (name) => own.find((setup) => setup.name === name);

describeConcurrency(named("url"), "Valkey 9");
describeConcurrency(named("url"), "Redis 6.2");
describeConcurrency(named("url"), "Redis 8.2");
describeConcurrency(named("cluster"));
describeConcurrency(named("cluster"), "Valkey 9");
describeConcurrency(named("sentinel"));
