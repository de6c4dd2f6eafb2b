"use strict";

const { describeBehaviour } = require("./support/behaviour.js");
const { own } = require("./support/kinds.js");

describe.each(own)("$name", describeBehaviour);
