"use strict";

// Keeps a core busy until it is stopped, or the parent ends.

const { serve } = require("./processes.js");

const LOOK_EVERY_MS = 20;

serve({ ready() {} });
spin();

function spin() {
  const until = performance.now() + LOOK_EVERY_MS;
  while (performance.now() < until);
  setImmediate(spin); // the parent may have ended meanwhile
}
