"use strict";

// What napi calls the platforms, in the names of files and packages.

const { isForMusl } = require("./elf.js");

/** Those with a package that carries the addon; package.json's `napi.targets`, as napi names them. */
const PLATFORMS = [
  "darwin-arm64",
  "darwin-x64",
  "linux-arm64-gnu",
  "linux-arm64-musl",
  "linux-x64-gnu",
  "linux-x64-musl",
  "win32-arm64-msvc",
  "win32-x64-msvc",
];

/** The platform of this process, such as "linux-x64-gnu". */
function findPlatform({ platform, arch, execPath } = process) {
  if (platform === "linux") return `linux-${arch}-${isForMusl(execPath) ? "musl" : "gnu"}`;
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

/**
 * The name of the addon's file on a platform.
 * @param {string} platform
 */
function addonFile(platform) {
  return `connect-redis-rs.${platform}.node`;
}

module.exports = { PLATFORMS, addonFile, findPlatform };
