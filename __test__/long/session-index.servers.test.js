"use strict";

// The claims of session-index.test.js on other servers: a cluster, a master behind a sentinel, the oldest
// Redis, and Valkey; and beside a client of a cluster.

const { describeSessionIndex } = require("../support/session-index.js");
const { ioredis, own } = require("../support/setups.js");

const named = (name) => [...own, ...ioredis].find((setup) => setup.name === name);

describeSessionIndex(named("url"), "Redis 6.2");
describeSessionIndex(named("url"), "Valkey 9");
describeSessionIndex(named("url of a server that speaks RESP2"));
describeSessionIndex(named("cluster"));
describeSessionIndex(named("cluster"), "Redis 6.2");
describeSessionIndex(named("sentinel"));
describeSessionIndex(named("ioredis 5: Cluster with keyPrefix"));
