"use strict";

// The behaviour suite with the clients that most apps have; long/ has it with every other one.

const { describeBehaviour } = require("./support/behaviour.js");
const { usual } = require("./support/setups.js");

describe.each(usual)("$name", describeBehaviour);
