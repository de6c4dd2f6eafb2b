"use strict";

// Checks the types as apps meet them: packs the package, looks at the tarball with attw and publint,
// lays it in the node_modules of small apps, and compiles the tests of this folder there with each
// TypeScript, and the tests that connect-redis publishes. `npm run types` runs it.

const { spawn } = require("node:child_process");
const fs = require("node:fs");
const { availableParallelism, tmpdir } = require("node:os");
const path = require("node:path");
const { packFolder } = require("../scripts/pack.js");
const { TOOLS, installTools } = require("./tools.js");
const { compilerOptions: STRICT } = require("./tsconfig.json");

const ROOT = path.join(__dirname, "..");
const MODULES = path.join(ROOT, "node_modules");

/** The oldest TypeScript the types are for, the last one written in JS, and today's. */
const COMPILERS = {
  5.4: path.join(TOOLS, "node_modules", "typescript-5.4", "bin", "tsc"),
  "6.0": path.join(TOOLS, "node_modules", "typescript", "bin", "tsc"),
  7: path.join(MODULES, "typescript", "bin", "tsc"),
};

const NODE16 = { module: "node16", moduleResolution: "node16" };
const NODENEXT = { module: "nodenext", moduleResolution: "nodenext" };
const BUNDLER = { module: "esnext", moduleResolution: "bundler", verbatimModuleSyntax: true };
/** As TypeScript was set up before it knew `exports`. */
const NODE10 = { module: "commonjs", moduleResolution: "node", esModuleInterop: false };
/** What TypeScript 6 still knows, and 7 no more. */
const OLD = { ignoreDeprecations: "6.0" };

const SCRIPTS = ["migration", "subclass", "options", "augmentation", "observing"].map(
  (name) => `${name}.test.ts`,
);
/** It loads the types of every client there is, which takes a while. */
const CLIENTS = "clients.test.ts";
const MOCKS = "mocks.test.ts";
const IMPORT = "import.test.mts";
const REQUIRE = "require.test.cts";
const DISPOSAL = "disposal.test.mts";

/** Packages that tests import, besides this one. */
const PEERS = [
  "@jest",
  "@types",
  "express-session",
  "ioredis",
  "ioredis-6",
  "ioredis-mock",
  "iovalkey",
  "redis",
  "redis-4",
  "redis-5",
  "vitest",
];

/** What the published tests of connect-redis import from a file that the packages do not hold. */
const SERVER = `
  export declare const port: number;
  export declare function connect(): Promise<void>;
  export declare function disconnect(): Promise<void>;
`;

main().catch((error) => {
  console.error(`types: ${error.message}`);
  process.exitCode = 1;
});

async function main() {
  installTools();
  const folder = fs.mkdtempSync(path.join(tmpdir(), "connect-redis-rs-types-"));
  try {
    const tarball = packFolder(ROOT, folder).file;
    await run("tar", ["-xzf", tarball, "-C", folder]);
    const unpacked = path.join(folder, "package");
    const checks = [
      ...ofTarball(tarball),
      ...ofApps(folder, unpacked),
      ...ofPublished(folder, unpacked),
    ];
    const begin = async () => {
      for (let check = checks.shift(); check !== undefined; check = checks.shift()) await check();
    };
    await Promise.all(Array.from({ length: availableParallelism() }, begin));
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** What the packages' own checkers say of how the types are found. */
function ofTarball(tarball) {
  const attw = bin("@arethetypeswrong/cli", "dist/index.js");
  return [
    () => check("attw", [attw, tarball, "--no-emoji"]),
    () => check("publint", [bin("publint", "src/cli.js"), "run", "--strict", tarball]),
  ];
}

/** The tests of this folder, in apps of several kinds. */
function ofApps(folder, unpacked) {
  const names = ["connect-redis-rs", "connect-redis"];
  const links = { ...linked(PEERS), "types-of-redis-3": bin("types-of-redis-3") };
  // One that holds the tests as CommonJS and as ES modules, which is up to its folders.
  const app = layApp(folder, "app", links, unpacked, names);
  for (const [kind, type] of [
    ["cjs", "commonjs"],
    ["esm", "module"],
  ]) {
    const sources = path.join(app, kind);
    fs.mkdirSync(sources);
    fs.writeFileSync(path.join(sources, "package.json"), JSON.stringify({ type }));
    copy(__dirname, sources, [...SCRIPTS, CLIENTS, MOCKS, IMPORT, REQUIRE, DISPOSAL]);
  }
  const cjs = within("cjs", [...SCRIPTS, REQUIRE]);
  const esm = within("esm", [...SCRIPTS, IMPORT]);
  const mocks = `esm/${MOCKS}`; // it awaits outside of functions
  const clients = [`cjs/${CLIENTS}`, `esm/${CLIENTS}`];

  // What is said of connect-redis holds for itself.
  const theirs = linked(["connect-redis"]);
  const peer = layApp(folder, "connect-redis", { ...links, ...theirs });
  const compat = ["migration.test.ts", "subclass.test.ts"];
  copy(__dirname, peer, compat);

  // One with no Redis client at all. What is packed is checked itself here.
  const lean = layApp(folder, "lean", linked(["@types", "express-session"]), unpacked);
  const alone = [IMPORT, REQUIRE, "options.test.ts", "augmentation.test.ts"];
  copy(__dirname, lean, alone);
  const whole = { skipLibCheck: false };

  return [
    compile("5.4", app, NODE16, [...cjs, ...esm]),
    compile("5.4", app, { ...NODENEXT, esModuleInterop: false }, cjs),
    compile("5.4", app, BUNDLER, [...esm, `esm/${CLIENTS}`]),
    compile("5.4", app, NODE10, cjs),
    compile("5.4", lean, { ...NODENEXT, ...whole, types: [] }, alone),
    compile("6.0", app, NODE16, [...cjs, ...esm]),
    compile("6.0", app, { ...NODENEXT, ...OLD, esModuleInterop: false }, cjs),
    compile("6.0", app, BUNDLER, [...esm, `esm/${CLIENTS}`, mocks]),
    compile("6.0", lean, { ...NODENEXT, ...whole }, alone),
    compile("7", app, NODE16, [...cjs, ...esm, ...clients, mocks]),
    compile("7", app, NODENEXT, [...cjs, ...esm, `esm/${DISPOSAL}`]),
    compile("7", app, BUNDLER, [...esm, `esm/${CLIENTS}`]),
    compile("7", lean, { ...NODENEXT, ...whole }, alone),
    compile("7", peer, NODENEXT, compat),
  ];
}

/** connect-redis's own tests, as its packages publish them, with their one import changed. */
function ofPublished(folder, unpacked) {
  const published = [
    ["connect-redis-8", "redis-4"],
    ["connect-redis-9", "redis-5"],
    ["connect-redis", "redis"],
  ];
  return published.map(([name, redis]) => {
    const from = path.join(MODULES, name);
    const parts = fs.readFileSync(path.join(from, "index_test.ts"), "utf8").split('from "./"');
    if (parts.length !== 2) throw new Error(`${name}/index_test.ts has no import of "./"`);
    const links = { ...linked(PEERS), redis: path.join(MODULES, redis) };
    const app = layApp(folder, `the published test of ${name}`, links, unpacked);
    fs.writeFileSync(path.join(app, "index_test.ts"), parts.join('from "connect-redis-rs"'));
    fs.mkdirSync(path.join(app, "testdata"));
    fs.writeFileSync(path.join(app, "testdata", "server.d.ts"), SERVER);
    const { compilerOptions } = JSON.parse(
      fs.readFileSync(path.join(from, "tsconfig.json"), "utf8"),
    );
    // TypeScript 7 has no "node" any more, which 8 and 9 have there.
    const options = { ...compilerOptions, moduleResolution: "bundler" };
    return compile("7", app, options, ["index_test.ts"]);
  });
}

/**
 * Makes an app with links to these packages, and this one under these names: as a copy, as its types
 * are to look for other packages in the app.
 */
function layApp(folder, app, links, unpacked, names = ["connect-redis-rs"]) {
  const root = path.join(folder, app);
  const modules = path.join(root, "node_modules");
  fs.mkdirSync(modules, { recursive: true });
  fs.writeFileSync(path.join(root, "package.json"), '{ "private": true }');
  for (const [name, target] of Object.entries(links)) {
    fs.symlinkSync(target, path.join(modules, name), "junction");
  }
  if (unpacked === undefined) return root;
  for (const name of names) fs.cpSync(unpacked, path.join(modules, name), { recursive: true });
  return root;
}

/** A check that compiles files of an app. Mistakes in the types of other packages are not ours. */
function compile(version, app, options, files) {
  const compilerOptions = { ...STRICT, ...options };
  const title = `TypeScript ${version}, ${compilerOptions.moduleResolution}: ${path.basename(app)}`;
  return async () => {
    const project = path.join(app, `${title.replace(/\W+/g, "-")}.json`);
    fs.writeFileSync(project, JSON.stringify({ compilerOptions, files }));
    const args = [COMPILERS[version], "--project", project, "--pretty", "false"];
    const { code, out } = await start(process.execPath, args, app);
    // The lines after the first of a mistake are indented.
    const mistakes = out.split(/\n(?! )/).filter((mistake) => mistake.trim() !== "");
    if (code !== 0 && (mistakes.length === 0 || !mistakes.every(isOfOthers))) {
      throw new Error(`${title}\n${mistakes.filter((one) => !isOfOthers(one)).join("\n")}`);
    }
    console.log(`ok ${title}`);
  };
}

function isOfOthers(mistake) {
  const [, file] = /^(.+)\(\d+,\d+\): error TS/.exec(mistake) ?? [];
  return /node_modules\/(?!connect-redis)/.test(file ?? "");
}

/** Runs a checker, and shows its output if it complains. */
async function check(name, args) {
  const { code, out } = await start(process.execPath, args, ROOT);
  if (code !== 0) throw new Error(`${name}\n${out}`);
  console.log(`ok ${name}`);
}

async function run(command, args, cwd) {
  const { code, out } = await start(command, args, cwd);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}\n${out}`);
  return out;
}

function start(command, args, cwd) {
  const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      out += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, out }));
  });
}

function bin(name, file = "") {
  return path.join(TOOLS, "node_modules", name, file);
}

function linked(names) {
  return Object.fromEntries(names.map((name) => [name, path.join(MODULES, name)]));
}

function copy(from, to, files) {
  for (const file of files) fs.copyFileSync(path.join(from, file), path.join(to, file));
}

function within(folder, files) {
  return files.map((file) => `${folder}/${file}`);
}
