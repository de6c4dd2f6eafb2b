"use strict";

// Writes package.json's version to the other places that name it, which have to share it: the packages
// of the platforms, the lock files and the crate. To be run when it has been raised.

const { readFileSync, readdirSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const { name, version } = require("../package.json");

const ROOT = path.join(__dirname, "..");

for (const platform of readdirSync(path.join(ROOT, "npm"))) {
  inJson(`npm/${platform}/package.json`, (manifest) => {
    manifest.version = version;
  });
}
inJson("package-lock.json", (lock) => {
  lock.version = version;
  lock.packages[""].version = version;
});
for (const file of ["Cargo.toml", "Cargo.lock"]) {
  const own = new RegExp(`^(name = "${name}"\nversion = )".+"$`, "m");
  change(file, (text) => text.replace(own, `$1"${version}"`));
}
console.log(`${name} is ${version} in npm/, package-lock.json, Cargo.toml and Cargo.lock`);

function inJson(file, edit) {
  change(file, (text) => {
    const content = JSON.parse(text);
    edit(content);
    return `${JSON.stringify(content, null, 2)}\n`;
  });
}

function change(file, edit) {
  const full = path.join(ROOT, file);
  writeFileSync(full, edit(readFileSync(full, "utf8")));
}
