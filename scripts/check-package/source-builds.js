"use strict";

// Builds the addon from the package's sources, as on a machine of another platform.

const { existsSync, readdirSync } = require("node:fs");
const path = require("node:path");
const { addonFile, findPlatform } = require("../../lib/addon/platform.js");
const { READER } = require("./apps.js");

const ROOT = path.join(__dirname, "..", "..");
const BUILD = ["--no", "connect-redis-rs-build"];

/** @returns {[string, () => Promise<void>][]} */
function sourceBuilds({ newApp, env }) {
  let app;
  const root = () => app.inApp("node_modules/connect-redis-rs");
  const leavesNothing = () => {
    const made = readdirSync(root()).filter((file) => file.includes(".node") || file === "target");
    if (made.length > 0) throw new Error(`a failed build has left files: ${made.join()}`);
  };
  return [
    [
      "built from source: no cargo",
      async () => {
        app = newApp("source");
        await app.npm("install", "--omit=optional", "connect-redis-rs", "express-session");
        await app.fails("npx", BUILD, ["Building needs cargo", "rustup.rs"]);
        leavesNothing();
      },
    ],
    [
      "built from source: cargo too old",
      async () => {
        app.write("old/cargo", "#!/bin/sh\necho 'cargo 1.70.0 (ec8a8a0ca 2023-04-25)'\n");
        await app.run("chmod", ["+x", "old/cargo"]);
        const PATH = `${app.inApp("old")}:${env.PATH}`;
        await app.fails("npx", BUILD, ["cargo 1.70.0", "rustup update"], { env: { PATH } });
        leavesNothing();
      },
    ],
    [
      "built from source: a folder without write access",
      async () => {
        app.write("new/cargo", "#!/bin/sh\necho 'cargo 9.9.0'\n");
        await app.run("chmod", ["+x", "new/cargo"]);
        await app.run("chmod", ["-R", "a-w", "node_modules"]);
        const how = { env: { PATH: `${app.inApp("new")}:${env.PATH}` }, ...READER };
        const script = path.join(root(), "lib", "addon", "build-addon.js");
        await app.fails(
          "node",
          [script],
          ["cannot be put into the package's folder", "EACCES"],
          how,
        );
        await app.run("chmod", ["-R", "u+w", "node_modules"]);
        leavesNothing();
      },
    ],
    [
      "built from source: by cargo",
      async () => {
        // With the user's cargo and its settings, and with the crates already built for the project.
        const own = { PATH: process.env.PATH, HOME: process.env.HOME };
        const shared = { CARGO_TARGET_DIR: path.join(ROOT, "target") };
        await app.run("npx", BUILD, { env: { ...own, ...shared } });
        if (!existsSync(path.join(root(), addonFile(findPlatform())))) throw new Error("no addon");
        await app.uses([app.required("connect-redis-rs")]);
      },
    ],
  ];
}

module.exports = { sourceBuilds };
