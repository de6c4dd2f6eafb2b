"use strict";

// Broken environments: the package works there, or its error says what is wrong.

const fs = require("node:fs");
const path = require("node:path");
const { addonFile, findPlatform } = require("../../lib/addon/platform.js");
const { READER } = require("./apps.js");
const { packOther } = require("./other-version.js");
const { tool } = require("./tools.js");

const PLATFORM = findPlatform();
const NAME = `connect-redis-rs-${PLATFORM}`;
const PACKAGE = path.join("node_modules", NAME);
const ADDON = path.join(PACKAGE, addonFile(PLATFORM));

const NOT_LOADED = ["ERR_CONNECT_REDIS_RS_ADDON", PLATFORM, "npx --no connect-redis-rs-build"];

/** @returns {[string, () => Promise<void>][]} */
function brokenEnvironments({ newApp, folder, pair, publish, version }) {
  let whole;
  /** Copies an app that has the package, to break the copy. */
  const copy = (name) => {
    const app = newApp(name);
    fs.cpSync(whole.inApp("node_modules"), app.inApp("node_modules"), { recursive: true });
    app.required("connect-redis-rs");
    return app;
  };
  const saysSo = (app, ...words) => app.fails("node", ["use.cjs"], [...NOT_LOADED, ...words]);
  const addonOf = (app) => app.inApp(ADDON);
  let other;

  return [
    [
      "no network: from the tarballs, with npm's cache",
      async () => {
        whole = newApp("online");
        await whole.npm("install", "express-session");
        const app = newApp("offline");
        const files = [pair.main.file, pair.platform.file];
        await app.npm("install", "--offline", "express-session", ...files);
        await app.uses([app.required("connect-redis-rs")]);
        whole = app;
      },
    ],
    [
      "node_modules without write access",
      async () => {
        const app = copy("read-only");
        await app.run("chmod", ["-R", "a-w", "."]);
        await app.uses(["use.cjs"], READER);
        await app.run("chmod", ["-R", "u+w", "."]);
      },
    ],
    ...[12, 16].map((major) => [
      `Node ${major}: refused`,
      async () => {
        const words = [
          "ERR_CONNECT_REDIS_RS_NODE",
          "needs Node 20 or newer",
          `this is Node ${major}.`,
        ];
        const app = copy(`node-${major}`);
        const node = tool(`node-${major}`, "bin/node");
        await app.fails(node, ["use.cjs"], words);
        await app.fails(node, [app.imported("connect-redis-rs")], words);
      },
    ]),
    [
      "Node 16: refused at install, with engine-strict",
      () => {
        const args = [tool("npm-8", "bin/npm-cli.js"), "install", "--engine-strict"];
        const words = ["EBADENGINE", "connect-redis-rs", ">=20"];
        const app = newApp("engine-strict");
        return app.fails(tool("node-16", "bin/node"), [...args, "connect-redis-rs"], words);
      },
    ],
    [
      "without optional dependencies",
      async () => {
        const app = newApp("no-optional");
        await app.npm("install", "--omit=optional", "connect-redis-rs", "express-session");
        app.required("connect-redis-rs");
        await saysSo(
          app,
          `the package ${NAME}`,
          "not found",
          "--omit=optional",
          "package-lock.json",
        );
      },
    ],
    [
      "node_modules of another system",
      () => {
        const app = copy("other-system");
        const other = PLATFORM === "darwin-arm64" ? "darwin-x64" : "darwin-arm64";
        fs.renameSync(app.inApp(PACKAGE), app.inApp(PACKAGE.replace(PLATFORM, other)));
        return saysSo(
          app,
          `there is connect-redis-rs-${other}`,
          "node_modules is of another system",
        );
      },
    ],
    [
      "an addon for musl on glibc",
      () => {
        const app = copy("musl");
        fs.copyFileSync(tool("for-musl", "crc32.linux-x64-musl.node"), addonOf(app));
        return saysSo(app, "the file is for the other libc");
      },
    ],
    [
      "an addon for another processor",
      () => {
        const app = copy("processor");
        const addon = fs.readFileSync(addonOf(app));
        addon.writeUInt16LE(addon.readUInt16LE(18) === 183 ? 62 : 183, 18); // e_machine: arm64, x64
        fs.writeFileSync(addonOf(app), addon);
        return saysSo(app, "the file is for another system or processor");
      },
    ],
    [
      "an addon for a newer glibc",
      () => {
        const app = copy("glibc");
        // The addon requires a version of glibc that does not exist yet.
        const addon = fs.readFileSync(addonOf(app), "latin1").replaceAll("GLIBC_2.", "GLIBC_9.");
        fs.writeFileSync(addonOf(app), addon, "latin1");
        return saysSo(app, "the glibc of this system is older");
      },
    ],
    [
      "an addon that is cut off",
      async () => {
        const app = copy("cut");
        const addon = fs.readFileSync(addonOf(app));
        for (const length of [0, 1000, addon.length - 100_000]) {
          fs.writeFileSync(addonOf(app), addon.subarray(0, length));
          await saysSo(app, "the file is damaged");
        }
      },
    ],
    [
      "an addon of another version",
      async () => {
        other = packOther(pair, folder);
        const app = copy("version");
        await app.run("tar", ["-xzf", other.platform.file, "--strip-components=1", "-C", PACKAGE]);
        await saysSo(app, `it is connect-redis-rs ${other.main.version}, and this is ${version}`);
      },
    ],
    [
      "two versions in one process",
      async () => {
        const app = newApp("two-versions");
        publish(other);
        const beside = `later@npm:connect-redis-rs@${other.main.version}`;
        await app.npm("install", `connect-redis-rs@${version}`, beside, "express-session");
        const script = `
          const stores = ["connect-redis-rs", "later"].map((name) => {
            const { RedisStore } = require(name);
            return new RedisStore({ url: process.env.URL_OF_REDIS });
          });
          const addons = Object.keys(require.cache).filter((file) => file.endsWith(".node"));
          if (stores[0] instanceof stores[1].constructor) throw new Error("both versions have the same class");
          if (addons.length !== 2) throw new Error("expected two addons, got: " + addons);
          (async () => {
            await stores[0].set("sid", { n: 1 });
            await stores[1].set("sid", { n: (await stores[1].get("sid")).n + 1 });
            const { n } = await stores[0].get("sid");
            await Promise.all(stores.map((store) => store.close()));
            console.log("got", n - 1);
          })();
        `;
        await app.uses([app.write("two.cjs", script)]);
      },
    ],
    [
      "bundled, and the addon copied to another folder",
      async () => {
        const app = copy("bundled");
        const out = newApp("bundle");
        const args = ["use.cjs", "--bundle", "--platform=node", "--loader:.node=copy"];
        await app.run(tool("esbuild", "bin/esbuild"), [...args, `--outdir=${out.inApp("dist")}`]);
        await out.uses(["dist/use.js"]);
        // By hand, under the addon's own name, which the loader tries first.
        const [copied] = fs.readdirSync(out.inApp("dist")).filter((file) => file.endsWith(".node"));
        fs.renameSync(out.inApp(`dist/${copied}`), out.inApp(`dist/${addonFile(PLATFORM)}`));
        await out.uses(["dist/use.js"]);
        fs.rmSync(out.inApp(`dist/${addonFile(PLATFORM)}`));
        await saysSo(
          { fails: (command, _args, words) => out.fails(command, ["dist/use.js"], words) },
          "bundle",
        );
      },
    ],
  ];
}

module.exports = { brokenEnvironments };
