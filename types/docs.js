"use strict";

// Writes the API reference to target/docs, from the types and the comments on them. A public thing
// without one is an error. `npm run docs` runs it.

const { spawnSync } = require("node:child_process");
const path = require("node:path");
const { TOOLS, installTools } = require("./tools.js");

installTools();
const typedoc = path.join(TOOLS, "node_modules", "typedoc", "bin", "typedoc");
const args = [typedoc, "--options", path.join(__dirname, "typedoc.json")];
process.exitCode = spawnSync(process.execPath, args, { stdio: "inherit" }).status ?? 1;
