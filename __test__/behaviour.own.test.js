"use strict";

// The behaviour suite with the store's own connections, and with connect-redis for comparison.

const { describeBehaviour } = require("./support/behaviour.js");
const { own } = require("./support/setups.js");

describe.each(own)("$name", describeBehaviour);
