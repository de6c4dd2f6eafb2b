"use strict";

// A Python with some packages: that of the system, or one with an environment of its own in target/.

const { spawnSync } = require("node:child_process");
const { existsSync } = require("node:fs");
const path = require("node:path");
const { runs } = require("./system.js");

const ENVIRONMENT = path.join(__dirname, "..", "target", "python");
const NAMES = ["python3", "python"];

/**
 * Returns the path of a Python that can import these packages, which pip knows by the same names; it
 * installs them if they are missing. Returns undefined if there is no Python, or they cannot be had.
 * @param {string[]} packages
 */
function pythonWith(packages) {
  const imports = ["-c", packages.map((name) => `import ${name}`).join("\n")];
  const system = NAMES.filter((name) => runs(name, ["--version"]));
  const folder = process.platform === "win32" ? "Scripts" : "bin";
  const own = path.join(ENVIRONMENT, folder, "python");
  const ready = [...system, own].find((python) => runs(python, imports));
  if (ready !== undefined || system.length === 0) return ready;
  if (!existsSync(own) && !runs(system[0], ["-m", "venv", ENVIRONMENT])) return undefined;
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages];
  spawnSync(own, pip, { stdio: ["ignore", "ignore", "inherit"] });
  return runs(own, imports) ? own : undefined;
}

module.exports = { pythonWith };
