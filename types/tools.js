"use strict";

// The packages that check and document the types: the project's own, and in tools/, with a lock file
// of their own, those that nobody needs who works on the store. They bring three more TypeScripts.

const path = require("node:path");
const { installPackages } = require("../scripts/npm-packages.js");

const TOOLS = path.join(__dirname, "tools");

/** Installs packages that are missing or too old. */
function installTools() {
  for (const folder of [path.join(__dirname, ".."), TOOLS]) {
    const problem = installPackages(folder, (line) => console.log(`${line} (in ${folder})`));
    if (problem !== undefined) throw new Error(problem);
  }
}

module.exports = { TOOLS, installTools };
