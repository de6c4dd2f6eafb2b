"use strict";

// Installs the packages into an empty project, and uses them there by require and by import, with a
// private Redis: first the one package that `npm pack` makes here, with the addon in it, then as they
// would be published, with the addon in the platform's package.

const { spawnSync } = require("node:child_process");
const { copyFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { version } = require("../package.json");
const { startRedisServer } = require("./redis-server.js");

const ROOT = path.join(__dirname, "..");
const PLATFORM = "linux-x64-gnu";
const ADDON = `connect-redis-rs.${PLATFORM}.node`;
const USE = `
  const store = new RedisStore({ url: process.env.URL_OF_REDIS });
  store
    .set("sid", { n: 1 })
    .then(() => store.get("sid"))
    .then((session) => store.close().then(() => console.log("got", session.n)));
`;

main().catch((error) => {
  console.error(`check-package: ${error.message}`);
  process.exitCode = 1;
});

async function main() {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-package-"));
  const redis = await startRedisServer();
  try {
    const platform = path.join(folder, "platform");
    cpSync(path.join(ROOT, "npm", PLATFORM), platform, { recursive: true });
    copyFileSync(path.join(ROOT, ADDON), path.join(platform, ADDON));
    const app = path.join(folder, "app");
    mkdirSync(app);
    writeFileSync(path.join(app, "package.json"), '{ "private": true }');
    const install = (...packages) =>
      run("npm", ["install", "--no-audit", "--no-fund", ...packages], app);
    writeFileSync(
      path.join(app, "required.cjs"),
      `const RedisStore = require("connect-redis-rs");${USE}`,
    );
    writeFileSync(
      path.join(app, "imported.mjs"),
      `import { RedisStore } from "connect-redis-rs";${USE}`,
    );
    const use = () => {
      for (const script of ["required.cjs", "imported.mjs"]) {
        const output = run(process.execPath, [script], app, { URL_OF_REDIS: redis.url });
        if (output !== "got 1\n") throw new Error(`${script} printed ${JSON.stringify(output)}`);
      }
    };
    install("express-session", pack(ROOT, folder));
    use();
    rmSync(path.join(app, "node_modules", "connect-redis-rs", ADDON));
    install(pack(platform, folder));
    use();
    console.log(
      `check-package: connect-redis-rs ${version} installs, and works by require and import`,
    );
  } finally {
    await redis.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Packs a package's folder; returns the path of the tarball. */
function pack(from, to) {
  const output = run("npm", ["pack", "--json", "--pack-destination", to], from);
  const [{ filename }] = Object.values(JSON.parse(output));
  return path.join(to, filename);
}

function run(command, args, cwd, env = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd,
    encoding: "utf8",
    env: { ...process.env, ...env },
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} has failed:\n${stdout}${stderr}`);
  return stdout;
}
