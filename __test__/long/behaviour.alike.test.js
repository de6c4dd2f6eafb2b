"use strict";

// The behaviour suite with ioredis 4 and forks of ioredis.

const { describeBehaviour } = require("../support/behaviour.js");
const { alike } = require("../support/setups.js");

describe.each(alike)("$name", describeBehaviour);
