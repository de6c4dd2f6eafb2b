"use strict";

// npm run package -- DIR: writes the tarballs of a release into a folder, and creates it if it is
// missing. The main package names only this platform's package, because the others are not there.

const { accessSync, constants, mkdirSync, readdirSync } = require("node:fs");
const path = require("node:path");
const { findPlatform } = require("../lib/addon/platform.js");
const { packPair, summaryOf } = require("./pack.js");

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(`package: ${error.message}`);
  process.exitCode = 1;
}

function main(args) {
  if (args.length !== 1 || args[0].startsWith("-")) {
    throw new Error("give a folder for the tarballs: npm run package -- DIR");
  }
  // npm runs this in the project's folder, whatever the folder it was called in.
  const folder = path.resolve(process.env.INIT_CWD ?? ".", args[0]);
  try {
    mkdirSync(folder, { recursive: true }); // fails if it is a file
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new Error(`the tarballs cannot be written into ${folder}: ${error.message}`);
  }
  const pair = Object.values(packPair(folder, [findPlatform()]));
  for (const packed of pair) console.log(`${summaryOf(packed)}\n  ${packed.file}`);
  const made = pair.map(({ file }) => path.basename(file));
  const others = readdirSync(folder).filter(
    (name) => /^connect-redis-rs-.*\.tgz$/.test(name) && !made.includes(name),
  );
  if (others.length > 0) {
    console.warn(`package: older tarballs, do not install them with these: ${others.join(", ")}`);
  }
}
