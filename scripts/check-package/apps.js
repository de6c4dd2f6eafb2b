"use strict";

// Empty apps to install the package in, on a machine like a user's: with Node and npm, without cargo,
// and without the settings of this machine's user.

const { execFile, spawnSync } = require("node:child_process");
const { mkdirSync, symlinkSync, writeFileSync } = require("node:fs");
const path = require("node:path");

/** Programs that the package managers and the checks call. */
const PROGRAMS = ["chmod", "gzip", "node", "npm", "npx", "sh", "tar", "uname"];

/** Code of an app that uses the store; the class is RedisStore. */
const USE = `
  const store = new RedisStore({ url: process.env.URL_OF_REDIS });
  store
    .set("sid", { n: 1 })
    .then(() => store.get("sid"))
    .then((session) => store.close().then(() => console.log("got", session.n)));
`;

/** The output of that code. */
const USED = "got 1\n";

/** Runs a command as a user without write access; root ignores the mode of files. */
const READER = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};

/**
 * @param {string} folder for all files of the check
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
    throw new Error("the PATH of the check must not contain cargo");
  }

  /** Creates an app in its own folder. */
  function newApp(name, manifest = {}) {
    const root = path.join(folder, name);
    mkdirSync(root);
    const inApp = (file) => path.join(root, file);

    /** Runs a program in the app's folder; returns its result. */
    function attempt(command, args, { env: more, ...options } = {}) {
      const how = { cwd: root, env: { ...env, ...more }, maxBuffer: 2 ** 26, ...options };
      return new Promise((resolve) => {
        execFile(command, args, how, (error, stdout, stderr) => {
          resolve({ error, output: stdout + stderr, stdout });
        });
      });
    }

    /** Runs a program that must succeed; returns its output. */
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

    /** Runs a program that must fail, and whose output must contain the words. */
    async function fails(command, args, words, options) {
      const { error, output } = await attempt(command, args, options);
      if (!error) throw new Error(`${[command, ...args].join(" ")} should have failed`);
      for (const word of words) {
        if (!output.includes(word)) {
          throw new Error(`its output should contain ${JSON.stringify(word)}:\n${output}`);
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
      /** Write scripts that use the store; `as` is the name of the package in the app. */
      required: (as) => write("use.cjs", `const { RedisStore } = require("${as}");${USE}`),
      imported: (as) => write("use.mjs", `import { RedisStore } from "${as}";${USE}`),
    };
  }

  return { newApp, env, folder };
}

module.exports = { READER, machine };
