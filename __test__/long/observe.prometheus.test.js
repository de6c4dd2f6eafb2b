"use strict";

// The page of metrics that docs/observing.md makes with prom-client, read by Prometheus's own parsers in
// Python: of its text format, and of OpenMetrics.

const { spawnSync } = require("node:child_process");
const path = require("node:path");
const { pythonWith } = require("../../scripts/python.js");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { openInspector } = require("../support/inspector.js");
const { recipe } = require("../support/recipes.js");
const { run } = require("../support/run.js");

const PROGRAM = path.join(__dirname, "..", "support", "metrics.py");
const SID = "planted-sid-0123456789";

const python = pythonWith(["prometheus_client"]);
const withPython = python === undefined ? test.skip.each : test.each;
if (python === undefined) console.warn("no Python with prometheus_client: skipped");

let server;

beforeAll(async () => {
  server = await startRedisServer();
  const inspector = await openInspector(server);
  await inspector.lPush("sess:list", "no session");
  await inspector.close();
});

afterAll(() => server?.stop());

/** The page after some calls, one of which fails. */
async function pageIn(format) {
  const { code, stdout, stderr } = await run(
    `import prom from "prom-client";
     prom.register.setContentType(prom.Registry.${format});
     ${recipe("prom-client", server)}
     await store.set("${SID}", { cookie: {} });
     await store.get("${SID}");
     await store.get("other");
     await store.get("list").catch(() => {});
     const { port } = page.address();
     process.stdout.write(await (await fetch("http://localhost:" + port)).text(), () => process.exit());`,
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout;
}

withPython([
  ["text", "PROMETHEUS_CONTENT_TYPE"],
  ["openmetrics", "OPENMETRICS_CONTENT_TYPE"],
])("Prometheus reads the page of prom-client, as %s", async (format, contentType) => {
  const page = await pageIn(contentType);
  expect(page).not.toContain("planted");
  const read = spawnSync(python, [PROGRAM, format], { input: page, encoding: "utf8" });
  expect({ status: read.status, stderr: read.stderr }).toEqual({ status: 0, stderr: "" });
  const families = new Map(JSON.parse(read.stdout).map((family) => [family.name, family]));
  expect([...families].map(([name, { type }]) => [name, type])).toEqual([
    ["session_calls", "counter"],
    ["session_errors", "counter"],
    ["session_calls_waiting", "gauge"],
    ["session_reconnects", "counter"],
    ["session_queue_seconds", "histogram"],
    ["session_redis_seconds", "histogram"],
  ]);
  for (const { help } of families.values()) expect(help).not.toBe("");
  const calls = families.get("session_calls").samples;
  const count = (operation, outcome) =>
    calls.find(([, labels]) => labels.operation === operation && labels.outcome === outcome);
  expect(count("get", "hit")).toEqual([
    "session_calls_total",
    { operation: "get", outcome: "hit" },
    1,
  ]);
  expect(count("get", "miss")[2]).toBe(1);
  expect(count("set", "ok")[2]).toBe(1);
  expect(families.get("session_errors").samples).toEqual([
    ["session_errors_total", { code: "WRONGTYPE" }, 1],
  ]);
  const histogram = families.get("session_redis_seconds").samples;
  const buckets = histogram.filter(([name]) => name === "session_redis_seconds_bucket");
  expect(buckets.at(-1)[1]).toEqual({ le: "+Inf" });
  expect(histogram.find(([name]) => name === "session_redis_seconds_count")[2]).toBe(
    buckets.at(-1)[2],
  );
});
