"use strict";

// The behaviour suite with mocks, wrappers and clients that only look like node-redis or ioredis.

const { describeBehaviour } = require("../support/behaviour.js");
const { fakes } = require("../support/setups.js");

describe.each(fakes)("$name", describeBehaviour);
