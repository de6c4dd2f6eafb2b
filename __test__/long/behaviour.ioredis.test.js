"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { ioredis } = require("../support/kinds.js");

describe.each(ioredis)("$name", describeBehaviour);
