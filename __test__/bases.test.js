"use strict";

// What saves compare with (`concurrency`): whatever text is stored, and however many others were read
// since, it is byte for byte what the session was loaded with.

const { setTimeout: wait } = require("node:timers/promises");
const { useRedis } = require("./support/life-cycle.js");
const { untilCopied } = require("./support/near-cache.js");
const { loadSession, openStore } = require("./support/stores.js");

const SID = "the-secret-sid";
const KEY = `sess:${SID}`;
const SECRET = "0123456789abcdef0123456789abcdef";
const DAY = 86_400_000;

let server;
let inspector;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

function open(options) {
  const store = openStore(closing, { url: server.url, concurrency: "merge", ...options });
  store.heard = [];
  for (const event of ["merged", "unmerged", "discarded"]) {
    store.on(event, () => store.heard.push(event));
  }
  return store;
}

const load = (store, sid = SID) => loadSession(store, sid);

const write = (text) => inspector.set(KEY, text, { expiration: { type: "PX", value: DAY } });

/** Reads more than the native side remembers. */
async function readMuch(store) {
  await store.set("another", { cookie: {}, text: "x".repeat(300_000) });
  for (let n = 0; n < 10; n += 1) await store.get("another");
}

const cookie = (expires) => `{"originalMaxAge":60000,"expires":${JSON.stringify(expires)}}`;
const usual = cookie(new Date(Date.now() + DAY).toISOString());

const TEXTS = [
  ["as express-session writes it", `{"cookie":${usual},"n":1}`],
  ["with blanks", `{ "cookie" : ${usual} , "n":1}`],
  ["that is not ASCII", `{"cookie":${usual},"n":1,"name":"Zoë 😀"}`],
  ["with a number as its expiry", `{"cookie":${cookie(Date.now())},"n":1}`],
  ["with a short expiry", `{"cookie":${cookie("x")},"n":1}`],
  ["with a long expiry", `{"cookie":${cookie(new Date(0).toUTCString())},"n":1}`],
  ["with an expiry that is not ASCII", `{"cookie":${cookie("später")},"n":1}`],
  ["that is not ASCII, with a short expiry", `{"cookie":${cookie("x")},"n":1,"name":"Zoë"}`],
  ["without an expiry", '{"cookie":{},"n":1}'],
];

const MEANWHILE = [
  ["at once", {}, async () => {}],
  ["after megabytes of others were read", {}, readMuch],
  ["from a copy of the near cache", { cache: true, touchAfter: 60 }, async () => {}],
];

describe.each(MEANWHILE)("a session that is saved %s", (_, options, meanwhile) => {
  test.each(TEXTS)("compares with a text %s", async (_what, text) => {
    await write(text);
    const store = open(options);
    if (options.cache) await untilCopied(store, SID);
    const session = await load(store);
    await meanwhile(store);
    for (const n of [2, 3, 4]) {
      session.n = n;
      await store.set(SID, session);
      expect(JSON.parse(await inspector.get(KEY)).n).toBe(n);
      await meanwhile(store);
    }
    expect(store.heard).toEqual([]);
  });

  test.each(TEXTS)("keeps what another has changed in a text %s", async (_what, text) => {
    await write(text);
    const store = open(options);
    if (options.cache) await untilCopied(store, SID);
    const session = await load(store);
    await meanwhile(store);
    const change = async (members) =>
      write(JSON.stringify({ ...JSON.parse(await inspector.get(KEY)), ...members }));
    for (const round of [1, 2]) {
      await change({ [`theirs${round}`]: round });
      session.n = -round;
      await store.set(SID, session);
    }
    session.n = -3;
    await store.set(SID, session);
    expect(JSON.parse(await inspector.get(KEY))).toMatchObject({ theirs1: 1, theirs2: 2, n: -3 });
    expect(store.heard).toEqual(["merged", "merged"]);
  });
});

describe.each([
  ["encrypted", { encryption: { keys: [{ id: 1, secret: SECRET }] } }],
  ["compressed", { compression: { threshold: 100 } }],
])("a session that is %s", (_, options) => {
  test.each(MEANWHILE)(
    "compares with what Redis has, if it is saved %s",
    async (_how, more, meanwhile) => {
      const store = open({ ...options, ...more });
      const other = open(options);
      await other.set(SID, { cookie: {}, n: 1, text: "x".repeat(500) });
      if (more.cache) await untilCopied(store, SID);
      const session = await load(store);
      await meanwhile(store);
      for (const n of [2, 3]) {
        session.n = n;
        await store.set(SID, session);
        expect(await other.get(SID)).toMatchObject({ n });
      }
      expect(store.heard).toEqual([]);
      const theirs = await load(other);
      theirs.theirs = 1;
      await other.set(SID, theirs);
      session.n = 4;
      await store.set(SID, session);
      expect(await other.get(SID)).toMatchObject({ n: 4, theirs: 1 });
      expect(store.heard).toEqual(["merged"]);
    },
  );
});

test("a text that is no valid UTF-8 is compared byte for byte, also after megabytes of others", async () => {
  const start = Buffer.from(`{"cookie":${usual},"n":1,"a":"`);
  for (const meanwhile of [async () => {}, readMuch]) {
    await write(Buffer.concat([start, Buffer.from([0xff, 0x22, 0x7d])]));
    const store = open();
    const session = await load(store);
    await meanwhile(store);
    session.n = 2;
    await store.set(SID, session);
    expect(JSON.parse(await inspector.get(KEY)).n).toBe(2);
    expect(store.heard).toEqual([]);
  }
});

test("a save that is made before the last one is answered compares with what that writes", async () => {
  await write(`{"cookie":${usual},"n":1}`);
  const store = open();
  const session = await load(store);
  const saves = [];
  for (let n = 0; n < 20; n += 1) {
    // What the first save adds, the next takes away again.
    if (n % 2 === 0) session.added = n;
    else delete session.added;
    saves.push(store.set(SID, session));
    if (n % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(saves);
  expect(JSON.parse(await inspector.get(KEY))).not.toHaveProperty("added");
  expect(store.heard).toEqual([]);
});

test("a session that is new compares with what its first save wrote", async () => {
  const store = open();
  const session = store.createSession(
    { sessionID: SID, sessionStore: store },
    { cookie: {}, n: 1, name: "Zoë" },
  );
  await store.set(SID, session);
  await readMuch(store);
  session.n = 2;
  await store.set(SID, session);
  expect(store.heard).toEqual([]);
  await write(JSON.stringify({ ...JSON.parse(await inspector.get(KEY)), theirs: 1 }));
  session.n = 3;
  await store.set(SID, session);
  expect(JSON.parse(await inspector.get(KEY))).toMatchObject({ n: 3, theirs: 1 });
});

test.each(TEXTS)(
  "two sessions that were made of one copy of the near cache keep each other's changes: a text %s",
  async (_, text) => {
    await write(text);
    const store = open({ cache: { maxStale: 60_000 }, touchAfter: 60 });
    await untilCopied(store, SID);
    const [first, second] = [await load(store), await load(store)];
    first.first = 1;
    second.second = 2;
    await store.set(SID, first);
    await store.set(SID, second);
    expect(JSON.parse(await inspector.get(KEY))).toMatchObject({ first: 1, second: 2 });
  },
);

test("a session that was read by another store is saved as if it were new", async () => {
  await write(`{"cookie":${usual},"n":1}`);
  const session = await load(open());
  session.n = 2;
  const other = open();
  await other.set(SID, session);
  expect(JSON.parse(await inspector.get(KEY)).n).toBe(2);
  expect(other.heard).toEqual([]);
});

test("a save compares with the one before it, whose answer comes while JS is busy", async () => {
  const store = open();
  await store.set(SID, { cookie: {}, n: 0 });
  const session = await load(store);
  for (let n = 1; n <= 5; n += 1) {
    // Both in one turn of the event loop, but not in one run of JS.
    const saves = [n, -n].map(async (own) => {
      await wait(5);
      const saved = store.set(SID, Object.assign(session, { n: own }));
      const until = performance.now() + 20;
      while (own < 0 && performance.now() < until);
      await saved;
    });
    await Promise.all(saves);
    expect(JSON.parse(await inspector.get(KEY)).n).toBe(-n);
  }
  expect(store.heard).toEqual([]);
});
