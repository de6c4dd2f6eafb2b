"use strict";

// The format of docs/format.md is what the store writes and reads: a program in Python, made from that
// page alone, opens what the store has sealed, and the store opens what the program has sealed.

const { spawnSync } = require("node:child_process");
const path = require("node:path");
const Ioredis = require("ioredis");
const { RedisStore } = require("../..");
const { pythonWith } = require("../../scripts/python.js");
const { startRedisServer } = require("../../scripts/redis-server.js");

const PROGRAM = path.join(__dirname, "..", "support", "format.py");
const DOCUMENT = path.join(__dirname, "..", "..", "docs", "format.md");
const SECRET = "a secret that two programs share, naïvely";

const python = pythonWith(["cryptography", "zstandard"]);
const withPython = python === undefined ? test.skip : test;
if (python === undefined) console.warn("no Python with cryptography and zstandard: skipped");

let server;
let redis;
let store;

beforeAll(async () => {
  server = await startRedisServer();
  redis = new Ioredis(server.url);
  store = new RedisStore({
    url: server.url,
    encryption: { keys: [{ id: 77, secret: SECRET }], plain: "refuse" },
    compression: { threshold: 200 },
  });
});

afterAll(async () => {
  await store?.close();
  redis?.disconnect();
  await server?.stop();
});

function run(args, input) {
  const options = { input: input && JSON.stringify(input), encoding: "utf8" };
  const { status, stdout, stderr } = spawnSync(python, [PROGRAM, ...args], options);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return JSON.parse(stdout);
}

withPython("a program in Python opens each test vector", () => {
  expect(run(["check", DOCUMENT])).toBe(8);
});

withPython(
  "the store reads what a program in Python has written, as bytes and as letters",
  async () => {
    const sessions = [
      { cookie: {}, user: "Zoë" },
      { cookie: {}, words: "to be or not to be, ".repeat(50) },
    ];
    const records = sessions.map((session, n) => ({
      key: `sess:${n}é`,
      text: JSON.stringify(session),
    }));
    const made = run(["write"], { secret: SECRET, id: 77, records });
    for (const [n, { hex, letters }] of made.entries()) {
      await redis.set(records[n].key, Buffer.from(hex, "hex"));
      expect(await store.get(`${n}é`)).toEqual(sessions[n]);
      await redis.set(records[n].key, letters);
      expect(await store.get(`${n}é`)).toEqual(sessions[n]);
    }
  },
);
