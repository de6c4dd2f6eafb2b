"use strict";

// connect-redis's own tests, from its published packages, with this store: only the import of the store
// in the test's text is changed.

const {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { start } = require("../support/run.js");

const ROOT = path.join(__dirname, "..", "..");
const MODULES = path.join(ROOT, "node_modules");

/** The versions of connect-redis, with the clients they were made for. */
const PUBLISHED = [
  ["connect-redis-8", { redis: "redis-4", ioredis: "ioredis" }],
  ["connect-redis-9", { redis: "redis-5" }],
  ["connect-redis", { redis: "redis" }],
];

/** The module ./testdata/server of the tests, which the packages do not contain. */
const SERVER = `
  import { createRequire } from "node:module";
  const { startRedisServer } = createRequire(import.meta.url)(${JSON.stringify(path.join(ROOT, "scripts", "redis-server.js"))});
  let server;
  export let port;
  export async function connect() {
    server = await startRedisServer();
    port = server.port;
  }
  export const disconnect = () => server.stop();
`;

test.each(PUBLISHED)("the published tests of %s pass", async (name, clients) => {
  const from = path.join(MODULES, name);
  const { version } = JSON.parse(readFileSync(path.join(from, "package.json"), "utf8"));
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-published-"));
  try {
    const text = readFileSync(path.join(from, "index_test.ts"), "utf8");
    const parts = text.split('from "./"');
    expect(parts).toHaveLength(2);
    writeFileSync(path.join(folder, "index_test.ts"), parts.join('from "connect-redis-rs"'));
    // As in the packages' vite.config.ts.
    const config = 'export default { test: { include: ["**/*_test.[jt]s"] } };';
    writeFileSync(path.join(folder, "vitest.config.mjs"), config);
    mkdirSync(path.join(folder, "testdata"));
    writeFileSync(path.join(folder, "testdata", "server.js"), SERVER);
    mkdirSync(path.join(folder, "node_modules"));
    const own = { vitest: "vitest", "express-session": "express-session" };
    for (const [as, installed] of Object.entries({ ...own, ...clients })) {
      symlinkSync(path.join(MODULES, installed), path.join(folder, "node_modules", as));
    }
    symlinkSync(ROOT, path.join(folder, "node_modules", "connect-redis-rs"));
    const vitest = path.join(MODULES, "vitest", "vitest.mjs");
    const args = [vitest, "run", "--root", folder, "--dir", folder, "--reporter", "json"];
    const { stdout, stderr } = await start(args);
    const report = JSON.parse(stdout.slice(stdout.indexOf("{")) || "{}");
    const failed = report.testResults?.flatMap(({ assertionResults, message }) => [
      message,
      ...assertionResults.flatMap(({ failureMessages }) => failureMessages),
    ]);
    expect({ failed: failed?.filter(Boolean), stderr: report.success ? "" : stderr }).toEqual({
      failed: [],
      stderr: "",
    });
    expect(report.numPassedTests).toBe(text.match(/^test\(/gm).length);
    expect(version).toMatch(/^(8\.1|9|10)\./);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
