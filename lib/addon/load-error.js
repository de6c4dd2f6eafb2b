"use strict";

// What an app is told whose addon cannot be loaded: where it was looked for, what loading said, what
// that means, and what to do.

const { PLATFORMS } = require("./platform.js");

const ISSUES = "https://github.com/connect-redis-rs/connect-redis-rs/issues";

/** What is meant by what the loaders of the systems say. */
/** @type {[RegExp, string][]} */
const MEANINGS = [
  [
    /GLIBC_[\d.]+' not found/,
    "the glibc of this system is older than the addon needs: use a newer system, or build it here",
  ],
  [
    /libc\.musl-|libc\.so: invalid ELF header|ld-linux-|libgcc_s\.so\.1: No such|symbol not found/,
    "the file is for the other libc, glibc or musl: install again on this system",
  ],
  [
    // glibc does not find a file for another processor, though it is there.
    /\.node: cannot open shared object file: No such file|wrong ELF class|incompatible architecture|Exec format error|not a valid Win32 application|not a mach-o/i,
    "the file is for another system or processor: install again on this one",
  ],
  [
    /file too short|invalid ELF header|cannot read file data|truncated|too small|ELF load command/i,
    "the file is damaged, or for another system: remove node_modules and install again",
  ],
  [/failed to map segment/, "nothing may be run from where the file is (a mount with noexec)"],
];

/**
 * What is meant by codes of errors.
 * @type {Record<string, string>}
 */
const MEANINGS_OF_CODES = {
  ERR_CUT_OFF: "the file is damaged: remove node_modules and install again",
  ERR_DLOPEN_DISABLED:
    "Node was told to load no addons: leave out --no-addons, or add --allow-addons to --permission",
  ERR_VERSION:
    "where the package was updated while this process ran, start it again; else remove node_modules " +
    "and install again: a lock file may be from before an update, or a tarball from another version",
};

/**
 * @param {object} search
 * @param {string} search.platform
 * @param {string} search.version this package's
 * @param {string} search.folder of this package, or of the bundle it was made a part of
 * @param {boolean} [search.isMoved] whether it is such a bundle
 * @param {boolean} [search.isGiven] whether CONNECT_REDIS_RS_ADDON says where to look
 * @param {{file?: string, name?: string, error?: Error}[]} search.failures the files and packages that
 *   were tried, with the error of each; without one if a file is not there
 */
function loadError({ platform, version, folder, isMoved = false, isGiven = false, failures }) {
  const isSupported = PLATFORMS.includes(platform);
  const lines = [
    `connect-redis-rs ${version}: the native addon for ${platform} cannot be loaded.`,
    isGiven ? "Looked for, as CONNECT_REDIS_RS_ADDON says," : "Looked for",
    ...failures.flatMap((failure) => linesOf(failure, folder, isMoved)),
    "What to do",
    ...(isGiven
      ? ["  0. Unset CONNECT_REDIS_RS_ADDON, to use the package for this platform."]
      : []),
    `  1. Use a platform that has a package: ${PLATFORMS.join(", ")}.`,
    `     ${platform} is ${isSupported ? "one" : "none"} of them.`,
    "  2. Build the addon here, with Rust installed: npx --no connect-redis-rs-build",
    `  3. Report it, with this text: ${ISSUES}`,
  ];
  const cause = failures.findLast(({ error }) => error !== undefined)?.error;
  const error = new Error(lines.join("\n"), cause === undefined ? undefined : { cause });
  return Object.assign(error, { code: "ERR_CONNECT_REDIS_RS_ADDON" });
}

/**
 * What is said of a place: what it is, what loading said, and what that means.
 * @param {{file?: string, name?: string, error?: Error & {code?: string}}} failure
 * @param {string} folder
 * @param {boolean} isMoved
 */
function linesOf({ file, name, error }, folder, isMoved) {
  const place = file ?? `the package ${name}, from ${folder}`;
  if (error === undefined) return [`  - ${place}: no such file`];
  if (name !== undefined && error.code === "MODULE_NOT_FOUND") {
    return [`  - ${place}: not found`, ...whyAbsent(name, isMoved).map((line) => `    ${line}`)];
  }
  // The rest of a message is Node's stack of modules, or a loader's list of folders.
  const [said] = error.message.split("\n");
  const meaning =
    MEANINGS_OF_CODES[/** @type {string} */ (error.code)] ??
    MEANINGS.find(([words]) => words.test(said))?.[1];
  return [`  - ${place}: ${said}`, ...(meaning ? [`    ${meaning}`] : [])];
}

/**
 * Why a package is not there.
 * @param {string} name
 * @param {boolean} isMoved
 */
function whyAbsent(name, isMoved) {
  if (isMoved) {
    return [
      "this code was moved, as bundlers do: leave connect-redis-rs out of the bundle (external),",
      "or copy the .node file of that package beside the bundle, under the name above",
    ];
  }
  const others = PLATFORMS.filter(isInstalled).map((other) => `connect-redis-rs-${other}`);
  if (others.length > 0) {
    return [
      `there is ${others.join(" and ")}: node_modules is of another system;`,
      "remove it and install on this one",
    ];
  }
  return [
    "optional dependencies were left out (--omit=optional, --no-optional): install with them;",
    `or this package was installed from a tarball or a folder: install the one of ${name} too;`,
    "or the lock file is of another system and lacks it, a known bug of npm: remove",
    "package-lock.json and node_modules, and install again",
  ];
}

/** @param {string} platform */
function isInstalled(platform) {
  try {
    require.resolve(`connect-redis-rs-${platform}/package.json`);
    return true;
  } catch {
    return false;
  }
}

module.exports = { loadError };
