"use strict";

// The behaviour suite with every other version and option of node-redis.

const { describeBehaviour } = require("../support/behaviour.js");
const { nodeRedis } = require("../support/setups.js");

describe.each(nodeRedis)("$name", describeBehaviour);
