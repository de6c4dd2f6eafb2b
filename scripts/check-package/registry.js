"use strict";

// An npm registry on this machine, to install the package as an app does, before it is published. It
// serves the tarballs that are published to it, and all packages in the project's node_modules.

const { spawnSync } = require("node:child_process");
const { createHash } = require("node:crypto");
const { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync } = require("node:fs");
const { createServer } = require("node:http");
const { tmpdir } = require("node:os");
const path = require("node:path");

const ROOT = path.join(__dirname, "..", "..");

/**
 * @returns {Promise<{url: string, publish: (pair: ReturnType<import("../pack.js").packPair>) => void,
 *   stop: () => Promise<void>}>} `publish` adds a pair, and also the packages of the other
 *   platforms, without their addons
 */
async function startRegistry() {
  const packages = new Map();
  const tarballs = new Map();
  const server = createServer((request, response) => {
    const name = decodeURIComponent(request.url.slice(1).split("?")[0]);
    try {
      const tarball = tarballs.get(name)?.();
      if (tarball !== undefined) return response.end(tarball);
      const versions = packages.get(name);
      if (versions === undefined) return response.writeHead(404).end("{}");
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(about(name, versions)));
    } catch (error) {
      response.writeHead(500).end(error.message);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/`;

  function put(manifest, makeTarball) {
    const { name, version } = manifest;
    const file = `${name}/-/${path.basename(name)}-${version}.tgz`;
    let made;
    tarballs.set(file, () => {
      made ??= makeTarball();
      return made;
    });
    const versions = packages.get(name) ?? new Map();
    packages.set(name, versions);
    versions.set(version, () => ({
      ...manifest,
      dist: { tarball: url + file, integrity: integrityOf(tarballs.get(file)()) },
    }));
  }

  for (const folder of installed()) {
    const from = path.join(ROOT, folder);
    const manifest = JSON.parse(readFileSync(path.join(from, "package.json"), "utf8"));
    if (manifest.name && manifest.version) put(manifest, () => pack(from));
  }
  return {
    url,
    publish({ main, platform }) {
      for (const { file } of [main, platform]) {
        const tarball = readFileSync(file);
        put(manifestIn(file), () => tarball);
      }
      for (const name of readdirSync(path.join(ROOT, "npm"))) {
        const from = path.join(ROOT, "npm", name);
        const manifest = require(path.join(from, "package.json"));
        if (manifest.name === platform.name) continue;
        put({ ...manifest, version: main.version }, () => pack(from));
      }
    },
    stop() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The package.json in a tarball. */
function manifestIn(file) {
  const { stdout } = spawnSync("tar", ["-xzOf", file, "package/package.json"], {
    encoding: "utf8",
  });
  return JSON.parse(stdout);
}

/** The folders of the project's installed packages; nested ones come last. */
function installed() {
  const lock = path.join(ROOT, "node_modules", ".package-lock.json");
  const { packages } = JSON.parse(readFileSync(lock, "utf8"));
  const folders = Object.keys(packages).filter((folder) => folder && !packages[folder].link);
  const depth = (folder) => folder.split("node_modules/").length;
  return folders.toSorted((one, other) => depth(one) - depth(other));
}

/**
 * A registry's document of a package. The first version is `latest`; all have an old date, because
 * package managers may refuse new versions.
 */
function about(name, versions) {
  const names = [...versions.keys()];
  const long_ago = "2020-01-01T00:00:00.000Z";
  return {
    name,
    "dist-tags": { latest: names[0] },
    versions: Object.fromEntries(names.map((version) => [version, versions.get(version)()])),
    time: Object.fromEntries(names.map((version) => [version, long_ago])),
  };
}

function integrityOf(tarball) {
  return `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
}

/** Returns the tarball of an installed package, without the packages nested in it. */
function pack(from) {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-registry-"));
  try {
    symlinkSync(from, path.join(folder, "package"), "junction");
    const args = ["-czhf", "-", "--exclude", "package/node_modules", "-C", folder, "package"];
    const { status, stdout, stderr } = spawnSync("tar", args, { maxBuffer: 2 ** 28 });
    if (status !== 0) throw new Error(`tar ${args.join(" ")} has failed:\n${stderr}`);
    return stdout;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

module.exports = { startRegistry };
