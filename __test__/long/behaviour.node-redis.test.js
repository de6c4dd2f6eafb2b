"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { nodeRedis } = require("../support/setups.js");

describe.each(nodeRedis)("$name", describeBehaviour);
