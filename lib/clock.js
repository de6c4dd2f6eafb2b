"use strict";

// The process's own timers and clock, taken when the package is loaded. An app's tests may put fakes in
// their place later, and the store's own work must go on, also that of rooms which are loaded later.

const { performance } = require("node:perf_hooks");
const { clearTimeout, setImmediate, setTimeout } = require("node:timers");

const { nextTick } = process;
/** `performance.now()`. */
const monotonic = performance.now.bind(performance);

module.exports = { clearTimeout, monotonic, nextTick, setImmediate, setTimeout };
