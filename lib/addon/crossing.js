"use strict";

// What both sides of the crossing agree on, from src/napi/crossing.rs: the numbers that stand for
// methods, commands and scans, and the layout of a batch.

/** @type {import("./addon.js").Crossing} */
module.exports = require("./load.js").crossing();
