"use strict";

// The packages of the platforms, in npm/, and the crate agree with package.json.

const { readFileSync, readdirSync } = require("node:fs");
const path = require("node:path");
const { PLATFORMS, addonFile } = require("../../lib/addon/platform.js");
const main = require("../../package.json");

const ROOT = path.join(__dirname, "..", "..");
const read = (...names) => readFileSync(path.join(ROOT, ...names), "utf8");

/** napi's names for the parts of a target. */
const CPUS = { aarch64: "arm64", x86_64: "x64" };
const SYSTEMS = { apple: "darwin", pc: "win32", unknown: "linux" };

/** The platforms that package.json has targets for. */
const targets = main.napi.targets.map((target) => {
  const [cpu, vendor, , abi] = target.split("-");
  return [SYSTEMS[vendor], CPUS[cpu], abi].filter(Boolean).join("-");
});

test("each target has a package, and the loader knows it", () => {
  expect(readdirSync(path.join(ROOT, "npm")).toSorted()).toEqual(targets.toSorted());
  expect(PLATFORMS).toEqual(targets.toSorted());
  const loader = read("lib", "addon", "load.js");
  for (const name of PLATFORMS) {
    const loads = `case "${name}":\n        return checked(require("connect-redis-rs-${name}"));`;
    expect(loader).toContain(loads);
  }
});

test.each(targets)("the package for %s is one of this version, for that platform", (name) => {
  const [os, cpu, abi] = name.split("-");
  const manifest = JSON.parse(read("npm", name, "package.json"));
  expect(manifest).toMatchObject({
    name: `${main.name}-${name}`,
    version: main.version,
    license: main.license,
    repository: main.repository,
    engines: main.engines,
    os: [os],
    cpu: [cpu],
    main: addonFile(name),
    files: [addonFile(name)],
  });
  expect(manifest.libc).toEqual({ gnu: ["glibc"], musl: ["musl"] }[abi]);
  expect(read("npm", name, "LICENSE")).toBe(read("LICENSE"));
  expect(read("npm", name, "README.md")).toContain(main.repository.url.slice(4, -4));
});

test("the crate is of this version, and the entry refuses what package.json does", () => {
  for (const file of ["Cargo.toml", "Cargo.lock"]) {
    expect(read(file)).toContain(`name = "connect-redis-rs"\nversion = "${main.version}"\n`);
  }
  const [, oldest] = /^>=(\d+)$/.exec(main.engines.node);
  expect(read("index.js")).toContain(`parseInt(process.versions.node, 10) < ${oldest})`);
});

test("the main package can be developed without the packages of the platforms", () => {
  expect(main.optionalDependencies).toBeUndefined();
  expect(main).not.toHaveProperty("os");
  expect(main).not.toHaveProperty("cpu");
});
