"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { fakes } = require("../support/kinds.js");

describe.each(fakes)("$name", describeBehaviour);
