"use strict";

// Finds and loads the addon: where CONNECT_REDIS_RS_ADDON says it is; else in this package, where it
// is built, or beside the bundle that this file is a part of; or in the package of this platform.

const { existsSync } = require("node:fs");
const path = require("node:path");
const { isCutOff } = require("./elf.js");
const { loadError } = require("./load-error.js");
const { addonFile, findPlatform } = require("./platform.js");
const { version } = require("../../package.json");

/** Whether a bundler has moved this file out of its package. */
const IS_MOVED = !existsSync(path.join(__dirname, "build-addon.js"));
const FOLDER = IS_MOVED ? __dirname : path.join(__dirname, "..", "..");

module.exports = load(process.env.CONNECT_REDIS_RS_ADDON);

/** @typedef {{file?: string, name?: string, error?: Error}} Failure */

/**
 * @param {string} [given] the file, by CONNECT_REDIS_RS_ADDON
 * @returns {import("./addon.js").Addon}
 */
function load(given) {
  const platform = findPlatform();
  const beside = path.join(FOLDER, addonFile(platform));
  /** @type {Failure[]} */
  const failures = [];
  const addon = given
    ? fromFile(path.resolve(given), failures)
    : (fromFile(beside, failures) ?? fromPackage(platform, failures));
  if (addon === undefined) {
    const search = { folder: FOLDER, isMoved: IS_MOVED, isGiven: Boolean(given), failures };
    throw loadError({ platform, version, ...search });
  }
  return addon;
}

/**
 * @param {string} file
 * @param {Failure[]} failures
 */
function fromFile(file, failures) {
  try {
    // Asked first: it is quicker than to fail to load it, and says it plainly.
    if (existsSync(file)) {
      checkWhole(file);
      // Not `require`: bundlers put something of their own in its place where the name is no literal.
      /** @type {{exports: any}} */
      const loaded = { exports: {} };
      process.dlopen(loaded, file);
      return checked(loaded.exports);
    }
    failures.push({ file });
  } catch (error) {
    failures.push({ file, error });
  }
  return undefined;
}

/**
 * The package of a platform. Each by its name, for the tools that find what an app needs by reading
 * it, and in a `try`, by which they know that most of these are not there.
 * @param {string} platform
 * @param {Failure[]} failures
 */
function fromPackage(platform, failures) {
  const name = `connect-redis-rs-${platform}`;
  try {
    checkWhole(fileOf(name));
    switch (platform) {
      case "darwin-arm64":
        return checked(require("connect-redis-rs-darwin-arm64"));
      case "darwin-x64":
        return checked(require("connect-redis-rs-darwin-x64"));
      case "linux-arm64-gnu":
        return checked(require("connect-redis-rs-linux-arm64-gnu"));
      case "linux-arm64-musl":
        return checked(require("connect-redis-rs-linux-arm64-musl"));
      case "linux-x64-gnu":
        return checked(require("connect-redis-rs-linux-x64-gnu"));
      case "linux-x64-musl":
        return checked(require("connect-redis-rs-linux-x64-musl"));
      case "win32-arm64-msvc":
        return checked(require("connect-redis-rs-win32-arm64-msvc"));
      case "win32-x64-msvc":
        return checked(require("connect-redis-rs-win32-x64-msvc"));
    }
  } catch (error) {
    failures.push({ name, error });
  }
  return undefined;
}

/**
 * The addon's file in a package; undefined if it is not there, or a bundler has moved it.
 * @param {string} name
 */
function fileOf(name) {
  try {
    return require.resolve(name);
  } catch {
    return undefined;
  }
}

/** @param {string | undefined} file */
function checkWhole(file) {
  if (file === undefined || !isCutOff(file)) return;
  throw Object.assign(new Error(`${file} is cut off`), { code: "ERR_CUT_OFF" });
}

/**
 * Returns an addon of this package's version: what crosses into it is no public API.
 * @param {import("./addon.js").Addon} addon
 */
function checked(addon) {
  if (addon.VERSION === `connect-redis-rs ${version}`) return addon;
  const error = new Error(`it is ${addon.VERSION ?? "of no version"}, and this is ${version}`);
  throw Object.assign(error, { code: "ERR_VERSION" });
}
