"use strict";

// The behaviour suite with the clients that most apps use; long/ runs it with all others.

const { describeBehaviour } = require("./support/behaviour.js");
const { usual } = require("./support/setups.js");

describe.each(usual)("$name", describeBehaviour);
