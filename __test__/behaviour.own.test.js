"use strict";

const { describeBehaviour } = require("./support/behaviour.js");
const { own } = require("./support/setups.js");

describe.each(own)("$name", describeBehaviour);
