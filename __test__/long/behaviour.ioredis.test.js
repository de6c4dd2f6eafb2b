"use strict";

// The behaviour suite with every other version and option of ioredis.

const { describeBehaviour } = require("../support/behaviour.js");
const { ioredis } = require("../support/setups.js");

describe.each(ioredis)("$name", describeBehaviour);
