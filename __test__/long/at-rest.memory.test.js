"use strict";

// What a process keeps of a secret: nothing of the secret itself, and of what is derived from it nothing
// once the store is closed. The memory of another process is searched, as somebody with its core dump
// would.

const { spawn } = require("node:child_process");
const { createHmac, randomBytes } = require("node:crypto");
const { once } = require("node:events");
const { closeSync, openSync, readFileSync, readSync } = require("node:fs");
const { startRedisServer } = require("../../scripts/redis-server.js");

const onLinux = process.platform === "linux" ? test : test.skip;
/** What is read of a process at once. */
const CHUNK = 16 * 1024 * 1024;

let server;
let child;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

afterEach(() => child?.kill("SIGKILL"));

const PROGRAM = `
  const { RedisStore } = require(${JSON.stringify(require.resolve("../.."))});
  const lines = require("node:readline").createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  (async () => {
    // The app's own copies are the app's to wipe. (What it is given is not the secret itself.)
    const secret = Buffer.from((await lines.next()).value, "hex").map((byte) => byte ^ 0x5a);
    const store = new RedisStore({
      url: process.argv[1],
      encryption: { keys: [{ id: 1, secret }] },
      compression: { threshold: 0 },
    });
    secret.fill(0);
    const session = { cookie: {}, list: "words ".repeat(100) };
    for (let n = 0; n < 200; n += 1) {
      await store.set("a" + n, session);
      if ((await store.get("a" + n)).list !== session.list) throw new Error("not the same");
    }
    await store.all();
    console.log("open");
    await lines.next();
    await store.close();
    console.log("closed");
    await lines.next();
  })();`;

/** How often the bytes stand in the memory that a process can write to. */
function countIn(pid, bytes) {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  let count = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "latin1").split("\n")) {
      const [, from, to, rights] = /^(\w+)-(\w+) (\S+)/.exec(line) ?? [];
      if (rights?.startsWith("rw")) count += countBetween(memory, from, to, bytes);
    }
  } finally {
    closeSync(memory);
  }
  return count;
}

function countBetween(memory, from, to, bytes) {
  let count = 0;
  const end = Number.parseInt(to, 16);
  for (let at = Number.parseInt(from, 16); at < end; at += CHUNK) {
    const chunk = Buffer.alloc(Math.min(CHUNK + bytes.length, end - at));
    let length = 0;
    try {
      length = readSync(memory, chunk, 0, chunk.length, at);
    } catch {
      // A page that nobody may read, such as a guard's.
    }
    const read = chunk.subarray(0, length);
    for (let found = read.indexOf(bytes); found >= 0; found = read.indexOf(bytes, found + 1))
      count += 1;
  }
  return count;
}

async function line(stream) {
  const [text] = await once(stream, "data");
  return `${text}`.trim();
}

onLinux("no secret is kept, and nothing derived from one after close", async () => {
  // V8 moves typed arrays of 64 bytes and less about, and leaves copies.
  const secret = randomBytes(128);
  const derived = createHmac("sha256", "connect-redis-rs/1").update(secret).digest();
  child = spawn(process.execPath, ["-e", PROGRAM, server.url], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin.write(`${Buffer.from(secret.map((byte) => byte ^ 0x5a)).toString("hex")}\n`);
  expect(await line(child.stdout)).toBe("open");
  expect(countIn(child.pid, secret)).toBe(0);
  // This shows that the search finds what is there.
  expect(countIn(child.pid, derived)).toBeGreaterThan(0);
  child.stdin.write("\n");
  expect(await line(child.stdout)).toBe("closed");
  expect(countIn(child.pid, derived)).toBe(0);
  expect(countIn(child.pid, secret)).toBe(0);
});
