"use strict";

// What each call of the store does, run against every setup (see setups.js), and against connect-redis:
// a `same` test must hold for both, an `ours` test is a deliberate difference.

const { AsyncLocalStorage } = require("node:async_hooks");

/** Describes one setup; after its name, a test lists what the setup must support. */
function describeBehaviour(setup) {
  if (setup.leftOut) {
    test.skip(`[left out: ${setup.leftOut}]`, () => {});
    return;
  }
  let environment;
  let inspector;

  beforeAll(async () => {
    environment = await setup.start();
    ({ inspector } = environment);
  });

  afterAll(async () => {
    await inspector?.close();
    await environment?.stop();
  });

  const claim = (name, needs, body) => {
    const missing = needs.filter((need) => setup.unsupported.includes(need));
    (missing.length === 0 ? test : test.skip)(name, body);
  };
  const same = (name, ...rest) => claim(name, rest.slice(0, -1), rest.at(-1));
  const ours = (name, ...rest) => claim(name, ["ours", ...rest.slice(0, -1)], rest.at(-1));
  let opened;

  /** Opens a store of this setup, closed after the test. */
  async function make(options, Store = setup.Store) {
    const { options: own, close } = await setup.open(environment);
    const store = new Store({ ...own, ...options });
    opened.push(async () => {
      await store.close?.();
      await close?.();
    });
    return store;
  }

  beforeEach(async () => {
    opened = [];
    await inspector.flushDb();
  });

  afterEach(async () => {
    for (const close of opened) await close();
  });

  /** Calls with a callback; resolves to the arguments it got. */
  function calledBack(call) {
    return new Promise((resolve) => call((...args) => resolve(args)));
  }

  /** Counts the turns of the event loop; `stop` returns how many there were. */
  function countTurns() {
    let turns = 0;
    const count = () => {
      turns += 1;
      counting = setImmediate(count);
    };
    let counting = setImmediate(count);
    return {
      stop() {
        clearImmediate(counting);
        return turns;
      },
    };
  }

  if (setup.transport) {
    test(`its transport is ${setup.transport}`, async () => {
      const store = await make();
      await store.set("a", { n: 1 });
      expect(store.transport).toBe(setup.transport);
    });
  }

  const near = async (key, ms) => {
    const ttl = await inspector.pTTL(key);
    expect(ttl).toBeLessThanOrEqual(ms);
    expect(ttl).toBeGreaterThan(ms - 5_000);
  };

  const inMs = (ms) => ({
    cookie: { originalMaxAge: ms, expires: new Date(Date.now() + ms), path: "/" },
  });

  describe("get, set, destroy", () => {
    same("a session is read as JSON returns it", async () => {
      const store = await make();
      const session = {
        user: "Ada",
        deep: { list: [1, -0, 1e300, null, true, { "": 0 }], date: new Date(0) },
        text: "ascii, é, 日本, 👩‍🚀, \u0000, \u2028, lone \ud800",
        2: "number keys first",
        undefined: undefined,
        toJSON: undefined,
      };
      await store.set("a", session);
      const read = await store.get("a");
      expect(read).toEqual(JSON.parse(JSON.stringify(session)));
      expect(Object.keys(read)).toEqual(Object.keys(JSON.parse(JSON.stringify(session))));
    });

    same("what is stored is the JSON, at prefix + sid", async () => {
      const store = await make({ prefix: "p:" });
      const session = { b: 1, a: [2], ...inMs(60_000) };
      await store.set("sid", session);
      expect(await inspector.get("p:sid")).toBe(JSON.stringify(session));
    });

    same("the default prefix is sess:, and an empty one is allowed", async () => {
      await (await make()).set("a", { n: 1 });
      await (await make({ prefix: null })).set("b", { n: 1 });
      await (await make({ prefix: "" })).set("c", { n: 1 });
      expect((await inspector.keys("*")).sort()).toEqual(["c", "sess:a", "sess:b"]);
    });

    same("a missing session is null", async () => {
      const store = await make();
      expect(await store.get("missing")).toBeNull();
      expect(await store.get("")).toBeNull();
      expect(await calledBack((cb) => store.get("missing", cb))).toEqual([null, null]);
    });

    same("an empty value is no session", async () => {
      const store = await make();
      await inspector.set("sess:a", "");
      expect(await store.get("a")).toBeNull();
    });

    same("set, touch, destroy and clear resolve to null", async () => {
      const store = await make();
      const session = inMs(60_000);
      for (const call of [
        (cb) => store.set("a", session, cb),
        (cb) => store.touch("a", session, cb),
        (cb) => store.destroy("a", cb),
        (cb) => store.clear(cb),
      ]) {
        expect(await call()).toBeNull();
        expect(await calledBack(call)).toEqual([null, null]);
      }
    });

    same("a call with a callback also returns a promise of what the callback returns", async () => {
      const store = await make();
      await store.set("a", { n: 1 });
      expect(await store.get("a", (error, session) => [error, session.n])).toEqual([null, 1]);
    });

    same(
      "an error goes to the callback, and the promise does not reject",
      "wrongtype",
      async () => {
        const store = await make();
        await inspector.lPush("sess:list", "x");
        let got;
        const returned = await store.get("list", (...args) => {
          got = args;
          return "returned";
        });
        expect(returned).toBe("returned");
        expect(got).toHaveLength(2);
        expect(got[0]).toBeInstanceOf(Error);
        expect(got[1]).toBeNull();
      },
    );

    same("a callback that throws is called again, with its own error", async () => {
      const store = await make();
      const thrown = new Error("mine");
      for (const call of [
        (cb) => store.get("a", cb),
        (cb) => store.set("a", { n: 1 }, cb),
        (cb) => store.touch("a", { n: 1 }, cb),
        (cb) => store.destroy("a", cb),
        (cb) => store.length(cb),
        (cb) => store.ids(cb),
        (cb) => store.all(cb),
        (cb) => store.clear(cb),
      ]) {
        const seen = [];
        const returned = await call((error) => {
          seen.push(error);
          if (error === null) throw thrown;
          return "lives";
        });
        expect(seen).toEqual([null, thrown]);
        expect(returned).toBe("lives");
      }
    });

    same("a callback that throws over its own error, too, rejects the promise", async () => {
      const store = await make();
      const thrown = new Error("mine");
      const callback = jest.fn(() => {
        throw thrown;
      });
      await expect(store.get("a", callback)).rejects.toBe(thrown);
      await expect(store.set("a", {}, callback)).rejects.toBe(thrown);
      expect(callback).toHaveBeenCalledTimes(4);
    });

    same("the async context of a call is that of its callback", async () => {
      const store = await make();
      const storage = new AsyncLocalStorage();
      const seen = await Promise.all(
        [1, 2, 3].map((n) =>
          storage.run(n, () => calledBack((cb) => store.get("a", () => cb(storage.getStore())))),
        ),
      );
      expect(seen).toEqual([[1], [2], [3]]);
    });

    same("first calls at the same time each keep their own async context, everywhere", async () => {
      const storage = new AsyncLocalStorage();
      const seen = [];
      const note = (what) => seen.push([what, storage.getStore()]);
      const store = await make({
        serializer: {
          parse: (text) => {
            note("parse");
            return JSON.parse(text);
          },
          stringify: (session) => {
            note("stringify");
            return JSON.stringify(session);
          },
        },
        ttl() {
          note("ttl");
          return 60;
        },
      });
      const tenants = ["a", "b", "c"];
      await inspector.set("sess:a", "{}");
      const inContext = (call) =>
        Promise.all(tenants.map((tenant) => storage.run(tenant, () => call(tenant))));
      await inContext((tenant) =>
        calledBack((cb) =>
          store.get("a", () => {
            note("get");
            cb(tenant);
          }),
        ),
      );
      await inContext(async (tenant) => {
        await store.set(tenant, { tenant });
        await store.touch(tenant, { tenant });
        await store.get(tenant);
      });
      for (const what of ["parse", "get", "stringify", "ttl"]) {
        const contexts = seen.filter(([which]) => which === what).map(([, context]) => context);
        expect(contexts.sort()).toEqual(
          tenants.flatMap((tenant) => Array(contexts.length / 3).fill(tenant)),
        );
      }
    });

    ours("discarded and corrupt are emitted in the async context of the call", "xx", async () => {
      const storage = new AsyncLocalStorage();
      const store = await make();
      const seen = [];
      for (const event of ["discarded", "corrupt"]) {
        store.on(event, () => seen.push([event, storage.getStore()]));
      }
      await store.set("a", { cookie: {} });
      const session = await new Promise((resolve) => store.load("a", (_error, s) => resolve(s)));
      await store.destroy("a");
      await inspector.set("sess:bad", "{");
      await storage.run("saves", () => store.set("a", session));
      await storage.run("lists", () => store.all());
      await new Promise(setImmediate);
      expect(seen).toEqual([
        ["discarded", "saves"],
        ["corrupt", "lists"],
      ]);
    });

    ours(
      "a serializer that returns bytes gets the same bytes, in get and in all",
      "bytes",
      async () => {
        const { gzipSync, gunzipSync } = require("node:zlib");
        const v8 = require("node:v8");
        const seen = [];
        const noted = (read) => {
          seen.push(typeof read === "string" ? "text" : Buffer.isBuffer(read) && "bytes");
          return read;
        };
        const serializers = {
          gzip: {
            stringify: (session) => gzipSync(JSON.stringify(session)),
            parse: (read) => JSON.parse(gunzipSync(noted(read))),
          },
          v8: { stringify: v8.serialize, parse: (read) => v8.deserialize(noted(read)) },
          bytes: {
            stringify: () => Buffer.from([0xff, 0, 0xc3, 0x28, 0xe2, 0x82]),
            parse: (read) => ({ user: noted(read).toString("hex"), n: [1, "é", null] }),
          },
          async: {
            stringify: (session) => gzipSync(JSON.stringify(session)),
            parse: async (read) => JSON.parse(gunzipSync(noted(read))),
          },
        };
        for (const [name, serializer] of Object.entries(serializers)) {
          const store = await make({ serializer, prefix: `${name}:` });
          const session = {
            user: name === "bytes" ? "ff00c328e282" : "Ada",
            n: [1, "é", null],
          };
          await store.set("a", session);
          expect(await store.get("a")).toEqual(session);
          expect(await store.all()).toEqual([{ ...session, id: "a" }]);
        }
        expect(seen).toEqual(Array(8).fill("bytes"));
      },
    );

    ours("bytes may be any Uint8Array, and parse may return a frozen object", "bytes", async () => {
      const store = await make({
        serializer: {
          stringify: (session) => Uint8Array.from([0xff, ...Buffer.from(JSON.stringify(session))]),
          parse(read) {
            const session = JSON.parse(read.subarray(1));
            Object.freeze(session.cookie);
            return Object.freeze(session);
          },
        },
      });
      const session = { n: 1, ...inMs(60_000) };
      await store.set("a", session);
      expect(await store.get("a")).toMatchObject({ n: 1 });
      expect(await store.all()).toMatchObject([{ n: 1, id: "a" }]);
    });

    same("a serializer that returns text gets text", async () => {
      const read = [];
      const serializer = {
        stringify: (session) => Buffer.from(`größer 😀 ${JSON.stringify(session)}`),
        parse: (text) => {
          read.push(text);
          return JSON.parse(text.slice(text.indexOf("{")));
        },
      };
      const store = await make({ serializer });
      await store.set("a", { n: 1 });
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
      expect(read).toEqual(Array(2).fill('größer 😀 {"n":1}'));
    });

    same("invalid UTF-8 in a JSON text is replaced, as a client does", "binary", async () => {
      const store = await make();
      await inspector.set("sess:a", Buffer.from("7b2278223a22ff61227d", "hex"));
      expect(await store.get("a")).toEqual({ x: "\ufffda" });
      expect(await store.all()).toEqual([{ x: "\ufffda", id: "a" }]);
    });

    same("bad JSON rejects", async () => {
      const store = await make();
      await inspector.set("sess:a", "{bad");
      await expect(store.get("a")).rejects.toThrow(SyntaxError);
      expect((await calledBack((cb) => store.get("a", cb)))[0].name).toBe("SyntaxError");
    });

    same("a session that cannot be serialised rejects, and nothing is lost", async () => {
      const store = await make();
      await store.set("a", { n: 1 });
      const circular = {};
      circular.self = circular;
      const throwing = {
        toJSON() {
          throw new RangeError("mine");
        },
      };
      await expect(store.set("a", circular)).rejects.toThrow(TypeError);
      await expect(store.set("a", { big: 1n })).rejects.toThrow(TypeError);
      await expect(store.set("a", throwing)).rejects.toThrow("mine");
      await expect(store.set("a", undefined)).rejects.toThrow(TypeError);
      expect(await store.get("a")).toEqual({ n: 1 });
    });

    same("sids are converted to strings", async () => {
      const store = await make();
      await store.set(undefined, { n: 1 });
      await store.set(5, { n: 2 });
      await store.set("", { n: 3 });
      expect((await inspector.keys("*")).sort()).toEqual(["sess:", "sess:5", "sess:undefined"]);
      expect(await store.get(5)).toEqual({ n: 2 });
      expect(await store.get("")).toEqual({ n: 3 });
    });

    same("a sid may contain any character", "binary", async () => {
      const store = await make();
      const sids = ["a b", "a\r\nDEL b\r\n", "*?[a]\\", "\u0000", "日本", "x".repeat(5000)];
      for (const sid of sids) await store.set(sid, { sid });
      for (const sid of sids) expect(await store.get(sid)).toEqual({ sid });
      expect((await store.ids()).sort()).toEqual([...sids].sort());
      for (const sid of sids) await store.destroy(sid);
      expect(await inspector.dbSize()).toBe(0);
    });

    same("a payload may be 10 MB of any Unicode", async () => {
      const store = await make();
      for (const text of ["x".repeat(10_000_000), "é日👩".repeat(1_000_000)]) {
        await store.set("a", { text });
        expect((await store.get("a")).text === text).toBe(true);
      }
    });

    same("__proto__ in a payload is an own property and pollutes nothing", async () => {
      const store = await make();
      await inspector.set("sess:a", '{"__proto__":{"polluted":true}}');
      const session = await store.get("a");
      expect(Object.hasOwn(session, "__proto__")).toBe(true);
      expect({}.polluted).toBeUndefined();
      expect(session.polluted).toBeUndefined();
    });

    same("a key of another type rejects, and stays", "wrongtype", async () => {
      const store = await make();
      await inspector.lPush("sess:a", "x");
      await expect(store.get("a")).rejects.toThrow("WRONGTYPE");
      expect(await inspector.lLen("sess:a")).toBe(1);
    });

    same("calls made together are carried out in order", "order", async () => {
      const store = await make();
      const answers = await Promise.all([
        store.set("a", { n: 1 }),
        store.get("a"),
        store.set("a", { n: 2 }),
        store.get("a"),
        store.destroy("a"),
        store.get("a"),
      ]);
      expect(answers).toEqual([null, { n: 1 }, null, { n: 2 }, null, null]);
    });

    ours("many replies at once do not block the event loop", "turns", async () => {
      const store = await make();
      await store.set("a", { list: Array.from({ length: 20_000 }, (_, n) => `item ${n}`) });
      const turns = countTurns();
      await Promise.all(Array.from({ length: 100 }, () => store.get("a")));
      // 100 × 300 kB to parse: far more than the work of one turn.
      expect(turns.stop()).toBeGreaterThan(5);
    });

    same("a thousand calls at once each get their own reply", async () => {
      const store = await make();
      const sids = Array.from({ length: 1000 }, (_, n) => `s${n}`);
      await Promise.all(sids.map((sid, n) => store.set(sid, { n })));
      const sessions = await Promise.all(sids.map((sid) => store.get(sid)));
      expect(sessions.map(({ n }) => n)).toEqual(sids.map((_, n) => n));
    });
  });

  describe("an app's serializer", () => {
    same("is called as a method, with the session and with the text", async () => {
      const serializer = {
        mark: "<",
        stringify(session) {
          return this.mark + JSON.stringify(session);
        },
        parse(text) {
          return JSON.parse(text.slice(this.mark.length));
        },
      };
      const store = await make({ serializer });
      await store.set("a", { n: 1 });
      expect(await inspector.get("sess:a")).toBe('<{"n":1}');
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
    });

    same("may parse asynchronously and store a Buffer", async () => {
      const serializer = {
        stringify: (session) => Buffer.from(JSON.stringify(session)),
        parse: async (text) => JSON.parse(text),
      };
      const store = await make({ serializer });
      await store.set("a", { n: 1 });
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(await calledBack((cb) => store.get("a", cb))).toEqual([null, { n: 1 }]);
    });

    ours("that parses asynchronously also works in all()", async () => {
      const corrupt = jest.fn();
      const serializer = {
        stringify: JSON.stringify,
        parse: async (text) => JSON.parse(text),
      };
      const store = await make({ serializer });
      store.on("corrupt", corrupt);
      await store.set("a", { n: 1 });
      await inspector.set("sess:bad", "{");
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
      await new Promise(setImmediate);
      expect(corrupt).toHaveBeenCalledWith("bad", expect.any(SyntaxError));
    });

    same("runs in the async context of its caller", async () => {
      const storage = new AsyncLocalStorage();
      const seen = [];
      const serializer = {
        stringify(session) {
          seen.push(storage.getStore());
          return JSON.stringify(session);
        },
        parse(text) {
          seen.push(storage.getStore());
          return JSON.parse(text);
        },
      };
      const store = await make({ serializer });
      await storage.run("set", () => store.set("a", { n: 1 }));
      await storage.run("get", () => store.get("a"));
      await storage.run("callback", () => calledBack((cb) => store.get("a", cb)));
      await storage.run("all", () => store.all());
      expect(seen).toEqual(["set", "get", "callback", "all"]);
    });

    ours("that stringifies asynchronously rejects, and nothing is lost", async () => {
      const serializer = { parse: JSON.parse, stringify: async () => "text" };
      const store = await make({ serializer });
      await inspector.set("sess:a", "{}");
      const error = await store.set("a", {}).catch((thrown) => thrown);
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toContain("stringify must return a string or a Buffer, got a Promise");
      expect(await inspector.get("sess:a")).toBe("{}");
    });

    ours("that parses a record to a value that is no object is left out of all()", async () => {
      const corrupt = jest.fn();
      const serializer = { stringify: JSON.stringify, parse: (text) => JSON.parse(text) };
      const store = await make({ serializer });
      store.on("corrupt", corrupt);
      for (const text of ["5", '"x"', "true", "0", "null", "{"]) {
        await inspector.set(`sess:${text}`, text);
      }
      await store.set("a", { n: 1 });
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
      await new Promise(setImmediate);
      expect(corrupt).toHaveBeenCalledTimes(6);
      for (const [, error] of corrupt.mock.calls) expect(error).toBeInstanceOf(Error);
    });

    same("that throws rejects", async () => {
      const fail = () => {
        throw new Error("mine");
      };
      const store = await make({ serializer: { parse: fail, stringify: fail } });
      await inspector.set("sess:a", "x");
      await expect(store.get("a")).rejects.toThrow("mine");
      await expect(store.set("a", {})).rejects.toThrow("mine");
      expect(await inspector.get("sess:a")).toBe("x");
    });

    ours(
      "gets the true expiry in the parsed object, in the type that the object has",
      "fresh",
      async () => {
        for (const [revive, type] of [
          [(expires) => expires, String],
          [(expires) => new Date(expires), Date],
          [(expires) => Date.parse(expires), Number],
        ]) {
          const serializer = {
            stringify: JSON.stringify,
            parse(text) {
              const session = JSON.parse(text);
              session.cookie.expires = revive(session.cookie.expires);
              return session;
            },
          };
          const store = await make({ serializer });
          await store.set("a", inMs(60_000));
          await store.touch("a", inMs(600_000));
          const { cookie } = await store.get("a");
          expect(Object(cookie.expires)).toBeInstanceOf(type);
          expect(new Date(cookie.expires) - Date.now()).toBeGreaterThan(590_000);
          expect(cookie.originalMaxAge).toBe(60_000);
        }
      },
    );
  });

  describe("time to live", () => {
    same("follows cookie.expires: a Date, an ISO string or a number", async () => {
      const store = await make();
      const at = Date.now() + 100_000;
      for (const expires of [new Date(at), new Date(at).toISOString(), at]) {
        await store.set("a", { cookie: { expires } });
        await near("sess:a", 100_000);
        await store.touch("a", { cookie: { expires: new Date(Date.now() + 50_000) } });
        await near("sess:a", 50_000);
      }
    });

    same("follows any date that Date can read", async () => {
      const store = await make();
      await store.set("a", { cookie: { expires: new Date(Date.now() + 100_000).toUTCString() } });
      await near("sess:a", 100_000);
      const at = Date.now() + 50_000;
      await store.set("a", { cookie: { expires: { valueOf: () => at } } });
      await near("sess:a", 50_000);
    });

    ours("is kept to the millisecond", "ms", async () => {
      const store = await make();
      await store.set("a", inMs(700));
      const ttl = await inspector.pTTL("sess:a");
      expect(ttl).toBeLessThanOrEqual(700);
      expect(ttl).toBeGreaterThan(0);
      await store.touch("a", inMs(1500));
      expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(1500);
    });

    same("is a day if neither cookie nor option sets it", async () => {
      for (const ttl of [undefined, 0, Number.NaN, null]) {
        const store = await make({ ttl });
        expect(store.ttl).toBe(86_400);
        for (const session of [
          {},
          { cookie: {} },
          { cookie: null },
          { cookie: { expires: null } },
          { cookie: { expires: "" } },
          { cookie: { expires: 0 } },
          { cookie: { expires: Number.NaN } },
        ]) {
          await store.set("a", session);
          await near("sess:a", 86_400_000);
        }
      }
    });

    same("is the ttl option, in seconds, and touch sets it again", async () => {
      const store = await make({ ttl: 100 });
      await store.set("a", { n: 1 });
      await near("sess:a", 100_000);
      await inspector.pExpire("sess:a", 20_000);
      await store.touch("a", { n: 1 });
      await near("sess:a", 100_000);
    });

    same("is what a ttl function returns, before the cookie, with the store as this", async () => {
      const seen = [];
      const store = await make({
        ttl(session) {
          seen.push([this, session]);
          return session.seconds;
        },
      });
      const session = { seconds: 50, ...inMs(1_000_000) };
      await store.set("a", session);
      await near("sess:a", 50_000);
      await store.touch("a", { seconds: 30 });
      await near("sess:a", 30_000);
      expect(seen).toHaveLength(2);
      expect(seen[0][0] === store).toBe(true);
      expect(seen[0][1] === session).toBe(true);
    });

    ours("may be a numeric string or a bigint, and a fraction is rounded up", async () => {
      for (const [ttl, seconds] of [
        ["100", 100],
        [100n, 100],
        [99.1, 100],
        [0.5, 1],
      ]) {
        const store = await make({ ttl });
        await store.set("a", {});
        await near("sess:a", seconds * 1000);
      }
    });

    same("that has passed deletes the session, in set and in touch", async () => {
      const past = { cookie: { expires: new Date(Date.now() - 1000) } };
      for (const [options, session] of [
        [{}, past],
        [{ ttl: -1 }, {}],
        [{ ttl: () => 0 }, {}],
        [{ disableTTL: true }, past],
      ]) {
        const store = await make(options);
        await inspector.set("sess:a", "{}");
        expect(await store.set("a", session)).toBeNull();
        expect(await inspector.exists("sess:a")).toBe(0);
        await inspector.set("sess:a", "{}");
        expect(await store.touch("a", session)).toBeNull();
        expect(await inspector.exists("sess:a")).toBe(options.disableTTL ? 1 : 0);
      }
    });

    same("is not set with disableTTL, and touch does nothing", async () => {
      const store = await make({ disableTTL: true });
      await store.set("a", inMs(10_000));
      expect(await inspector.ttl("sess:a")).toBe(-1);
      expect(await store.touch("a", inMs(10_000))).toBeNull();
      expect(await inspector.ttl("sess:a")).toBe(-1);
    });

    same("is not changed by touch with disableTouch", async () => {
      const store = await make({ disableTouch: true });
      await store.set("a", inMs(10_000));
      expect(await store.touch("a", inMs(100_000))).toBeNull();
      expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(10_000);
    });

    same("of a missing session: touch neither fails nor creates a session", async () => {
      const store = await make();
      expect(await store.touch("missing", inMs(10_000))).toBeNull();
      expect(await inspector.dbSize()).toBe(0);
    });

    ours("that is invalid rejects with a TypeError; nothing is deleted", async () => {
      const bad = [
        [{ ttl: () => Number.NaN }, {}, "NaN"],
        [{ ttl: () => undefined }, {}, "undefined"],
        [{ ttl: () => null }, {}, "null"],
        [{ ttl: () => "soon" }, {}, '"soon"'],
        [{ ttl: async () => 5 }, {}, "a Promise"],
        [{ ttl: () => ({}) }, {}, "an object"],
        [{}, { cookie: { expires: new Date(Number.NaN) } }, "an invalid Date"],
        [{}, { cookie: { expires: "soon" } }, '"soon"'],
        [{}, { cookie: { expires: true } }, "true"],
      ];
      for (const [options, session, named] of bad) {
        const store = await make(options);
        await inspector.set("sess:a", "{}");
        for (const method of ["set", "touch"]) {
          const error = await store[method]("a", session).catch((thrown) => thrown);
          expect(error).toBeInstanceOf(TypeError);
          expect(error.message).toContain(`got ${named}`);
          expect(error.code).toBe("ERR_INVALID_ARG_VALUE");
          expect((await calledBack((cb) => store[method]("a", session, cb)))[0]).toBeInstanceOf(
            TypeError,
          );
        }
        expect(await inspector.get("sess:a")).toBe("{}");
        expect(await inspector.ttl("sess:a")).toBe(-1);
      }
    });

    ours("function that throws goes to the callback", async () => {
      const thrown = new Error("mine");
      const store = await make({
        ttl() {
          throw thrown;
        },
      });
      for (const method of ["set", "touch"]) {
        await expect(store[method]("a", {})).rejects.toBe(thrown);
        expect(await calledBack((cb) => store[method]("a", {}, cb))).toEqual([thrown, null]);
      }
    });

    ours("of Infinity never expires", "persist", async () => {
      const store = await make({ ttl: Number.POSITIVE_INFINITY });
      await store.set("a", {});
      expect(await inspector.ttl("sess:a")).toBe(-1);
      await inspector.expire("sess:a", 10);
      await store.touch("a", {});
      expect(await inspector.ttl("sess:a")).toBe(-1);
    });

    ours("that is too large for Redis rejects, and nothing is deleted", "strict", async () => {
      const store = await make({ ttl: 1e300 });
      await inspector.set("sess:a", "{}");
      await expect(store.set("a", {})).rejects.toThrow("invalid expire time");
      expect(await inspector.get("sess:a")).toBe("{}");
    });
  });

  describe("true expiry", () => {
    ours("a touched session is read with its key's expiry", "fresh", async () => {
      const store = await make();
      await store.set("a", { n: 1, ...inMs(10_000) });
      await store.touch("a", inMs(500_000));
      const read = await store.get("a");
      const left = Date.parse(read.cookie.expires) - Date.now();
      expect(left).toBeGreaterThan(490_000);
      expect(left).toBeLessThanOrEqual(500_000);
      expect(read).toEqual({
        n: 1,
        cookie: { originalMaxAge: 10_000, expires: expect.stringMatching(/Z$/), path: "/" },
      });
      const [inAll] = await store.all();
      const apart = Date.parse(inAll.cookie.expires) - Date.parse(read.cookie.expires);
      expect(Math.abs(apart)).toBeLessThan(1_000);
    });

    ours("a session past half of its cookie's time, also through a client", "pttl", async () => {
      const store = await make();
      for (const stale of [
        new Date(Date.now() - 1000),
        new Date(Date.now() + 4_000),
        Date.now() + 4_000,
      ]) {
        const session = { n: 1, cookie: { originalMaxAge: 10_000, expires: stale } };
        await inspector.set("sess:a", JSON.stringify(session));
        await inspector.expire("sess:a", 500);
        const { cookie } = await store.get("a");
        const left = Number(new Date(cookie.expires)) - Date.now();
        expect(left).toBeGreaterThan(490_000);
        expect(left).toBeLessThanOrEqual(500_000);
        expect(typeof cookie.expires).toBe(stale instanceof Date ? "string" : "number");
        expect(cookie.originalMaxAge).toBe(10_000);
      }
    });

    ours("does not change the stored session", async () => {
      const store = await make();
      const session = inMs(10_000);
      await store.set("a", session);
      await store.touch("a", inMs(500_000));
      await store.get("a");
      expect(await inspector.get("sess:a")).toBe(JSON.stringify(session));
    });

    same("a session with an expiry other than its cookie's is read as stored", async () => {
      const expires = new Date(Date.now() + 60_000).toISOString();
      for (const [options, cookie] of [
        [{}, { originalMaxAge: null, expires }],
        [{}, { expires }],
        [{ ttl: () => 1000 }, { originalMaxAge: 5, expires }],
        [{ disableTTL: true }, { originalMaxAge: 5, expires }],
      ]) {
        const store = await make(options);
        await store.set("a", { cookie });
        await store.touch("a", inMs(500_000));
        expect(await store.get("a")).toEqual({ cookie });
        expect(await store.all()).toEqual([{ cookie, id: "a" }]);
      }
    });

    ours("is computed by the app's clock", "clock", async () => {
      const store = await make();
      jest.useFakeTimers({ now: new Date("2030-01-01T00:00:00Z"), doNotFake: REAL_TIMERS });
      try {
        await store.set("a", inMs(60_000));
        expect(await inspector.pTTL("sess:a")).toBeLessThanOrEqual(60_000);
        const { cookie } = await store.get("a");
        expect(cookie.expires.slice(0, 14)).toMatch(/^2030-01-01T00:/);
      } finally {
        jest.useRealTimers();
      }
    });
  });

  describe("bulk calls", () => {
    const fill = async (store, count) => {
      const sids = Array.from({ length: count }, (_, n) => `s${n}`);
      // In chunks: with a client's pool on a busy machine, thousands of calls would pass their deadline.
      for (let from = 0; from < count; from += 500) {
        await Promise.all(
          sids.slice(from, from + 500).map((sid, n) => store.set(sid, { n: from + n })),
        );
      }
      return sids;
    };

    same("see every session of the prefix and no other key", async () => {
      const store = await make();
      const sids = await fill(store, 500);
      await inspector.set("other", "{}");
      await inspector.set("ses", "{}");
      expect(await store.length()).toBe(500);
      expect((await store.ids()).sort()).toEqual(sids.sort());
      const all = await store.all();
      expect(all).toHaveLength(500);
      for (const { id, n } of all) expect(id).toBe(`s${n}`);
      expect(await store.clear()).toBeNull();
      expect((await inspector.keys("*")).sort()).toEqual(["other", "ses"]);
    });

    same("return nothing if there are no sessions", async () => {
      const store = await make();
      expect(await store.length()).toBe(0);
      expect(await store.ids()).toEqual([]);
      expect(await store.all()).toEqual([]);
      expect(await store.clear()).toBeNull();
      for (const method of ["length", "ids", "all"]) {
        const [error, data] = await calledBack((cb) => store[method](cb));
        expect(error).toBeNull();
        expect(data).toEqual(method === "length" ? 0 : []);
      }
    });

    same("scan in steps of scanCount", "stats", async () => {
      const store = await make({ scanCount: 10 });
      await fill(store, 100);
      await inspector.configResetStat();
      expect(await store.length()).toBe(100);
      const calls = /cmdstat_scan:calls=(\d+)/.exec(await inspector.info("commandstats"))?.[1];
      expect(Number(calls)).toBeGreaterThan(5);
    });

    same("leave out a session that is empty", async () => {
      const store = await make();
      await store.set("a", { n: 1 });
      await inspector.set("sess:empty", "");
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
    });

    ours(
      "keep their own step if scanCount is not set, even if other options are",
      "stats",
      "step",
      async () => {
        const store = await make();
        store.prefix = "mine:";
        await fill(store, 900);
        const scans = async () => {
          await inspector.configResetStat();
          expect(await store.length()).toBe(900);
          return Number(/cmdstat_scan:calls=(\d+)/.exec(await inspector.info("commandstats"))[1]);
        };
        expect(await scans()).toBeLessThan(5);
        store.scanCount = 50;
        expect(await scans()).toBeGreaterThan(5);
      },
    );

    ours("take a prefix literally", "patterns", async () => {
      for (const prefix of ["a*b:", "a?b:", "a[xy]b:", "a\\b:", "a^b-", "*", "[", "\\"]) {
        await inspector.flushDb();
        await inspector.set("axb:1", "{}");
        await inspector.set("ayyb:1", "{}");
        const store = await make({ prefix });
        await store.set("sid", { n: 1 });
        expect(await store.ids()).toEqual(["sid"]);
        expect(await store.length()).toBe(1);
        expect(await store.all()).toEqual([{ n: 1, id: "sid" }]);
        await store.clear();
        expect((await inspector.keys("*")).sort()).toEqual(["axb:1", "ayyb:1"]);
      }
    });

    ours("see string keys only", "types", async () => {
      const store = await make();
      await store.set("a", { n: 1 });
      await inspector.lPush("sess:list", "x");
      expect(await store.length()).toBe(1);
      expect(await store.ids()).toEqual(["a"]);
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
      await store.clear();
      expect(await inspector.keys("*")).toEqual(["sess:list"]);
    });

    ours("leave a corrupt record out of all() and emit corrupt", async () => {
      const store = await make();
      const corrupt = jest.fn();
      store.on("corrupt", corrupt);
      await store.set("a", { n: 1 });
      for (const [sid, text] of [
        ["bad", "{"],
        ["null", "null"],
        ["number", "5"],
        ["text", '"x"'],
      ]) {
        await inspector.set(`sess:${sid}`, text);
      }
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
      await new Promise(setImmediate);
      expect(corrupt.mock.calls.map(([sid]) => sid).sort()).toEqual([
        "bad",
        "null",
        "number",
        "text",
      ]);
      for (const [, error] of corrupt.mock.calls) expect(error).toBeInstanceOf(Error);
    });

    ours("read large sessions in small chunks", "stats", async () => {
      const store = await make();
      const text = "x".repeat(500_000);
      for (let n = 0; n < 40; n += 1) await store.set(`s${n}`, { text });
      await inspector.configResetStat();
      const turns = countTurns();
      expect(await store.all()).toHaveLength(40);
      const turned = turns.stop();
      const calls = /cmdstat_mget:calls=(\d+)/.exec(await inspector.info("commandstats"))[1];
      expect(Number(calls)).toBeGreaterThanOrEqual(33);
      expect(turned).toBeGreaterThanOrEqual(33);
    });

    ours(
      "send small commands, so that Redis is never blocked for long",
      "stats",
      "unlink",
      async () => {
        const store = await make();
        await fill(store, 5000);
        await inspector.configResetStat();
        expect(await store.all()).toHaveLength(5000);
        await store.clear();
        const stats = await inspector.info("commandstats");
        const calls = (name) =>
          Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0);
        expect(calls("mget")).toBeGreaterThan(20);
        expect(calls("unlink")).toBeGreaterThan(20);
        expect(calls("del")).toBe(0);
        expect(calls("keys")).toBe(0);
        expect(await inspector.dbSize()).toBe(0);
      },
    );

    same("run concurrently with other calls", async () => {
      const store = await make();
      await fill(store, 1000);
      const [length, session, ids] = await Promise.all([
        store.length(),
        store.get("s5"),
        store.ids(),
      ]);
      expect([length, session, ids.length]).toEqual([1000, { n: 5 }, 1000]);
    });
  });

  ours("fake timers in an app's tests do not stop the store", "timers", async () => {
    jest.useFakeTimers();
    try {
      const store = await make();
      await store.set("a", { n: 1 });
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
      expect(await store.length()).toBe(1);
    } finally {
      jest.useRealTimers();
    }
  });

  describe("fields", () => {
    same("are connect-redis's, with its defaults", async () => {
      const store = await make();
      expect(store).toMatchObject({
        prefix: "sess:",
        scanCount: 100,
        ttl: 86_400,
        disableTTL: false,
        disableTouch: false,
      });
      expect(store.serializer).toBe(JSON);
      expect((await make({ scanCount: 0, ttl: 0 })).scanCount).toBe(100);
    });

    same("take effect if changed later", async () => {
      const store = await make();
      store.prefix = "new:";
      store.ttl = 100;
      await store.set("a", { n: 1 });
      await near("new:a", 100_000);
      store.disableTTL = true;
      await store.set("a", { n: 1 });
      expect(await inspector.ttl("new:a")).toBe(-1);
      store.serializer = { parse: () => "parsed", stringify: () => "text" };
      await store.set("a", { n: 1 });
      expect(await inspector.get("new:a")).toBe("text");
      expect(await store.get("a")).toBe("parsed");
      store.disableTTL = false;
      store.disableTouch = true;
      await store.touch("a", {});
      expect(await inspector.ttl("new:a")).toBe(-1);
    });

    same("with a wrong value fail only the calls that need them", async () => {
      const store = await make();
      await store.set("a", inMs(60_000));
      store.ttl = undefined;
      expect(await store.set("b", inMs(60_000))).toBeNull();
      store.scanCount = null;
      expect(await store.get("a")).not.toBeNull();
      expect(await store.destroy("a")).toBeNull();
      expect(await store.touch("b", inMs(60_000))).toBeNull();
      store.prefix = 5;
      await store.set("c", inMs(60_000));
      expect(await inspector.exists("5c")).toBe(1);
    });

    same("of an object made from a store are separate", async () => {
      const store = await make();
      const tenant = Object.create(store);
      tenant.prefix = "tenant:";
      await tenant.set("a", { n: 1 });
      await store.set("a", { n: 2 });
      expect(await tenant.get("a")).toEqual({ n: 1 });
      expect(await store.get("a")).toEqual({ n: 2 });
      expect((await inspector.keys("*")).sort()).toEqual(["sess:a", "tenant:a"]);
    });

    same("can be overridden in a subclass, and super calls work", async () => {
      class Mine extends setup.Store {
        prefix = "mine:";

        async get(sid, cb) {
          return super.get(`${sid}!`, cb);
        }
      }
      const store = await make({}, Mine);
      await store.set("a!", { n: 1 });
      expect(await inspector.exists("mine:a!")).toBe(1);
      expect(await store.get("a")).toEqual({ n: 1 });
    });

    same("work through a Proxy", async () => {
      const store = await make();
      const proxy = new Proxy(store, {});
      await proxy.set("a", { n: 1 });
      expect(await proxy.get("a")).toEqual({ n: 1 });
    });
  });
}

/** The functions that fake timers do not replace: all but the clock. */
const REAL_TIMERS = [
  "hrtime",
  "nextTick",
  "performance",
  "queueMicrotask",
  "setImmediate",
  "clearImmediate",
  "setInterval",
  "clearInterval",
  "setTimeout",
  "clearTimeout",
]; // prettier-ignore

module.exports = { describeBehaviour };
