"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { nodeRedis } = require("../support/kinds.js");

describe.each(nodeRedis)("$name", describeBehaviour);
