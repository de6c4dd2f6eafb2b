"use strict";

// npm run bench does what its README says. Speed is not tested.

const { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } = require("node:fs");
const { tmpdir } = require("node:os");
const path = require("node:path");
const { startDistance } = require("../../bench/distance.js");
const { startRedisServer, waitUntil } = require("../../scripts/redis-server.js");
const { start } = require("../support/run.js");

const RUN = path.join("bench", "run.js");
const SHORTEST = ["--only", "operations", "--rounds", "1", "--seconds", "0.02"];
const PEER = "connect-redis 10 + node-redis 6";
const OURS = "connect-redis-rs";

let folder;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-bench-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function readResults() {
  return JSON.parse(readFileSync(path.join(folder, "results.json"), "utf8"));
}

test("a run writes every round, medians, tables and charts, and renders them again", async () => {
  const { code, stdout, stderr } = await start([RUN, ...SHORTEST, "--out", folder]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/get +600 B +64 calls .*left\]/);

  const results = readResults();
  expect(results).toMatchObject({
    mode: "short",
    isComplete: true,
    failed: [],
    leftOut: [],
    machine: { cores: expect.any(Number), kernel: expect.any(String) },
    versions: { node: expect.any(String), "redis-server": expect.any(String) },
  });
  expect(results.operations).toHaveLength(9);
  for (const { operation, size, concurrency, rounds, medians } of results.operations) {
    expect(["get", "set", "touch"]).toContain(operation);
    expect([1, 64, 512]).toContain(concurrency);
    expect(size).toBe(600);
    expect(rounds).toHaveLength(1);
    for (const peer of [PEER, OURS]) {
      expect(rounds[0][peer].rate).toBeGreaterThan(0);
      expect(medians[peer]).toEqual({
        rate: expect.any(Number),
        jsCpu: expect.any(Number),
        cpu: expect.any(Number),
        p50: expect.any(Number),
        p99: expect.any(Number),
        loopP99: expect.any(Number),
        loopMax: expect.any(Number),
      });
    }
  }
  const judged = results.targets.map(({ what }) => what);
  expect(judged).toContain("get, 64 calls: throughput");

  const made = () => ({
    table: readFileSync(path.join(folder, "RESULTS.md"), "utf8"),
    charts: readdirSync(path.join(folder, "charts")).sort(),
    throughput: readFileSync(path.join(folder, "charts", "throughput.svg"), "utf8"),
  });
  const first = made();
  expect(first.table).toMatch(/\| touch +\| 512 +\|/);
  expect(first.charts).toEqual(["cpu.svg", "latency.svg", "peers.svg", "throughput.svg"]);
  expect(first.throughput).toMatch(/^<svg [\s\S]*Operations a second[\s\S]*<\/svg>\n$/);

  rmSync(path.join(folder, "charts"), { recursive: true });
  const again = [RUN, "--render", path.join(folder, "results.json"), "--out", folder];
  expect((await start(again)).code).toBe(0);
  // The ids in the charts change with each rendering.
  const { throughput: _, ...same } = first;
  expect(made()).toMatchObject(same);
});

test("requests are measured at each distance of Redis, and their chart comes first", async () => {
  const args = ["--only", "requests", "--rounds", "1", "--seconds", "0.02"];
  const { code, stderr } = await start([RUN, ...args, "--out", folder]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });

  const { requests, distances, failed } = readResults();
  expect(failed).toEqual([]);
  expect(requests.map(({ load, concurrency, distance }) => [load, concurrency, distance])).toEqual([
    ["idle", 1, 0],
    ["idle", 1, 1],
  ]);
  for (const { medians } of requests) {
    for (const peer of [PEER, OURS, `${OURS}, touch: "background"`, `${OURS}, touchAfter`]) {
      expect(medians[peer]).toMatchObject({
        rate: expect.any(Number),
        p50: expect.any(Number),
        p99: expect.any(Number),
        cpu: expect.any(Number),
      });
    }
  }
  // A request waits for Redis twice: get and touch.
  expect(requests[1].medians[PEER].p50).toBeGreaterThan(2);
  expect(distances.map(({ distance }) => distance)).toEqual([0, 1]);
  const text = readFileSync(path.join(folder, "RESULTS.md"), "utf8");
  expect(text).toMatch(/^# What was measured\n\n!\[[^\]]*\]\(charts\/requests\.svg\)\n/);
  expect(text).toMatch(/\| Redis is away by +\| connect-redis 10/);
}, 120_000);

test("a Redis is as far away as it should be", async () => {
  const redis = await startRedisServer();
  const away = await startDistance(redis.port);
  try {
    await away.setDistance(0);
    const near = await away.ping();
    for (const distance of [0.5, 1, 5]) {
      await away.setDistance(distance);
      const ping = await away.ping();
      expect(ping).toBeGreaterThanOrEqual(distance);
      // Generous, for a busy machine.
      expect(ping).toBeLessThan(near + distance + 5);
    }
  } finally {
    await away.stop();
    await redis.stop();
  }
});

test("an interrupted run leaves what it has measured, and no process", async () => {
  let children;
  const args = [RUN, "--only", "operations", "--rounds", "1", "--seconds", "0.2", "--out", folder];
  const { code, stderr } = await start(args, {}, (stdout, child) => {
    if (children || !stdout.includes("left]")) return;
    children = childrenOf(child.pid);
    child.kill("SIGINT");
  });
  expect({ code, stderr: stderr.trim() }).toEqual({
    code: 130,
    stderr: expect.stringContaining("interrupted"),
  });
  const { isComplete, operations } = readResults();
  expect(isComplete).toBe(false);
  expect(operations[0].medians[OURS].rate).toBeGreaterThan(0);
  // Redis and three peers.
  expect(children).toHaveLength(4);
  await waitUntil("they end", () => children.every((pid) => !existsSync(`/proc/${pid}`)));
});

function childrenOf(pid) {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
}

test.each([
  [["--fast"], "--fast"],
  [["--only", "all"], "--only all: there is no such part"],
  [["--rounds", "0"], "--rounds 0"],
  [["--seconds", "soon"], "--seconds soon"],
  [["--render", "nothing.json"], "--render nothing.json"],
  [["now"], "now"],
])("%p is refused, with the usage", async (args, why) => {
  const { code, stdout, stderr } = await start([RUN, ...args]);
  expect(code).toBe(1);
  expect(stdout).toBe("");
  expect(stderr).toContain(why);
  expect(stderr).toContain("--only PART[,PART]   parts: operations, server, bulk");
});
