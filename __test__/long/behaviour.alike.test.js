"use strict";

const { describeBehaviour } = require("../support/behaviour.js");
const { alike } = require("../support/kinds.js");

describe.each(alike)("$name", describeBehaviour);
