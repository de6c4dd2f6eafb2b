"use strict";

// Calls of one run of JS go to the native side in one batch, and so do their results
// (lib/native/pending-calls.js): each call must get its own.

const { setTimeout: wait } = require("node:timers/promises");
const fc = require("fast-check");
const { startRedisServer } = require("../scripts/redis-server.js");
const { RedisStore } = require("..");
const { range } = require("./support/calls.js");

let server;
const stores = [];

beforeAll(async () => {
  server = await startRedisServer();
});

afterEach(async () => {
  for (const store of stores.splice(0)) {
    await store.clear();
    await store.close();
  }
});

afterAll(() => server?.stop());

function open(options) {
  const store = new RedisStore({ url: server.url, ...options });
  stores.push(store);
  return store;
}

test("each call of a batch gets its own result, for any sids and sessions", async () => {
  const store = open();
  // All strings: empty, with one or two bytes a character, with lone surrogates.
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 8 }),
    fc.string({ maxLength: 40 }),
    fc.constantFrom("", "ÿ", "😀", "\ud800", "\0", "x".repeat(70_000), "é".repeat(40_000)),
  );
  const sessions = fc.uniqueArray(fc.tuple(text, text), {
    selector: ([sid]) => sid.toWellFormed(),
    maxLength: 200,
  });
  await fc.assert(
    fc.asyncProperty(sessions, async (all) => {
      const stored = await Promise.all(all.map(([sid, own]) => store.set(sid, { own })));
      expect(stored).toEqual(all.map(() => null));
      const found = await Promise.all(all.map(([sid]) => store.get(sid)));
      expect(found).toEqual(all.map(([, own]) => ({ own })));
      await Promise.all(all.map(([sid]) => store.destroy(sid)));
    }),
    { numRuns: 60 },
  );
});

test("different calls in one batch are carried out in order", async () => {
  const store = open();
  const seen = await Promise.all([
    store.get("a"),
    store.set("a", { n: 1 }),
    store.get("a"),
    store.set("a", { text: "größer 😀" }),
    store.get("a"),
    store.touch("a", {}),
    store.destroy("a"),
    store.get("a"),
  ]);
  expect(seen).toEqual([null, null, { n: 1 }, null, { text: "größer 😀" }, null, null, null]);
});

test("a call that is refused before it is sent does not cost the connection", async () => {
  const store = open({ hashIds: true });
  await store.set("a", {});
  const [handle] = await store.ids();
  const heard = [];
  store.on("reconnecting", () => heard.push("reconnecting"));
  for (let n = 0; n < 3; n += 1) {
    await expect(store.set(handle, {})).rejects.toThrow(/id/);
    expect(await store.get("a")).toEqual({});
  }
  await wait(50);
  expect(heard).toEqual([]);
});

test("an invalid call rejects alone", async () => {
  const store = open();
  const circular = {};
  circular.self = circular;
  const seen = await Promise.allSettled([
    store.set("a", { n: 1 }),
    store.set("b", circular),
    store.set("c", { cookie: { expires: "never" } }),
    store.get(Symbol("sid")),
    store.set("d", undefined),
    store.get("a"),
  ]);
  expect(seen.map(({ value, reason }) => reason?.name ?? value)).toEqual([
    null,
    "TypeError",
    "TypeError",
    "TypeError",
    "TypeError",
    { n: 1 },
  ]);
});

test("invalid JSON rejects alone", async () => {
  const store = open();
  const broken = open({ serializer: { parse: JSON.parse, stringify: () => '{"a":1},{"b":2}' } });
  await Promise.all(range(100, (n) => (n === 50 ? broken : store).set(`s${n}`, { n })));
  const seen = await Promise.allSettled(range(100, (n) => store.get(`s${n}`)));
  expect(seen.map(({ value, reason }) => reason?.name ?? value)).toEqual(
    range(100, (n) => (n === 50 ? "SyntaxError" : { n })),
  );
});

test("the error for invalid JSON shows nothing of other sessions", async () => {
  const store = open();
  const texts = [
    '{"a":1},{"b":2}',
    '{"a":tru}',
    '{"a":"open',
    "[1,2",
    "nul",
    "{broken for long enough}",
  ];
  let text;
  const broken = open({ serializer: { parse: JSON.parse, stringify: () => text } });
  const sets = range(100, (n) => {
    text = texts[n % texts.length];
    return n % 2 ? store.set(`s${n}`, { secret: "SECRET ".repeat(20) }) : broken.set(`s${n}`, {});
  });
  await Promise.all(sets);
  const seen = await Promise.allSettled(range(100, (n) => store.get(`s${n}`)));
  const messages = seen.flatMap(({ reason }) => reason?.message ?? []);
  expect(messages).toHaveLength(50);
  expect(messages.join()).not.toContain("SECRET");
  const told = [];
  store.on("corrupt", (_sid, { message }) => told.push(message));
  expect(await store.all()).toHaveLength(50);
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toHaveLength(50);
  expect(told.join()).not.toContain("SECRET");
});

test("an app's Buffer is stored as it was when set was called", async () => {
  const buffer = Buffer.alloc(20);
  const serializer = {
    stringify(session) {
      buffer.fill(" ");
      buffer.write(JSON.stringify(session));
      return buffer;
    },
    parse: JSON.parse,
  };
  const store = open({ serializer });
  const sets = range(70, (n) => store.set(`s${n}`, { n }));
  buffer.fill("x");
  await Promise.all(sets);
  expect(await Promise.all(range(70, (n) => store.get(`s${n}`)))).toEqual(
    range(70, (n) => ({ n })),
  );
});

test("a changed field applies to later calls, and not to earlier ones", async () => {
  const store = open({ prefix: "one:" });
  const first = store.set("a", { n: 1 });
  store.prefix = "two:";
  const second = store.set("a", { n: 2 });
  await Promise.all([first, second]);
  expect(await store.get("a")).toEqual({ n: 2 });
  store.prefix = "one:";
  expect(await store.get("a")).toEqual({ n: 1 });
  await store.clear();
  store.prefix = "two:";
});

test("calls before close or length are carried out before it", async () => {
  const store = open();
  const sets = range(10, (n) => store.set(`s${n}`, { n }));
  expect(await store.length()).toBe(10);
  await Promise.all(sets);
  const other = new RedisStore({ url: server.url });
  const get = other.get("s1").catch(({ code }) => code);
  await other.close();
  expect([{ n: 1 }, "ECLOSED"]).toContainEqual(await get);
});
