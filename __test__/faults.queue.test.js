"use strict";

// The limits of waiting calls: commandsQueueMaxLength and commandsQueueMaxBytes.

const { freePort } = require("../scripts/redis-server.js");
const { failure, range } = require("./support/calls.js");
const { open, start, stopwatch } = require("./support/faults.js");
const { measured } = require("./support/measured.js");

const codes = async (calls) => (await Promise.all(calls.map(failure))).map((error) => error?.code);

/** Opens a store for a server that is started later. */
async function openAway(options) {
  const port = await freePort();
  const store = open({ url: `redis://127.0.0.1:${port}`, commandTimeout: 10_000, ...options });
  return { port, store };
}

test("with commandsQueueMaxLength 100 the 101st call rejects at once with ENOBUFS, the others wait as usual", async () => {
  const { port, store } = await openAway({ commandsQueueMaxLength: 100 });
  const calls = range(100, (n) => store.set(`s${n}`, { n }));
  const ms = stopwatch();
  for (const call of [
    store.get("a"),
    store.set("a", {}),
    store.touch("a", {}),
    store.destroy("a"),
  ]) {
    const error = await failure(call);
    expect(error.code).toBe("ENOBUFS");
    expect(error.message).toMatch(/^\w+: 100 calls wait .*commandsQueueMaxLength/);
    expect(error.message).toContain(`127.0.0.1:${port}`);
  }
  const took = ms();
  const [error] = await new Promise((resolve) => store.get("a", (...args) => resolve(args)));
  expect(error.code).toBe("ENOBUFS");
  await start({ port });
  expect(await Promise.all(calls)).toEqual(calls.map(() => null));
  // The limit applies again, because nothing waits any more.
  expect(await codes(range(100, (n) => store.get(`s${n}`)))).toEqual(range(100, () => undefined));
  expect(await store.length()).toBe(100);
  measured(
    "more calls than commandsQueueMaxLength",
    `4 of 4 calls too many rejected within ${took} ms; 100 of 100 others answered when it listens`,
  );
});

test("with commandsQueueMaxBytes what would be more rejects at once with ENOBUFS, and is taken later", async () => {
  const { port, store } = await openAway({ commandsQueueMaxBytes: 100_000 });
  const large = { text: "x".repeat(30_000) };
  const calls = range(3, (n) => store.set(`s${n}`, large));
  const error = await failure(store.set("s3", large));
  expect(error.code).toBe("ENOBUFS");
  expect(error.message).toContain("commandsQueueMaxBytes");
  calls.push(store.set("small", {}));
  await start({ port });
  expect(await Promise.all(calls)).toEqual(calls.map(() => null));
  expect(await store.set("s3", large)).toBeNull();
  measured("more bytes than commandsQueueMaxBytes", "1 of 1 calls too many rejected at once");
});

test("a single call may be larger than commandsQueueMaxBytes", async () => {
  const server = await start();
  const store = open({ url: server.url, commandsQueueMaxBytes: 1000 });
  expect(await store.set("a", { text: "x".repeat(100_000) })).toBeNull();
});

test("calls that time out make room for others", async () => {
  const { store } = await openAway({ commandsQueueMaxLength: 10, commandTimeout: 200 });
  for (let round = 0; round < 3; round += 1) {
    const found = await codes(range(11, () => store.get("a")));
    expect(found).toEqual([...range(10, () => "ECONNREFUSED"), "ENOBUFS"]);
  }
});

test("a scan does not count, even if it sends many commands", async () => {
  const server = await start();
  const store = open({ url: server.url, commandsQueueMaxLength: 10, scanCount: 10 });
  for (let n = 0; n < 500; n += 10) {
    await Promise.all(range(10, (m) => store.set(`s${n + m}`, { n })));
  }
  const scans = range(20, () => [store.length(), store.ids(), store.all()]).flat();
  const calls = range(5, (n) => store.get(`s${n}`));
  for (const found of await Promise.all(scans)) expect(found.length ?? found).toBe(500);
  await Promise.all(calls);
});

test("without the options 100,000 calls at once are all taken", async () => {
  const { port, store } = await openAway({ commandTimeout: 25_000 });
  const calls = range(100_000, (n) => store.get(`s${n}`));
  await start({ port });
  const ms = stopwatch();
  const found = await Promise.all(calls);
  expect(found.every((session) => session === null)).toBe(true);
  measured("100,000 calls wait", `100,000 of 100,000 answered ${ms()} ms after it listens`);
});

test.each(["commandsQueueMaxLength", "commandsQueueMaxBytes"])(
  "%s must be a number of at least one",
  (option) => {
    for (const value of [0, -1, Number.NaN, "many"]) {
      expect(() => open({ [option]: value })).toThrow(
        expect.objectContaining({ code: "ERR_INVALID_ARG_VALUE" }),
      );
    }
  },
);
