"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { ioredis } = require("../support/setups.js");

describe.each(ioredis)("$name", describeBehaviour);
