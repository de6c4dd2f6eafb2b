"use strict";

// Packs the packages as a release does, installs them in empty apps on a machine without cargo, and
// uses them in every way that projects do, with a private Redis; also in broken environments.

const { chmodSync, mkdtempSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { addonFile, findPlatform } = require("../lib/addon/platform.js");
const { scripts } = require("../package.json");
const { machine } = require("./check-package/apps.js");
const { brokenEnvironments } = require("./check-package/broken.js");
const { layouts } = require("./check-package/layouts.js");
const { startRegistry } = require("./check-package/registry.js");
const { sourceBuilds } = require("./check-package/source-builds.js");
const { fetchTools } = require("./check-package/tools.js");
const { packPair, summaryOf } = require("./pack.js");
const { startRedisServer } = require("./redis-server.js");

/** Scripts that npm would run on the machine of a user who installs the package. */
const INSTALL_SCRIPTS = ["preinstall", "install", "postinstall", "prepare"];

/** The files that the main package may contain: code, types, and the sources to build from. */
const CONTENTS =
  /^(?:(?:index|admin|fastify)\.(?:js|mjs|d\.ts|d\.mts)|lib\/(?:[a-z-]+\/)*[a-z-]+\.(?:js|css)|src\/.+\.rs|build\.rs|Cargo\.(?:toml|lock)|package\.json|(?:README|CHANGELOG)\.md|LICENSE)$/;

main().catch((error) => {
  console.error(`check-package: ${error.message}`);
  process.exitCode = 1;
});

async function main() {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-package-"));
  const [redis, registry] = await Promise.all([startRedisServer(), startRegistry()]);
  try {
    chmodSync(folder, 0o755); // readable for the user without write access
    fetchTools();
    const pair = packPair(folder);
    checkContents(pair);
    registry.publish(pair);
    const { publish } = registry;
    const urls = { registry: registry.url, redis: redis.url };
    const means = { ...machine(folder, urls), pair, publish, version: pair.main.version };
    // Two at once, because each waits a lot. Both run to their end before the folder is removed.
    const [failed] = (
      await Promise.allSettled([
        tryAll(layouts(means)),
        tryAll([...brokenEnvironments(means), ...sourceBuilds(means)]),
      ])
    ).filter(({ status }) => status === "rejected");
    if (failed) throw failed.reason;
  } finally {
    await Promise.all([redis.stop(), registry.stop()]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs one attempt after another, and prints a line for each. */
async function tryAll(attempts) {
  for (const [name, attempt] of attempts) {
    const start = performance.now();
    try {
      await attempt();
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
    console.log(`ok  ${name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
  }
}

function checkContents({ main, platform }) {
  for (const packed of [main, platform]) console.log(`ok  ${summaryOf(packed)}`);
  const needless = main.files.filter((file) => !CONTENTS.test(file));
  if (needless.length > 0)
    throw new Error(`${main.name} contains unexpected files: ${needless.join()}`);
  const expected = ["LICENSE", "README.md", addonFile(findPlatform()), "package.json"];
  if (platform.files.toSorted().join() !== expected.toSorted().join()) {
    throw new Error(`${platform.name} contains unexpected files: ${platform.files.join()}`);
  }
  const script = INSTALL_SCRIPTS.find((name) => name in scripts);
  if (script !== undefined) throw new Error(`the package has the script ${script}`);
}
