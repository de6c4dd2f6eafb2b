"use strict";

// Installs the npm packages of a folder with a package.json, if they are missing.

const { spawnSync } = require("node:child_process");
const { statSync } = require("node:fs");
const path = require("node:path");

/**
 * @param {string} folder
 * @param {(line: string) => void} say
 * @returns {string | undefined} why it could not be done, if it could not
 */
function installPackages(folder, say) {
  const modified = (file) =>
    statSync(path.join(folder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const done = modified("node_modules/.package-lock.json");
  if (done >= modified("package-lock.json") && done >= modified("package.json")) return undefined;
  say("installing npm packages …");
  // The versions of package-lock.json, as npm ci; but that fails if a registry lacks the
  // packages of other platforms.
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, error } = spawnSync("npm", args, { cwd: folder, stdio: "inherit" });
  if (error) return `npm cannot be run: ${error.message}`;
  return status === 0 ? undefined : `npm ${args.join(" ")} has failed; see above.`;
}

module.exports = { installPackages };
