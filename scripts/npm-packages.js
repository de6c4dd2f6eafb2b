"use strict";

// Installs the npm packages of a folder with a package.json, if they are missing.

const { spawnSync } = require("node:child_process");
const { statSync } = require("node:fs");
const path = require("node:path");

/**
 * @param {string} folder
 * @param {(line: string) => void} say
 * @returns {string | undefined} why the installation failed; undefined if it succeeded
 */
function installPackages(folder, say) {
  const modified = (file) =>
    statSync(path.join(folder, file), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const done = modified("node_modules/.package-lock.json");
  if (done >= modified("package-lock.json") && done >= modified("package.json")) return undefined;
  say("installing npm packages …");
  // Installs the versions of package-lock.json, like npm ci. But npm ci fails if a registry does not
  // have the packages of other platforms.
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const { status, error } = spawnSync("npm", args, { cwd: folder, stdio: "inherit" });
  if (error) return `npm cannot be run: ${error.message}`;
  return status === 0 ? undefined : `npm ${args.join(" ")} has failed; see above.`;
}

module.exports = { installPackages };
