"use strict";

// Tries the near cache for a while against a model, on servers and networks that fail: `npm run soak -- 10`,
// in minutes.

const { run } = require("jest");

const minutes = process.argv[2] ?? "10";
if (!(Number(minutes) > 0)) {
  console.error(`soak: how many minutes? got ${minutes}`);
  process.exit(1);
}
process.env.SOAK_MINUTES = minutes;
run(["__test__/long/near-cache.model.test.js"]);
