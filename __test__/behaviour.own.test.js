"use strict";

// The behaviour suite with each connection of the store's own, and with connect-redis beside it.

const { describeBehaviour } = require("./support/behaviour.js");
const { own } = require("./support/setups.js");

describe.each(own)("$name", describeBehaviour);
