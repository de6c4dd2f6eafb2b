"use strict";

// The behaviour suite with clients that are ioredis by another name or version.

const { describeBehaviour } = require("../support/behaviour.js");
const { alike } = require("../support/setups.js");

describe.each(alike)("$name", describeBehaviour);
