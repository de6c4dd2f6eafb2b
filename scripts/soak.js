"use strict";

// Tries the near cache for a while against a model, on servers and networks that fail: `npm run soak -- 10`,
// in minutes.

const { spawnSync } = require("node:child_process");
const path = require("node:path");

const minutes = process.argv[2] ?? "10";
if (!(Number(minutes) > 0)) {
  console.error(`soak: how many minutes? got ${minutes}`);
  process.exit(1);
}
const jest = path.join(path.dirname(require.resolve("jest/package.json")), "bin", "jest.js");
const { status } = spawnSync(process.execPath, [jest, "__test__/long/near-cache.model.test.js"], {
  cwd: path.join(__dirname, ".."),
  env: { ...process.env, SOAK_MINUTES: minutes },
  stdio: "inherit",
});
process.exit(status ?? 1);
