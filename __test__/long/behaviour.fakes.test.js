"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { fakes } = require("../support/setups.js");

describe.each(fakes)("$name", describeBehaviour);
