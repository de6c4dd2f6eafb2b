"use strict";

// Empty apps to install the package in, on a machine as a user's may be: with Node and npm, and with
// no cargo and no settings of its owner.

const { execFile, spawnSync } = require("node:child_process");
const { mkdirSync, symlinkSync, writeFileSync } = require("node:fs");
const path = require("node:path");

/** Programs that the package managers and the checks call. */
const PROGRAMS = ["chmod", "gzip", "node", "npm", "npx", "sh", "tar", "uname"];

/** What an app does with the store, whose class is RedisStore there. */
const USE = `
  const store = new RedisStore({ url: process.env.URL_OF_REDIS });
  store
    .set("sid", { n: 1 })
    .then(() => store.get("sid"))
    .then((session) => store.close().then(() => console.log("got", session.n)));
`;

/** What it prints then. */
const USED = "got 1\n";

/** Runs as somebody who may write nothing; root may write everything, whatever the mode says. */
const READER = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

/**
 * @param {string} folder for everything that is made
 * @param {{registry: string, redis: string}} urls
 */
function machine(folder, urls) {
  const bin = path.join(folder, "bin");
  mkdirSync(bin);
  for (const program of PROGRAMS) {
    const { stdout } = spawnSync("which", [program], { encoding: "utf8" });
    symlinkSync(stdout.trim(), path.join(bin, program));
  }
  const env = {
    PATH: bin,
    HOME: path.join(folder, "home"),
    TMPDIR: folder,
    CI: "true",
    URL_OF_REDIS: urls.redis,
    npm_config_registry: urls.registry,
    npm_config_audit: "false",
    npm_config_fund: "false",
    npm_config_update_notifier: "false",
    YARN_CACHE_FOLDER: path.join(folder, "yarn-cache"),
    YARN_GLOBAL_FOLDER: path.join(folder, "yarn-berry"),
    YARN_NPM_REGISTRY_SERVER: urls.registry,
    YARN_UNSAFE_HTTP_WHITELIST: "127.0.0.1",
    YARN_ENABLE_TELEMETRY: "false",
    YARN_ENABLE_IMMUTABLE_INSTALLS: "false",
  };
  mkdirSync(env.HOME);
  if (spawnSync("cargo", ["--version"], { env }).error === undefined) {
    throw new Error("cargo is on the PATH that must not have it");
  }

  /** An app in a folder of its own. */
  function newApp(name, manifest = {}) {
    const root = path.join(folder, name);
    mkdirSync(root);
    const inApp = (file) => path.join(root, file);

    /** Runs a program there, and gives what comes of it. */
    function attempt(command, args, { env: more, ...options } = {}) {
      const how = { cwd: root, env: { ...env, ...more }, maxBuffer: 2 ** 26, ...options };
      return new Promise((resolve) => {
        execFile(command, args, how, (error, stdout, stderr) => {
          resolve({ error, output: stdout + stderr, stdout });
        });
      });
    }

    /** Runs a program that must succeed; gives what it prints. */
    async function run(command, args, options) {
      const { error, output, stdout } = await attempt(command, args, options);
      if (error) throw new Error(`${error.message.split("\n")[0]}\n${output}`);
      return stdout;
    }

    function write(file, text) {
      mkdirSync(path.dirname(inApp(file)), { recursive: true });
      writeFileSync(inApp(file), text);
      return file;
    }

    /** Runs a script that uses the store. */
    async function uses(args, options) {
      const printed = await run("node", args, options);
      if (printed !== USED) throw new Error(`${args.join(" ")} printed ${JSON.stringify(printed)}`);
    }

    /** Runs what must fail, and must say some words. */
    async function fails(command, args, words, options) {
      const { error, output } = await attempt(command, args, options);
      if (!error) throw new Error(`${[command, ...args].join(" ")} should have failed`);
      for (const word of words) {
        if (!output.includes(word)) {
          throw new Error(`it should have said ${JSON.stringify(word)}:\n${output}`);
        }
      }
    }

    write("package.json", JSON.stringify({ name: "app", version: "1.0.0", ...manifest }));
    return {
      root,
      inApp,
      run,
      write,
      uses,
      fails,
      npm: (...args) => run("npm", args),
      /** Scripts that use the store, each under the name the app knows the package by. */
      required: (as) => write("use.cjs", `const { RedisStore } = require("${as}");${USE}`),
      imported: (as) => write("use.mjs", `import { RedisStore } from "${as}";${USE}`),
    };
  }

  return { newApp, env, folder };
}

module.exports = { READER, machine };
