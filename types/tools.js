"use strict";

// The packages that check and document the types: the project's own, and in tools/, with a lock file
// of their own, those that nobody needs who works on the store. They bring three more TypeScripts.

const { spawnSync } = require("node:child_process");
const { statSync } = require("node:fs");
const path = require("node:path");

const TOOLS = path.join(__dirname, "tools");

/** Installs packages where they are missing or older than they have to be. */
function installTools() {
  for (const folder of [path.join(__dirname, ".."), TOOLS]) {
    const modified = (file) =>
      statSync(path.join(folder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
    const done = modified("node_modules/.package-lock.json");
    if (done >= modified("package-lock.json") && done >= modified("package.json")) continue;
    console.log(`installing npm packages in ${folder} …`);
    // As scripts/setup.js does.
    const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
    const { status } = spawnSync("npm", args, { cwd: folder, stdio: "inherit" });
    if (status !== 0) throw new Error(`npm install has failed in ${folder}`);
  }
}

module.exports = { TOOLS, installTools };
