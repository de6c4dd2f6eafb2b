"use strict";

// Packages with another version number, to load two versions at once. The addon is patched, because
// building it again would take minutes.

const { spawnSync } = require("node:child_process");
const { mkdtempSync, readFileSync, readdirSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { packFolder } = require("../pack.js");

/** The other version: as long as this one, so that it fits into the addon. */
function otherThan(version) {
  const last = version.at(-1);
  return version.slice(0, -1) + (last === "9" ? "8" : Number(last) + 1);
}

/** Packs a pair again with another version, below `folder`. */
function packOther({ main, platform }, folder) {
  const version = otherThan(main.version);
  const make = ({ file, version: from }) => {
    const unpacked = mkdtempSync(path.join(folder, "other-"));
    const { status, stderr } = spawnSync("tar", ["-xzf", file, "-C", unpacked]);
    if (status !== 0) throw new Error(`tar cannot unpack ${file}:\n${stderr}`);
    const root = path.join(unpacked, "package");
    const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8"));
    manifest.version = version;
    for (const name of Object.keys(manifest.optionalDependencies ?? {})) {
      manifest.optionalDependencies[name] = version;
    }
    writeFileSync(path.join(root, "package.json"), JSON.stringify(manifest));
    for (const addon of readdirSync(root).filter((name) => name.endsWith(".node"))) {
      patch(path.join(root, addon), from, version);
    }
    return packFolder(root, unpacked);
  };
  return { main: make(main), platform: make(platform) };
}

/** Replaces the version that an addon reports to JS. */
function patch(addon, from, to) {
  const bytes = readFileSync(addon);
  const mark = Buffer.from(`connect-redis-rs ${from}`);
  let at = bytes.indexOf(mark);
  if (at < 0) throw new Error(`${addon} does not contain its version`);
  for (; at >= 0; at = bytes.indexOf(mark, at)) bytes.write(`connect-redis-rs ${to}`, at, "latin1");
  writeFileSync(addon, bytes);
}

module.exports = { packOther };
