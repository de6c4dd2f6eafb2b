"use strict";

// Every way to install and load the package: each sets and gets a session.

const { copyFileSync, cpSync } = require("node:fs");
const path = require("node:path");
const { tool } = require("./tools.js");

const ROOT = path.join(__dirname, "..", "..");
const TYPES = ["@types/node", "@types/express-session"];

/** The path of a tool of this project, such as jest, that runs in an app. */
const own = (file) => path.join(ROOT, "node_modules", file);

const JEST = `
  const { RedisStore } = require("connect-redis-rs");
  const url = process.env.URL_OF_REDIS;
  const map = new Map();
  const fake = {
    get: async (key) => map.get(key) ?? null,
    set: async (key, value) => map.set(key, value),
    expire: async () => 1,
    del: async (keys) => keys.filter((key) => map.delete(key)).length,
    mGet: async (keys) => keys.map((key) => map.get(key) ?? null),
    scanIterator: () => [[...map.keys()]],
  };
  const serializer = { parse: (text) => JSON.parse(text), stringify: (sess) => Buffer.from(JSON.stringify(sess)) };
  test.each([
    ["a url", { url, prefix: "jest:" }],
    ["a URL, with a serializer", { url: new URL(url), prefix: "jest:", serializer }],
    ["a fake client", { client: fake }],
  ])("a session is set and got by %s", async (_name, options) => {
    const store = new RedisStore(options);
    await store.set("sid", { n: 1 });
    expect(await store.get("sid")).toEqual({ n: 1 });
    expect(await store.all()).toEqual([{ n: 1, id: "sid" }]);
    await store.close();
    await expect(store.get("sid")).rejects.toBeInstanceOf(Error);
  });
`;

const VITEST = JEST.replace(
  'const { RedisStore } = require("connect-redis-rs");',
  'import { expect, test } from "vitest";\nimport { RedisStore } from "connect-redis-rs";',
);

/** The old versions of express-session, of those in the project, to test the package with. */
const OLD_EXPRESS_SESSIONS = ["1.0", "1.15", "1.16"];

/** For each of TypeScript's module resolutions: its options, and the sources to compile. */
const RESOLUTIONS = {
  node16: ["node16", ["use.mts", "use.cts"]],
  nodenext: ["nodenext", ["use.mts", "use.cts"]],
  bundler: ["esnext", ["use.mts"]],
};

/** Compiles and runs a TypeScript app that uses the package under the name `as`. */
async function typeScript(app, as, resolution) {
  const [module, files] = RESOLUTIONS[resolution];
  const body = `
    import session from "express-session";
    const options: session.SessionOptions = {
      store: new RedisStore({ prefix: "a:" }), secret: "s", resave: false, saveUninitialized: false,
    };
    void options.store;
    const store = new RedisStore({ url: process.env.URL_OF_REDIS! });
    async function use(): Promise<void> {
      const sess = { cookie: new session.Cookie(), n: 1 };
      await store.set("sid", sess);
      const got: unknown = await store.get("sid");
      await store.close();
      await (options.store as RedisStore).close();
      console.log("got", (got as typeof sess).n);
    }
    void use();
  `;
  for (const file of files) {
    app.write(`${resolution}/${file}`, `import { RedisStore } from "${as}";${body}`);
  }
  const options = { module, moduleResolution: resolution, strict: true, outDir: "out" };
  const compilerOptions = { ...options, esModuleInterop: true, types: ["node"], target: "es2022" };
  app.write(`${resolution}/tsconfig.json`, JSON.stringify({ compilerOptions, files }));
  await app.run("node", [own("typescript/bin/tsc"), "--project", resolution]);
  for (const file of files) await app.uses([`${resolution}/out/${file.replace("ts", "js")}`]);
}

/** Uses the package by `require` and by `import`. */
async function byBoth(app, as = "connect-redis-rs", before = []) {
  await app.uses([...before, app.required(as)]);
  await app.uses([...before, app.imported(as)]);
}

/** @returns {[string, () => Promise<void>][]} the layouts and the function that tries each, in order */
function layouts({ newApp, version }) {
  const wanted = { "connect-redis-rs": version, "express-session": "*" };
  let app;
  let aliased;
  const withManager = async (name, command, args, { env, before } = {}) => {
    const other = newApp(name, { dependencies: wanted });
    other.write("yarn.lock", "");
    await other.run("node", [command, ...args], { env });
    await byBoth(other, undefined, before?.(other));
  };
  return [
    [
      "npm install, CommonJS",
      async () => {
        app = newApp("npm");
        await app.npm("install", "connect-redis-rs", "express-session");
        await app.npm("install", "--save-dev", ...TYPES);
        await app.uses([app.required("connect-redis-rs")]);
      },
    ],
    ["ES module", () => app.uses([app.imported("connect-redis-rs")])],
    ...Object.keys(RESOLUTIONS).map((resolution) => [
      `TypeScript, ${resolution}`,
      () => typeScript(app, "connect-redis-rs", resolution),
    ]),
    [
      "Jest",
      async () => {
        app.write("jest.config.json", '{ "testMatch": ["<rootDir>/jest/*.js"] }');
        app.write("jest/store.js", JEST);
        await app.run("node", [own("jest/bin/jest.js"), "--config", "jest.config.json"]);
      },
    ],
    ...["node", "jsdom"].map((environment) => [
      `Jest 27.2, its environment ${environment}`,
      async () => {
        const jest = [tool("jest-27", "bin/jest.js"), "--config", "jest.config.json"];
        await app.run("node", [...jest, "--env", environment]);
      },
    ]),
    [
      "Vitest",
      async () => {
        const folder = app.inApp("vitest");
        app.write("vitest/store.test.mjs", VITEST);
        const args = ["run", "--root", folder, "--globals"];
        await app.run("node", [own("vitest/vitest.mjs"), ...args]);
      },
    ],
    [
      "esbuild, the addon external",
      async () => {
        const args = ["--bundle", "--platform=node", "--external:connect-redis-rs-*"];
        await app.run(tool("esbuild", "bin/esbuild"), [
          "use.cjs",
          ...args,
          "--outfile=dist/app.js",
        ]);
        await app.uses(["dist/app.js"]);
      },
    ],
    [
      "npm ci --omit=dev",
      async () => {
        const production = newApp("production");
        for (const file of ["package.json", "package-lock.json", "use.cjs", "use.mjs"]) {
          copyFileSync(app.inApp(file), production.inApp(file));
        }
        await production.npm("ci", "--omit=dev");
        await byBoth(production);
      },
    ],
    [
      "moved to another folder with its node_modules",
      async () => {
        const moved = newApp("moved");
        cpSync(app.inApp("node_modules"), moved.inApp("node_modules"), { recursive: true });
        await byBoth(moved);
      },
    ],
    ...OLD_EXPRESS_SESSIONS.map((old) => [
      `beside express-session ${old}`,
      async () => {
        const beside = newApp(`express-session-${old}`);
        await beside.npm("install", `express-session@${old}`);
        await beside.npm("install", "connect-redis-rs");
        await byBoth(beside);
      },
    ]),
    ["pnpm", () => withManager("pnpm", tool("pnpm", "bin/pnpm.cjs"), ["install"])],
    ["Yarn 1", () => withManager("yarn-1", tool("yarn", "bin/yarn.js"), ["install"])],
    [
      "Yarn 4, node-modules",
      () =>
        withManager("yarn-4", tool("@yarnpkg/cli-dist", "bin/yarn.js"), ["install"], {
          env: { YARN_NODE_LINKER: "node-modules" },
        }),
    ],
    [
      "Yarn 4, Plug'n'Play",
      () =>
        withManager("yarn-pnp", tool("@yarnpkg/cli-dist", "bin/yarn.js"), ["install"], {
          env: { YARN_NODE_LINKER: "pnp", YARN_PNP_ENABLE_ESM_LOADER: "true" },
          before: ({ inApp }) => [
            "--require",
            inApp(".pnp.cjs"),
            "--experimental-loader",
            inApp(".pnp.loader.mjs"),
          ],
        }),
    ],
    [
      "as connect-redis, by an alias",
      async () => {
        aliased = newApp("aliased");
        await aliased.npm(
          "install",
          `connect-redis@npm:connect-redis-rs@${version}`,
          "express-session",
        );
        await aliased.npm("install", "--save-dev", ...TYPES);
        await byBoth(aliased, "connect-redis");
      },
    ],
    ...Object.keys(RESOLUTIONS).map((resolution) => [
      `as connect-redis, TypeScript, ${resolution}`,
      () => typeScript(aliased, "connect-redis", resolution),
    ]),
  ];
}

module.exports = { layouts };
