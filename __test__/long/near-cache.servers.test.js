"use strict";

// The claims of near-cache.test.js on other servers: other versions, a cluster and a master behind a
// sentinel.

const { describeNearCache } = require("../support/near-cache.js");
const { own } = require("../support/setups.js");

const named = (name) => own.find((setup) => setup.name === name);

describeNearCache(named("url"), "Redis 6.2");
describeNearCache(named("url"), "Redis 8.2");
describeNearCache(named("url"), "Valkey 9");
describeNearCache(named("cluster"));
describeNearCache(named("cluster"), "Valkey 9");
describeNearCache(named("sentinel"));
