"use strict";

// Sessions at rest: `encryption`, `compression` and `hashIds`, and what an attacker who can write to
// Redis cannot do.

const { execFileSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const { inspect } = require("node:util");
const v8 = require("node:v8");
const { createClient } = require("redis");
const Ioredis = require("ioredis");
const { RedisStore } = require("..");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { openInspector } = require("./support/inspector.js");

const SECRET = "a secret that nobody may ever see";
const OTHER_SECRET = Buffer.alloc(32, 7);
const ONE = { id: 1, secret: SECRET };
const TWO = { id: 2, secret: OTHER_SECRET };
const PLAIN = {};
const ENCRYPTED = { encryption: { keys: [ONE] } };
const COMPRESSED = { compression: true };
const BOTH = { encryption: { keys: [ONE] }, compression: { threshold: 100, level: 3 } };

let server;
let inspector;
let bytes;
let opened;

beforeAll(async () => {
  server = await startRedisServer();
  inspector = await openInspector(server);
  bytes = new Ioredis(server.url);
});

afterAll(async () => {
  bytes?.disconnect();
  await inspector?.close();
  await server?.stop();
});

beforeEach(async () => {
  opened = [];
  await inspector.flushAll();
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
});

async function nodeRedis() {
  const made = createClient({ url: server.url });
  made.on("error", () => {});
  opened.push(() => made.destroy());
  await made.connect();
  return made;
}

function ioredis(options) {
  const made = new Ioredis(server.url, options);
  opened.push(() => made.disconnect());
  return made;
}

/** A client that gives texts and no bytes, as a wrapper of an app's may. */
async function wrapper() {
  const client = await nodeRedis();
  return {
    get: (key) => client.get(key),
    set: (key, value, options) => client.set(key, value, options),
    expire: (key, seconds) => client.expire(key, seconds),
    del: (keys) => client.del(keys),
    mGet: (keys) => client.mGet(keys),
    scanIterator: (options) => client.scanIterator(options),
    eval: (script, options) => client.eval(script, options),
  };
}

/** How a store reaches Redis: each claim holds for all, and for any two of them together. */
const SETUPS = [
  ["url", async () => ({ url: server.url })],
  ["beside a client", async () => ({ client: await nodeRedis() })],
  ["through node-redis", async () => ({ client: await nodeRedis(), transport: "client" })],
  ["through ioredis", async () => ({ client: ioredis(), transport: "client" })],
  ["through a wrapper", async () => ({ client: await wrapper() })],
];

function makeStore(options) {
  const store = new RedisStore(options);
  opened.push(() => store.close());
  return store;
}

const url = (options) => makeStore({ url: server.url, ...options });

const inMs = (ms) => ({
  originalMaxAge: ms,
  expires: new Date(Date.now() + ms).toISOString(),
  httpOnly: true,
  path: "/",
});

const session = (more) => ({
  cookie: inMs(3_600_000),
  user: "Ada Lovelace",
  text: "naïve 😀",
  ...more,
});
const long = (more) => session({ list: "The quick brown fox. ".repeat(200), ...more });

/** A session as a request has it, so that it is saved only if its key is there. */
async function load(store, sid) {
  const data = await store.get(sid);
  return data ? store.createSession({ sessionID: sid, sessionStore: store }, data) : undefined;
}

const stored = (key) => bytes.getBuffer(key);
const shapeOf = (record) => (record[0] === 0 ? "sealed" : "plain");
const keyIdOf = async (key) => (await stored(key)).readUInt32BE(6);

function listen(store, event) {
  const heard = [];
  store.on(event, (...args) => heard.push(args));
  return heard;
}

describe.each(SETUPS)("at rest, %s", (name, where) => {
  // SET with XX is no call of connect-redis's, so a wrapper is not asked for it.
  const canRefuse = name !== "through a wrapper";

  test.each([
    ["encrypted", ENCRYPTED],
    ["compressed", COMPRESSED],
    ["both", BOTH],
  ])("a session that is %s is read as it was saved", async (_how, options) => {
    const store = makeStore({ ...(await where()), ...options });
    for (const data of [session(), long()]) {
      await store.set("a", data);
      const same = { ...data, cookie: expect.objectContaining({ originalMaxAge: 3_600_000 }) };
      expect(await store.get("a")).toEqual(same);
      expect(await store.all()).toEqual([{ ...same, id: "a" }]);
    }
  });

  test("no part of an encrypted session is in Redis, and no two saves are alike", async () => {
    const store = makeStore({ ...(await where()), ...ENCRYPTED });
    const kept = [];
    for (let n = 0; n < 2; n += 1) {
      await store.set("a", session());
      const found = (await stored("sess:a")).toString("latin1");
      const decoded = Buffer.from(found.replace(/^crs1\./, ""), "base64url").toString("latin1");
      for (const part of ["cookie", "Lovelace", '"user"', '"path"']) {
        expect(found).not.toContain(part);
        expect(decoded).not.toContain(part);
      }
      kept.push(found);
    }
    expect(kept[0]).not.toBe(kept[1]);
  });

  test("a compressed session takes less than half", async () => {
    const store = makeStore({ ...(await where()), ...COMPRESSED });
    await store.set("a", long());
    expect((await stored("sess:a")).length).toBeLessThan(JSON.stringify(long()).length / 2);
  });

  test("the true expiry is that of the key", async () => {
    if (!canRefuse) return; // Nor for PTTL.
    const store = makeStore({ ...(await where()), ...BOTH });
    await store.set("a", session({ cookie: { ...inMs(250_000), originalMaxAge: 600_000 } }));
    await bytes.pexpire("sess:a", 100_000);
    for (const found of [await store.get("a"), (await store.all())[0]]) {
      const left = Date.parse(found.cookie.expires) - Date.now();
      expect(left).toBeGreaterThan(90_000);
      expect(left).toBeLessThanOrEqual(101_000);
    }
  });

  test.each([
    [
      "strings",
      { parse: (text) => JSON.parse(text.slice(1)), stringify: (s) => `!${JSON.stringify(s)}` },
    ],
    [
      "bytes",
      {
        parse: (read) => v8.deserialize(read),
        stringify: (s) => v8.serialize(JSON.parse(JSON.stringify(s))),
      },
    ],
  ])("a serializer's %s are sealed, too", async (_kind, serializer) => {
    const at = await where();
    // A wrapper that gives texts alone cannot return bytes; sealed they are letters.
    for (const options of [ENCRYPTED, BOTH]) {
      const store = makeStore({ ...at, ...options, serializer });
      await store.set("a", long());
      expect((await stored("sess:a")).includes("quick")).toBe(false);
      expect(await store.get("a")).toMatchObject({ user: "Ada Lovelace", text: "naïve 😀" });
      expect(await store.all()).toMatchObject([{ id: "a", user: "Ada Lovelace" }]);
    }
  });

  test("a key that is replaced still reads, and the new one writes", async () => {
    const at = await where();
    const before = makeStore({ ...at, encryption: { keys: [ONE] } });
    const ready = makeStore({ ...at, encryption: { keys: [ONE, TWO] } });
    const after = makeStore({ ...at, encryption: { keys: [TWO, ONE] } });
    await before.set("a", session());
    expect(await after.get("a")).toMatchObject({ user: "Ada Lovelace" });
    await after.set("a", session({ user: "Grace" }));
    expect(await ready.get("a")).toMatchObject({ user: "Grace" });
    await expect(before.get("a")).rejects.toMatchObject({ code: "ESEALED" });
  });

  test("rewrite brings every record to the form of today, and keeps its expiry", async () => {
    const at = await where();
    const plain = url(PLAIN);
    for (let n = 0; n < 30; n += 1) await plain.set(`s${n}`, long({ n }));
    await bytes.persist("sess:s1");
    await bytes.pexpire("sess:s2", 50_000);
    await bytes.set("sess:not-json", "no session");
    const store = makeStore({ ...at, encryption: { keys: [TWO, ONE] }, compression: true });
    expect(await store.rewrite()).toBe(31);
    expect(await store.rewrite()).toBe(0);
    for (let n = 0; n < 30; n += 1) {
      expect((await stored(`sess:s${n}`)).includes("Lovelace")).toBe(false);
      expect(await store.get(`s${n}`)).toMatchObject({ n });
    }
    expect(await bytes.pttl("sess:s1")).toBe(-1);
    expect(await bytes.pttl("sess:s2")).toBeLessThanOrEqual(50_000);
    expect(await bytes.pttl("sess:s2")).toBeGreaterThan(40_000);
    expect(await bytes.pttl("sess:s3")).toBeGreaterThan(3_000_000);
    const back = makeStore({ ...at, encryption: { keys: [ONE, TWO], write: false } });
    expect(await back.rewrite()).toBe(31);
    expect(await plain.get("s4")).toMatchObject({ n: 4 });
    expect((await stored("sess:not-json")).toString()).toBe("no session");
  });

  test("rewrite leaves what does not open, and says so", async () => {
    await url({ encryption: { keys: [TWO] } }).set("a", session());
    await url(PLAIN).set("b", session());
    const before = await stored("sess:a");
    const store = makeStore({ ...(await where()), ...ENCRYPTED });
    const corrupt = listen(store, "corrupt");
    expect(await store.rewrite()).toBe(1);
    await waitUntil("the event or the move", () => corrupt.length === 1);
    expect(corrupt[0]).toMatchObject(["a", { code: "ESEALED" }]);
    expect(await stored("sess:a")).toEqual(before);
  });

  test("with hashIds no key holds a sid, and every method finds its session", async () => {
    const store = makeStore({ ...(await where()), ...ENCRYPTED, hashIds: true });
    await store.set("a", session());
    const [key] = await inspector.keys("*");
    expect(key).toBe("sess:sha256:ypeBEsobvcr6wjGzmiPcTaeG7_gUfE5yuYB3ha_uSLs");
    expect(await store.get("a")).toMatchObject({ user: "Ada Lovelace" });
    await store.touch("a", session({ cookie: inMs(90_000) }));
    expect(await bytes.pttl(key)).toBeLessThanOrEqual(90_000);
    const loaded = await load(store, "a");
    loaded.user = "Grace";
    await store.set("a", loaded);
    expect(await store.get("a")).toMatchObject({ user: "Grace" });
    await store.destroy("a");
    expect(await inspector.keys("*")).toEqual([]);
    if (!canRefuse) return;
    const discarded = listen(store, "discarded");
    await store.set("a", loaded);
    await waitUntil("the event or the move", () => discarded.length === 1);
    expect(await inspector.keys("*")).toEqual([]);
  });

  test.each([[true], ["migrate"], ["read"]])(
    "with hashIds %p a handle is for destroy, and opens nothing",
    async (hashIds) => {
      const at = await where();
      await makeStore({ ...at, hashIds: true }).set("a", session());
      const store = makeStore({ ...at, hashIds });
      const [handle] = await store.ids();
      expect(handle).toMatch(/^sha256:/);
      expect((await store.all())[0].id).toBe(handle);
      expect(await store.get(handle)).toBeNull();
      await store.touch(handle, session({ cookie: inMs(1000) }));
      expect(await bytes.pttl(`sess:${handle}`)).toBeGreaterThan(3_000_000);
      await expect(store.set(handle, session())).rejects.toThrow(TypeError);
      await store.destroy(handle);
      expect(await inspector.keys("*")).toEqual([]);
    },
  );

  test.each([
    ["migrate", PLAIN, /^sess:sha256:/],
    ["read", { hashIds: true }, /^sess:a$/],
  ])(
    "with hashIds %p a session of the other kind is read, and moved",
    async (hashIds, other, key) => {
      const at = await where();
      await url({ ...other }).set("a", session({ cookie: inMs(80_000) }));
      const store = makeStore({ ...at, ...ENCRYPTED, hashIds });
      expect(await store.get("a")).toMatchObject({ user: "Ada Lovelace" });
      await waitUntil("the event or the move", async () =>
        key.test((await inspector.keys("*"))[0]),
      );
      expect(await inspector.keys("*")).toHaveLength(1);
      const [now] = await inspector.keys("*");
      expect(await bytes.pttl(now)).toBeLessThanOrEqual(80_000);
      expect(await bytes.pttl(now)).toBeGreaterThan(60_000);
      expect((await stored(now)).includes("Lovelace")).toBe(false);
      expect(await store.get("a")).toMatchObject({ user: "Ada Lovelace" });
    },
  );

  test.each([["migrate"], ["read"]])(
    "with hashIds %p what is destroyed, touched or saved is so at both keys",
    async (hashIds) => {
      const at = await where();
      const others = url({ hashIds: hashIds === "read" });
      const store = makeStore({ ...at, hashIds });
      await others.set("a", session());
      await store.touch("a", session({ cookie: inMs(90_000) }));
      expect(await bytes.pttl((await inspector.keys("*"))[0])).toBeLessThanOrEqual(90_000);
      await store.destroy("a");
      expect(await inspector.keys("*")).toEqual([]);
      await others.set("b", session());
      const loaded = await load(store, "b");
      loaded.user = "Grace";
      await store.set("b", loaded);
      expect(await inspector.keys("*")).toHaveLength(1);
      expect(await others.get("b")).toBeNull();
      expect(await store.get("b")).toMatchObject({ user: "Grace" });
      await store.destroy("b");
      if (canRefuse) await store.set("b", loaded);
      expect(await inspector.keys("*")).toEqual([]);
      await others.set("c", session());
      await store.set("c", session({ user: "Grace" }));
      expect(await inspector.keys("*")).toHaveLength(1);
    },
  );

  test("rewrite moves plain keys to their handles", async () => {
    const plain = url(PLAIN);
    for (const sid of ["a", "b", "c"]) await plain.set(sid, session({ sid }));
    const store = makeStore({ ...(await where()), ...ENCRYPTED, hashIds: true });
    expect(await store.rewrite()).toBe(3);
    expect(await store.rewrite()).toBe(0);
    for (const sid of ["a", "b", "c"]) expect(await store.get(sid)).toMatchObject({ sid });
    expect((await store.ids()).every((id) => id.startsWith("sha256:"))).toBe(true);
    expect(await store.length()).toBe(3);
  });

  test("a closed store rejects with ECLOSED", async () => {
    const store = makeStore({ ...(await where()), ...ENCRYPTED });
    await store.set("a", session());
    await store.close();
    await expect(store.set("a", session())).rejects.toMatchObject({ code: "ECLOSED" });
    await expect(store.get("a")).rejects.toMatchObject({ code: "ECLOSED" });
    await expect(store.rewrite()).rejects.toMatchObject({ code: "ECLOSED" });
  });
});

test("what one setup writes, every other reads", async () => {
  for (const [, writes] of SETUPS) {
    const writer = makeStore({ ...(await writes()), ...BOTH });
    await writer.set("a", long());
    const isBytes = (await stored("sess:a"))[0] === 0;
    for (const [name, reads] of SETUPS) {
      const reader = makeStore({ ...(await reads()), ...BOTH });
      // A wrapper that returns texts has lost what the bytes were, and says so.
      if (isBytes && name === "through a wrapper") {
        await expect(reader.get("a")).rejects.toMatchObject({ code: "ESEALED" });
      } else expect(await reader.get("a")).toMatchObject({ user: "Ada Lovelace" });
    }
  }
});

test("a client's keyPrefix is a part of the prefix that a session is bound to", async () => {
  const through = makeStore({
    client: ioredis({ keyPrefix: "app:" }),
    transport: "client",
    ...ENCRYPTED,
  });
  const beside = makeStore({ client: ioredis({ keyPrefix: "app:" }), ...ENCRYPTED });
  const own = url({ ...ENCRYPTED, prefix: "app:sess:" });
  for (const writer of [through, beside, own]) {
    await writer.set("a", session());
    for (const reader of [through, beside, own]) {
      expect(await reader.get("a")).toMatchObject({ user: "Ada Lovelace" });
      expect(await reader.all()).toHaveLength(1);
    }
  }
  expect(await through.rewrite()).toBe(1);
  expect(await own.get("a")).toMatchObject({ user: "Ada Lovelace" });
});

test("without the options compressed sessions are read, and encrypted ones are an error", async () => {
  await url(COMPRESSED).set("a", long());
  await url(ENCRYPTED).set("b", long());
  const letters = makeStore({ client: await wrapper(), ...COMPRESSED });
  await letters.set("c", long());
  for (const [, where] of SETUPS) {
    const store = makeStore(await where());
    const corrupt = listen(store, "corrupt");
    expect(await store.get("c")).toMatchObject({ user: "Ada Lovelace" });
    await expect(store.get("b")).rejects.toMatchObject({
      code: "ESEALED",
      message: expect.stringContaining("encryption"),
    });
    const all = await store.all();
    expect(all.map(({ id }) => id)).toContain("c");
    await waitUntil("the event or the move", () =>
      corrupt.some(([sid, { code }]) => sid === "b" && code === "ESEALED"),
    );
  }
  expect(await url(PLAIN).get("a")).toMatchObject({ user: "Ada Lovelace" });
});

describe.each([
  ["encrypted", ENCRYPTED],
  ["compressed", { compression: { threshold: 0 } }],
  ["both, with hashIds", { ...BOTH, hashIds: true }],
  ["both, with hashIds in migration", { ...BOTH, hashIds: "migrate" }],
])("with concurrency, %s", (_how, options) => {
  test("requests that save one session at once keep one another's changes", async () => {
    const stores = [0, 1, 2].map(() => url({ ...options, concurrency: "merge" }));
    await url(PLAIN).set("a", long());
    if (options.hashIds === true) await stores[0].rewrite();
    const loaded = await Promise.all(stores.map((store) => load(store, "a")));
    await Promise.all(
      stores.map(async (store, n) => {
        loaded[n][`key${n}`] = n;
        await store.set("a", loaded[n]);
        loaded[n][`more${n}`] = n;
        await store.set("a", loaded[n]);
      }),
    );
    const found = await stores[0].get("a");
    expect(found).toMatchObject({ key0: 0, key1: 1, key2: 2, more0: 0, more1: 1, more2: 2 });
    expect(found.user).toBe("Ada Lovelace");
    const [key] = await inspector.keys("*");
    expect((await stored(key)).includes("Lovelace")).toBe(false);
  });

  test("a new session is saved, and then merged", async () => {
    const [one, two] = [0, 1].map(() => url({ ...options, concurrency: "merge" }));
    const made = session();
    await one.set("a", made);
    const other = await load(two, "a");
    other.theirs = true;
    await two.set("a", other);
    made.mine = true;
    await one.set("a", made);
    expect(await two.get("a")).toMatchObject({ mine: true, theirs: true });
  });

  test("detect names what was overwritten", async () => {
    const [one, two] = [0, 1].map(() => url({ ...options, concurrency: "detect" }));
    await one.set("a", session());
    const [mine, theirs] = [await load(one, "a"), await load(two, "a")];
    theirs.user = "Grace";
    await two.set("a", theirs);
    const overwritten = listen(one, "overwritten");
    mine.user = "Mary";
    await one.set("a", mine);
    await waitUntil("the event", () => overwritten.length > 0);
    expect(overwritten[0]).toEqual(["a", ["user"]]);
  });

  test("update counts every call, and stores it sealed", async () => {
    const stores = [0, 1].map(() => url(options));
    await url(PLAIN).set("a", long({ count: 0 }));
    if (options.hashIds === true) await stores[0].rewrite();
    const add = (found) => {
      found.count += 1;
    };
    const calls = Array.from({ length: 40 }, (_, n) => stores[n % 2].update("a", add));
    expect(await Promise.all(calls)).toEqual(calls.map(() => true));
    expect(await stores[0].get("a")).toMatchObject({ count: 40 });
    expect(await stores[0].update("nobody", add)).toBe(false);
    const [key] = await inspector.keys("*");
    expect(shapeOf(await stored(key))).toBe("sealed");
  });

  test("rotate gives a session a new id, and ends the old one", async () => {
    const store = url(options);
    await store.set("old", session());
    store.generate = (req) => {
      req.sessionID = "new";
      req.session = store.createSession(req, { cookie: inMs(60_000) });
    };
    const req = { sessionID: "old", sessionStore: store };
    req.session = store.createSession(req, await store.get("old"));
    expect(await store.rotate(req)).toBe(true);
    expect(await store.get("old")).toBeNull();
    expect(await store.get("new")).toMatchObject({ user: "Ada Lovelace" });
  });
});

test("reindex refuses to look for sids that are hashed", async () => {
  const store = url({ user: "user", hashIds: true });
  await expect(store.reindex()).rejects.toThrow(/^reindex: with hashIds /);
});

test.each([[false], [true], ["migrate"]])(
  "a user's sealed sessions are listed, counted and ended, with hashIds %p",
  async (hashIds) => {
    const store = url({ ...BOTH, hashIds, user: "userId" });
    for (const sid of ["a", "b"]) await store.set(sid, long({ userId: "ada" }));
    expect(await store.countOf("ada")).toBe(2);
    const listed = await store.sessionsOf("ada");
    expect(listed.map(({ id }) => id).sort()).toEqual(["a", "b"]);
    expect(listed[0].data).toMatchObject({ user: "Ada Lovelace" });
    expect(await store.destroyAllOf("ada")).toBe(2);
    expect(await store.get("a")).toBeNull();
    expect(await store.length()).toBe(0);
  },
);

test.each([[true], ["migrate"], ["read"]])(
  "a handle is for destroy in a store that knows users, too, with hashIds %p",
  async (hashIds) => {
    await url({ hashIds: true }).set("a", session({ userId: "ada" }));
    const store = url({ hashIds, user: "userId" });
    const [handle] = await store.ids();
    await store.destroy(handle);
    expect(await store.length()).toBe(0);
  },
);

test("a record that was changed in Redis is an error of a save that merges, and stays", async () => {
  const store = url({ ...ENCRYPTED, concurrency: "merge" });
  await store.set("a", session());
  const loaded = await load(store, "a");
  const changed = await stored("sess:a");
  changed[40] ^= 1;
  await bytes.set("sess:a", changed);
  loaded.user = "Grace";
  await expect(store.set("a", loaded)).rejects.toMatchObject({ code: "ESEALED" });
  await expect(store.update("a", () => {})).rejects.toMatchObject({ code: "ESEALED" });
  expect(await stored("sess:a")).toEqual(changed);
});

test("a record that is saved while rewrite reads it keeps the save", async () => {
  const plain = url(PLAIN);
  for (let n = 0; n < 200; n += 1) await plain.set(`s${n}`, session({ version: 0 }));
  const store = url(ENCRYPTED);
  const saves = (async () => {
    for (let n = 0; n < 200; n += 1) await plain.set(`s${n}`, session({ version: 1 }));
  })();
  const sweeps = (async () => {
    for (let n = 0; n < 10; n += 1) await store.rewrite();
  })();
  await Promise.all([saves, sweeps]);
  for (let n = 0; n < 200; n += 1) expect(await store.get(`s${n}`)).toMatchObject({ version: 1 });
});

test("a session that is destroyed while it is moved stays destroyed", async () => {
  const plain = url(PLAIN);
  const store = url({ hashIds: "migrate" });
  for (let n = 0; n < 300; n += 1) {
    await plain.set("a", session());
    const moved = store.rewrite();
    const read = store.get("a");
    await store.destroy("a");
    await Promise.all([moved, read]);
    // What `get` has begun to move is moved, or found gone.
    expect(await store.get("a")).toBeNull();
  }
  expect(await store.length()).toBe(0);
});

test("the test vectors of docs/format.md open", async () => {
  const document = readFileSync(path.join(__dirname, "..", "docs", "format.md"), "utf8");
  const { secrets, records } = JSON.parse(/^```json\n([\s\S]*?)^```$/m.exec(document)[1]);
  const keys = secrets.map(({ id, hex }) => ({ id, secret: Buffer.from(hex, "hex") }));
  const serializer = { parse: (text) => ({ text }), stringify: ({ text }) => text };
  expect(records).toHaveLength(8);
  for (const { key, text, stored: value } of records) {
    const prefix = key.slice(0, key.indexOf(":") + 1);
    const hashIds = key.includes("sha256:");
    const sid = hashIds ? "abc" : key.slice(prefix.length);
    const store = url({ prefix, serializer, hashIds, encryption: { keys }, compression: true });
    await bytes.set(key, "hex" in value ? Buffer.from(value.hex, "hex") : value.text);
    expect(await store.get(sid)).toEqual({ text });
  }
});

describe("who can write to Redis", () => {
  const KEY = "sess:a";
  let store;
  let sealed;

  beforeEach(async () => {
    store = url(BOTH);
    await store.set("a", session());
    sealed = await stored(KEY);
  });

  /** What `get` makes of a record, and that `all` emits the same. */
  async function attempt(record, { store: reader = store, sid = "a", prefix = "sess:" } = {}) {
    await inspector.flushAll();
    await bytes.set(prefix + sid, record);
    const corrupt = listen(reader, "corrupt");
    const result = await reader.get(sid).then(
      (found) => ({ found }),
      (error) => ({ code: error.code ?? error.name, message: error.message }),
    );
    if (result.code) {
      expect(await reader.all()).toEqual([]);
      await waitUntil("the event or the move", () => corrupt.length > 0);
      expect(corrupt[0][0]).toBe(sid);
      reader.removeAllListeners("corrupt");
      expect(result.message).not.toContain(SECRET);
    }
    return result.code ?? result.found;
  }

  test("cannot flip a bit", async () => {
    for (let bit = 0; bit < sealed.length * 8; bit += 1) {
      const flipped = Buffer.from(sealed);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      await bytes.set(KEY, flipped);
      // Without its magic it counts as plain, and is no JSON.
      const error = await store.get("a").then(
        () => undefined,
        (failed) => failed,
      );
      expect(error?.code ?? error?.name).toBe(bit < 32 ? "SyntaxError" : "ESEALED");
    }
  });

  test("cannot cut it off, or append to it", async () => {
    for (let length = 4; length < sealed.length; length += 7) {
      expect(await attempt(sealed.subarray(0, length))).toBe("ESEALED");
    }
    expect(await attempt(Buffer.concat([sealed, Buffer.from("x")]))).toBe("ESEALED");
    expect(await attempt("crs1.")).toBe("ESEALED");
    expect(await attempt("crs1.not base64url!")).toBe("ESEALED");
  });

  test("cannot move it to another session, prefix or secret", async () => {
    expect(await attempt(sealed)).toMatchObject({ user: "Ada Lovelace" });
    expect(await attempt(sealed, { sid: "b" })).toBe("ESEALED");
    const other = url({ ...BOTH, prefix: "other:" });
    expect(await attempt(sealed, { store: other, prefix: "other:" })).toBe("ESEALED");
    const another = url({ encryption: { keys: [{ id: 1, secret: OTHER_SECRET }] } });
    expect(await attempt(sealed, { store: another })).toBe("ESEALED");
  });

  test("cannot name an unknown key, version or flag", async () => {
    for (const [at, value] of [
      [4, 2],
      [4, 0],
      [5, 255],
      [9, 3],
    ]) {
      const changed = Buffer.from(sealed);
      changed[at] = value;
      expect(await attempt(changed)).toBe("ESEALED");
    }
  });

  test("cannot have 4 GB taken for a text", async () => {
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(4n << 30n);
    const frame = Buffer.concat([Buffer.from("28b52ffdc000", "hex"), size]);
    const record = Buffer.concat([Buffer.from("\0crs\x01\x04", "latin1"), frame]);
    const before = process.memoryUsage().rss;
    expect(await attempt(record)).toBe("ESEALED");
    expect(process.memoryUsage().rss - before).toBeLessThan(1 << 30);
  });

  test("cannot put a plain session in its place, once plain is refused", async () => {
    const plain = JSON.stringify(session({ user: "mallory" }));
    expect(await attempt(plain)).toMatchObject({ user: "mallory" });
    await url(COMPRESSED).set("c", long({ user: "mallory" }));
    const compressed = await stored("sess:c");
    const wrapped = Buffer.concat([Buffer.from("\0crs\x01\0", "latin1"), Buffer.from(plain)]);
    for (const [, where] of SETUPS) {
      const strict = makeStore({
        ...(await where()),
        encryption: { keys: [ONE], plain: "refuse" },
        compression: true,
      });
      await strict.set("a", session());
      expect(await strict.get("a")).toMatchObject({ user: "Ada Lovelace" });
      const letters = `crs1.${wrapped.toString("base64url")}`;
      for (const record of [plain, compressed, wrapped, letters]) {
        expect(await attempt(record, { store: strict })).toBe("ESEALED");
      }
    }
  });
});

describe("a secret", () => {
  test("is in no error, and not in what is printed of a store", async () => {
    for (const [, where] of SETUPS) {
      const at = await where();
      const store = makeStore({ ...at, ...ENCRYPTED });
      await store.set("a", session());
      const shown = inspect({ ...store, client: undefined }, { depth: 12, showHidden: true });
      expect(shown).not.toContain(SECRET);
      expect(inspect(store, { depth: 1 })).not.toContain(SECRET);
    }
  });

  test("is in no heap snapshot once the app has let go of it", () => {
    const program = `
      const v8 = require("node:v8");
      const { RedisStore } = require(${JSON.stringify(require.resolve(".."))});
      const secret = (of) => ["only", "here", "and", "nowhere", of, "in", "memory"].join("-");
      const open = (of) => new RedisStore({
        url: ${JSON.stringify(server.url)},
        encryption: { keys: [{ id: 1, secret: secret(of) }] },
      });
      const snapshot = async () => {
        let text = "";
        for await (const chunk of v8.getHeapSnapshot()) text += chunk;
        return text;
      };
      (async () => {
        const kept = secret("kept");
        const store = open("elsewhere");
        await store.set("a", { cookie: {} });
        gc();
        const text = await snapshot();
        await store.close();
        console.log(text.includes(kept), text.includes(secret("elsewhere")));
      })();`;
    const run = ["--expose-gc", "-e", program];
    // The first shows that the snapshot would have it.
    expect(execFileSync(process.execPath, run, { encoding: "utf8" })).toBe("true false\n");
  });
});

describe("options that cannot be used are a TypeError", () => {
  const key = (more) => ({ encryption: { keys: [{ ...ONE, ...more }] } });
  test.each([
    ["encryption", { encryption: true }, /encryption must be an object { keys }, got true/],
    ["no keys", { encryption: {} }, /encryption\.keys must be a list/],
    ["an empty list", { encryption: { keys: [] } }, /encryption\.keys must be a list/],
    ["a bare secret", { encryption: { keys: [SECRET] } }, /keys\[0\] must be an object/],
    ["a short secret", key({ secret: "x".repeat(31) }), /32 to 1024 bytes, got 31 bytes/],
    ["a short Buffer", key({ secret: Buffer.alloc(31) }), /32 to 1024 bytes, got 31 bytes/],
    ["a long secret", key({ secret: "x".repeat(1025) }), /32 to 1024 bytes, got 1025 bytes/],
    ["no secret", key({ secret: undefined }), /secret must be .*, got nothing/],
    ["a secret of another type", key({ secret: { of: SECRET } }), /got something else/],
    ["no id", key({ id: undefined }), /id must be a whole number from 0 to 4294967295/],
    ["a word as id", key({ id: "one" }), /id must be a whole number/],
    ["half an id", key({ id: 1.5 }), /id must be a whole number/],
    ["a negative id", key({ id: -1 }), /id must be a whole number/],
    ["a large id", key({ id: 2 ** 32 }), /id must be a whole number/],
    ["an id twice", { encryption: { keys: [ONE, { ...TWO, id: 1 }] } }, /the id 1 twice/],
    ["a secret twice", { encryption: { keys: [ONE, { ...ONE, id: 2 }] } }, /one secret twice/],
    ["a slip in a key", key({ scret: "" }), /encryption\.keys knows no scret/],
    ["a slip", { encryption: { key: [] } }, /encryption knows no key; it takes keys/],
    ["write", { encryption: { keys: [ONE], write: 1 } }, /encryption\.write must be true or false/],
    ["plain", { encryption: { keys: [ONE], plain: "no" } }, /plain must be "read" or "refuse"/],
    [
      "plain against write",
      { encryption: { keys: [ONE], plain: "refuse", write: false } },
      /would not read what it writes/,
    ],
    ["compression", { compression: "zstd" }, /compression must be true, false or an object/],
    [
      "a level",
      { compression: { level: 99 } },
      /level must be a whole number from 1 to 22, got 99/,
    ],
    ["level 0", { compression: { level: 0 } }, /level must be a whole number from 1 to 22/],
    ["a threshold", { compression: { threshold: -1 } }, /threshold must be a whole number from 0/],
    ["a slip in compression", { compression: { treshold: 1 } }, /compression knows no treshold/],
    ["hashIds", { hashIds: "yes" }, /hashIds must be true, false, "migrate" or "read", got "yes"/],
    ["hashIds by number", { hashIds: 1 }, /hashIds must be .* got number/],
  ])("%s", (_name, options, message) => {
    const make = () => new RedisStore({ url: server.url, ...options });
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
    try {
      make();
    } catch (error) {
      expect(error.code).toBe("ERR_INVALID_ARG_VALUE");
      expect(error.message).not.toContain(SECRET);
    }
  });

  test("what a getter throws is the app's own error", () => {
    const encryption = {
      get keys() {
        throw new RangeError("mine");
      },
    };
    expect(() => new RedisStore({ url: server.url, encryption })).toThrow(RangeError);
  });
});

test("false, null and undefined count as left out", async () => {
  const store = url({ encryption: null, compression: false, hashIds: false });
  const data = session();
  await store.set("a", data);
  expect((await stored("sess:a")).toString()).toBe(JSON.stringify(data));
  expect(await keyIdOf("sess:a").catch(() => 0)).not.toBe(1);
});
