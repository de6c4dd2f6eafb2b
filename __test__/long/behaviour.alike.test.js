"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { alike } = require("../support/setups.js");

describe.each(alike)("$name", describeBehaviour);
