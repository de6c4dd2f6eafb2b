"use strict";

// Makes the tarballs of a release: the main package, and the package of this machine's platform with
// its addon.

const { spawnSync } = require("node:child_process");
const { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } = require("node:fs");
const { readdirSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { addonFile, findPlatform } = require("../lib/addon/platform.js");
const manifest = require("../package.json");

const ROOT = path.join(__dirname, "..");

/**
 * @typedef {object} Packed
 * @property {string} name
 * @property {string} version
 * @property {string} file the tarball's path
 * @property {number} size of the tarball, in bytes
 * @property {number} unpackedSize
 * @property {string[]} files the paths in it
 */

/**
 * Packs both packages into a folder.
 * @param {string} folder
 * @param {string[]} [platforms] the platforms whose packages the main package names; by default all,
 *   as in a release
 * @returns {{main: Packed, platform: Packed}}
 */
function packPair(folder, platforms = readdirSync(path.join(ROOT, "npm"))) {
  const staging = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-pack-"));
  try {
    const main = packFolder(stageMain(path.join(staging, "main"), platforms), folder);
    const platform = packFolder(stagePlatform(path.join(staging, "platform")), folder);
    return { main, platform };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

function stageMain(to, platforms) {
  const { version } = manifest;
  const [{ files }] = npmPack(ROOT, "--dry-run");
  for (const { path: file } of files) {
    mkdirSync(path.dirname(path.join(to, file)), { recursive: true });
    copyFileSync(path.join(ROOT, file), path.join(to, file));
  }
  const names = platforms.map((name) => `${manifest.name}-${name}`);
  const optionalDependencies = Object.fromEntries(names.map((name) => [name, version]));
  const released = { ...manifest, optionalDependencies };
  writeFileSync(path.join(to, "package.json"), `${JSON.stringify(released, null, 2)}\n`);
  return to;
}

function stagePlatform(to) {
  const platform = findPlatform();
  const from = path.join(ROOT, "npm", platform);
  if (!existsSync(from)) throw new Error(`npm/ has no package for ${platform}`);
  cpSync(from, to, { recursive: true });
  copyFileSync(path.join(ROOT, addonFile(platform)), path.join(to, addonFile(platform)));
  return to;
}

/** @returns {Packed} */
function packFolder(from, to) {
  const [{ name, version, filename, size, unpackedSize, files }] = npmPack(
    from,
    "--pack-destination",
    to,
  );
  const file = path.join(to, filename);
  return { name, version, file, size, unpackedSize, files: files.map((one) => one.path) };
}

function npmPack(folder, ...args) {
  const command = ["pack", "--json", "--ignore-scripts", ...args];
  const { status, stdout, stderr, error } = spawnSync("npm", command, {
    cwd: folder,
    encoding: "utf8",
    shell: process.platform === "win32", // npm is a script there
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`npm ${command.join(" ")} has failed:\n${stderr}`);
  return Object.values(JSON.parse(stdout));
}

/**
 * Describes a tarball in one line.
 * @param {Packed} packed
 */
function summaryOf({ name, version, files, size, unpackedSize }) {
  const kB = (bytes) => `${Math.round(bytes / 1000)} kB`;
  return `${name} ${version}: ${files.length} files, ${kB(size)}, unpacked ${kB(unpackedSize)}`;
}

module.exports = { packFolder, packPair, summaryOf };
