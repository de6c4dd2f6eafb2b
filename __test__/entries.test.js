"use strict";

// What each entry of the package loads, and what it does not.

const { readFileSync, readdirSync } = require("node:fs");
const path = require("node:path");
const { run, start } = require("./support/run.js");
const manifest = require("../package.json");

const ROOT = path.join(__dirname, "..");

/** The files of the package that are loaded by a statement, by their paths. */
async function loadedBy(statement) {
  const { code, stdout, stderr } = await run(
    `import { createRequire } from "node:module";
     const require = createRequire(${JSON.stringify(path.join(ROOT, "x.js"))});
     ${statement}
     console.log(JSON.stringify(Object.keys(require.cache)));`,
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout)
    .map((file) => path.relative(ROOT, file).split(path.sep).join("/"))
    .filter((file) => !file.startsWith("node_modules"));
}

/** The folders and files of lib/ that nobody needs who only has a store. */
const ASIDE = ["lib/admin/", "lib/command/", "lib/sessions/", "lib/fastify.js"];

test("the store loads neither the page, nor the command, nor the adapter", async () => {
  for (const statement of [
    'require("connect-redis-rs");',
    'const { RedisStore } = await import("connect-redis-rs"); new RedisStore().metrics();',
  ]) {
    const loaded = await loadedBy(statement);
    expect(loaded).toContain("lib/store.js");
    expect(loaded.filter((file) => ASIDE.some((one) => file.startsWith(one)))).toEqual([]);
  }
});

/** What an option needs, by an option that does; the rooms and files of lib/. */
const BY_OPTION = {
  "client: { get: async () => null, set: async () => null, del: async () => null }": "lib/client/",
  "events: true": "lib/session-index/",
  "cache: true, touchAfter: 60": "lib/native/near-cache.js",
};

test("a plain store loads no room of an option, and each option loads its own", async () => {
  const load = 'const RedisStore = require("connect-redis-rs");';
  const roomsOf = (loaded) =>
    Object.values(BY_OPTION).filter((room) => loaded.some((file) => file.startsWith(room)));
  expect(roomsOf(await loadedBy(`${load} new RedisStore().metrics();`))).toEqual([]);
  for (const [option, room] of Object.entries(BY_OPTION)) {
    const loaded = await loadedBy(`${load} new RedisStore({ ${option} }).close();`);
    expect(roomsOf(loaded)).toEqual([room]);
  }
});

test("a room that is loaded later does not take the fakes of an app's tests for the clock", async () => {
  const { stdout, stderr } = await run(
    `import timers from "node:timers";
     import { syncBuiltinESMExports } from "node:module";
     import { RedisStore } from "connect-redis-rs";
     for (const name of ["setTimeout", "clearTimeout", "setImmediate"]) {
       timers[name] = globalThis[name] = () => { throw new Error("a fake " + name); };
     }
     performance.now = () => { throw new Error("a fake now"); };
     syncBuiltinESMExports();
     const client = { get: async () => null, set: async () => null, del: async () => null };
     for (const options of [{ client }, { events: true }, { cache: true, touchAfter: 60 }]) {
       const store = new RedisStore({ ...options, url: "redis://127.0.0.1:1", connectTimeout: 50 });
       await store.get("a").catch(({ message }) => {
         if (message.includes("fake")) console.log(message);
       });
       await store.close();
     }
     console.log("done");`,
    { NODE_NO_WARNINGS: "1" },
  );
  expect({ stdout, stderr }).toEqual({ stdout: "done\n", stderr: "" });
});

test("nothing in lib/ outside of these rooms asks for them", () => {
  const files = readdirSync(path.join(ROOT, "lib"), { recursive: true })
    .map((file) => `lib/${file.split(path.sep).join("/")}`)
    .filter((file) => file.endsWith(".js") && !ASIDE.some((one) => file.startsWith(one)));
  expect(files.length).toBeGreaterThan(40);
  const asking = files.filter((file) => {
    const text = readFileSync(path.join(ROOT, file), "utf8");
    return /require\("[./]+(admin|command|sessions|fastify)[/.]/.test(text);
  });
  expect(asking).toEqual([]);
});

test("the adapter loads no addon: the store that it gets has one", async () => {
  expect(await loadedBy('require("connect-redis-rs/fastify");')).toEqual([
    "fastify.js",
    "lib/fastify.js",
    "lib/answer.js",
    "lib/errors.js",
  ]);
});

test("the command's help needs no addon", async () => {
  const command = path.join(ROOT, manifest.bin["connect-redis-rs"]);
  // Where it would be looked for there is none.
  const env = { CONNECT_REDIS_RS_ADDON: path.join(ROOT, "nowhere.node") };
  const helped = await start([command, "--help"], env);
  expect(helped).toMatchObject({ code: 0, stderr: "" });
  const counted = await start([command, "sessions", "count"], env);
  expect(counted.code).toBe(3);
  expect(counted.stderr).toContain("nowhere.node");
});

test("each entry of the package is one for require and for import, with types", async () => {
  for (const entry of ["connect-redis-rs/admin", "connect-redis-rs/fastify"]) {
    const name = entry.split("/")[1];
    expect(manifest.exports[`./${name}`]).toEqual({
      types: `./${name}.d.ts`,
      default: `./${name}.js`,
    });
    for (const file of [`${name}.js`, `${name}.d.ts`]) expect(manifest.files).toContain(file);
  }
  const { stdout } = await run(
    `import { admin } from "connect-redis-rs/admin";
     import { fastifyStore } from "connect-redis-rs/fastify";
     console.log(typeof admin, typeof fastifyStore);`,
  );
  expect(stdout).toBe("function function\n");
});
