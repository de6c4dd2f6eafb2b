"use strict";

// Properties of any session, sid, prefix, time and reply. A failure prints its seed and path; to repeat
// it, give them to fc.assert: { seed, path, endOnFailure: true }.

const { isDeepStrictEqual } = require("node:util");
const net = require("node:net");
const fc = require("fast-check");
const { RedisStoreError } = require("..");
const { startRedisServer } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const { openInspector } = require("./support/inspector.js");
const { openStore } = require("./support/stores.js");

const HOUR = 3_600_000;
/** Longer than any call here takes, on any machine. */
const SLACK = 600_000;

/** Multiplies the number of runs: PROPERTY_RUNS=100 npx jest properties */
const FACTOR = Number(process.env.PROPERTY_RUNS ?? 1);

jest.setTimeout(30_000 * FACTOR);

let server;
let inspector;
const closing = [];

beforeAll(async () => {
  server = await startRedisServer();
  inspector = await openInspector(server);
});

afterAll(async () => {
  await inspector?.close();
  await server?.stop();
});

beforeEach(() => inspector.flushDb());

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const open = (options) => openStore(closing, { url: server.url, ...options });

/** Checks a property `numRuns` times. */
function holds(numRuns, ...args) {
  return fc.assert(fc.asyncProperty(...args), { numRuns: numRuns * FACTOR });
}

/** Any JS string, including lone surrogates. */
const anyString = fc.oneof(
  fc.string(),
  fc.string({ unit: "binary" }),
  fc
    .array(
      fc.oneof(
        fc.integer({ min: 0, max: 0xffff }),
        fc.integer({ min: 0xd800, max: 0xdfff }),
        fc.constantFrom(0, 0x22, 0x5c, 0x2028),
      ),
    )
    .map((units) => String.fromCharCode(...units)),
);

const anyName = fc.oneof(
  anyString,
  fc.constantFrom("__proto__", "toString", "constructor", "length", "0", "-1", "id", "expires"),
);

/** Any value in a session, including values that JSON changes or omits. */
const { anyValue } = fc.letrec((tie) => ({
  anyValue: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.constantFrom(null, undefined, true, -0, Number.NaN, Number.NEGATIVE_INFINITY, 1e300),
    fc.double(),
    anyString,
    fc.date({ noInvalidDate: false }),
    fc.constantFrom(Symbol("s"), () => 1, new Map([[1, 2]]), /x/),
    fc.uint8Array({ maxLength: 4 }),
    fc.array(tie("anyValue"), { maxLength: 5 }),
    tie("anyObject"),
    tie("anyValue").map((value) => ({ toJSON: () => value })),
  ),
  anyObject: fc
    .array(fc.tuple(anyName, tie("anyValue")), { maxLength: 6 })
    .map((members) => Object.fromEntries(members)),
}));

const anySession = fc
  .array(fc.tuple(anyName, anyValue), { maxLength: 8 })
  .map((members) => Object.fromEntries(members));

/** Expects equality, including the order of members. */
function expectSame(read, wanted) {
  expect(JSON.stringify(read)).toBe(JSON.stringify(wanted));
  expect(isDeepStrictEqual(read, wanted)).toBe(true);
}

describe("sessions", () => {
  test("get returns what JSON.parse returns", async () => {
    const store = open();
    await holds(400, anySession, async (session) => {
      await store.set("a", session);
      const wanted = JSON.parse(JSON.stringify(session));
      expectSame(await store.get("a"), wanted);
      wanted.id = "a";
      expectSame((await store.all())[0], wanted);
    });
  });

  test("with a cookie, only its expiry differs: it is the key's", async () => {
    const store = open();
    await holds(200, anySession, anySession, fc.nat(), async (session, more, place) => {
      // express-session chooses the names of a cookie's members: they are valid Unicode.
      const named = Object.entries(more).filter(([name]) => name.isWellFormed());
      const expires = new Date(Date.now() + HOUR);
      const cookie = { ...Object.fromEntries(named), originalMaxAge: HOUR, expires };
      const members = Object.entries(session);
      members.splice(place % (members.length + 1), 0, ["cookie", cookie]);
      const whole = Object.fromEntries(members);
      await store.set("a", whole);
      await inspector.pExpire("sess:a", 5 * HOUR);
      const read = await store.get("a");
      const wanted = JSON.parse(JSON.stringify(whole));
      const left = Date.parse(read.cookie.expires) - Date.now();
      expect(Math.abs(left - 5 * HOUR)).toBeLessThan(SLACK);
      wanted.cookie.expires = read.cookie.expires;
      expectSame(read, wanted);
    });
  });

  test("any stored text is read as JSON.parse reads it, except the expiry", async () => {
    const store = open();
    const time = fc.constantFrom('"2026-01-01T12:00:00.000Z"', "1767268800000", "null", '"x"');
    const token = fc.oneof(
      time.map((expires) => `"cookie":{"originalMaxAge":5,"expires":${expires}}`),
      time.map((expires) => `"cookie":{"expires":${expires},"expires":1,"originalMaxAge":5}`),
      fc.constantFrom('"cookie":5', '"cookie":{}', '"\\u0063ookie":{"originalMaxAge":1', '"\\ud8"'),
      fc.tuple(anyName, anyValue).map((pair) => JSON.stringify(Object.fromEntries([pair]))),
      fc.json(),
      fc.constantFrom("{", "}", "[", "]", ",", ":", " ", "\ufeff", "\0", "1e999", '"\\ud800":1'),
    );
    const text = fc.oneof(
      fc.array(token, { maxLength: 6 }).map((members) => `{${members.join(",")}}`),
      fc.array(token, { maxLength: 8 }).map((tokens) => tokens.join("")),
    );
    await holds(400, text, async (text) => {
      fc.pre(text !== "");
      await inspector.set("sess:a", text, { PX: 5 * HOUR });
      let wanted;
      try {
        // Redis cannot contain text that is not valid Unicode.
        wanted = JSON.parse(Buffer.from(text).toString());
      } catch {
        expect(await failure(store.get("a"))).toBeInstanceOf(SyntaxError);
        return;
      }
      const read = await store.get("a");
      const kept = wanted?.cookie?.expires;
      if (read?.cookie?.expires !== kept) {
        expect(typeof wanted.cookie.originalMaxAge).toBe("number");
        expect(typeof read.cookie.expires).toBe(typeof kept);
        const expires = Number(new Date(read.cookie.expires));
        expect(Math.abs(expires - Date.now() - 5 * HOUR)).toBeLessThan(SLACK);
        wanted.cookie.expires = read.cookie.expires;
      }
      expectSame(read, wanted);
    });
  });

  test("values that JSON refuses reject, and nothing is stored", async () => {
    const store = open();
    const circular = {};
    circular.self = circular;
    const refused = fc.constantFrom(1n, circular, {
      toJSON() {
        throw new RangeError("no");
      },
    });
    await holds(50, anySession, refused, async (session, value) => {
      const error = await failure(store.set("a", { ...session, toJSON: undefined, value }));
      expect(error).toBeInstanceOf(Error);
      expect(await inspector.exists("sess:a")).toBe(0);
    });
  });
});

describe("sids and prefixes", () => {
  const piece = fc.oneof(
    anyString,
    fc.constantFrom(
      "*",
      "?",
      "[a-z]",
      "[^a]",
      "\\",
      "]",
      "-",
      "\0",
      "\r\n",
      "👩‍🚀",
      "sess:",
      "{a}",
    ),
    fc.integer({ min: 1000, max: 20_000 }).map((length) => "x".repeat(length)),
  );
  const text = fc.array(piece, { maxLength: 3 }).map((pieces) => pieces.join(""));
  /** As JS encodes strings: a lone surrogate becomes U+FFFD. */
  const stored = (prefix, sid) => Buffer.concat([Buffer.from(prefix), Buffer.from(sid)]);
  const list = (buffers) => [...new Set(buffers.map((buffer) => buffer.toString("hex")))].sort();
  const keys = async () => {
    const all = await inspector.sendCommand(["KEYS", "*"], { typeMapping: { 36: Buffer } });
    return list(all);
  };

  test("each store sees and clears the keys of its prefix, and no others", async () => {
    const store = open();
    await holds(
      120,
      text,
      fc.array(text, { maxLength: 6 }),
      fc.array(text, { maxLength: 6 }),
      async (prefix, sids, others) => {
        await inspector.flushDb();
        store.prefix = prefix;
        await Promise.all(sids.map((sid, n) => store.set(sid, { n })));
        const own = sids.map((sid) => stored(prefix, sid));
        expect(await keys()).toEqual(list(own));
        for (const [n, sid] of sids.entries()) {
          const last = own.findLastIndex((key) => key.equals(own[n]));
          expect(await store.get(sid)).toEqual({ n: last });
        }

        const foreign = others.map((other) => Buffer.from(other));
        for (const key of foreign) await inspector.set(key, "{}");
        const start = Buffer.from(prefix);
        const isOwn = (key) => key.subarray(0, start.length).equals(start);
        const seen = [...own, ...foreign.filter(isOwn)].map((key) => key.subarray(start.length));
        const ids = await store.ids();
        expect(list(ids.map((id) => Buffer.from(id)))).toEqual(
          // If a prefix ends within a character, the rest of that character is invalid.
          list(seen.map((sid) => Buffer.from(sid.toString()))),
        );
        expect(await store.length()).toBe(ids.length);

        await store.clear();
        expect(await keys()).toEqual(list(foreign.filter((key) => !isOwn(key))));
      },
    );
  });
});

describe("times", () => {
  /** The largest time in Redis: its milliseconds are a signed 64-bit number. */
  const MOST_MS = 2 ** 63 - Date.now();
  const strange = fc.oneof(
    fc.constantFrom(true, Symbol("s"), () => 5, Promise.resolve(5), {}, [], [2050], /x/),
    fc.constantFrom(Object.create(null), new Date(Number.NaN), new Map()),
    fc.anything(),
  );

  /** The expected result for a session with this time to live. */
  function outcome(ms) {
    if (Number.isNaN(ms)) return { rejects: TypeError };
    if (ms <= 0) return { deletes: true };
    if (ms === Number.POSITIVE_INFINITY) return { ms: -1 };
    return ms > MOST_MS ? { rejects: RedisStoreError } : { ms };
  }

  /** Sets a session over an existing one, and checks the stored result. */
  async function check(store, session, wanted) {
    await inspector.set("sess:a", '{"old":1}');
    const error = await failure(store.set("a", session));
    const [text, left] = [await inspector.get("sess:a"), await inspector.pTTL("sess:a")];
    if (wanted.rejects !== undefined) {
      expect(error).toBeInstanceOf(wanted.rejects);
      expect(text).toBe('{"old":1}');
      expect(left).toBe(-1);
      return;
    }
    expect(error).toBeUndefined();
    if (wanted.deletes) {
      expect(text).toBeNull();
      return;
    }
    expect(text).toBe(JSON.stringify(session));
    if (wanted.ms < 0) {
      expect(left).toBe(-1);
    } else {
      // The inspector reads the time as a double.
      expect(left).toBeLessThanOrEqual(wanted.ms + wanted.ms / 2 ** 52);
      expect(left).toBeGreaterThan(wanted.ms - SLACK);
    }
  }

  test("any ttl is kept, deletes, or is a TypeError", async () => {
    let ttl;
    const store = open({ ttl: () => ttl });
    const numbers = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.double({ min: -2, max: 100_000 }),
      fc.constantFrom(0, -0, Number.NaN, Number.POSITIVE_INFINITY, 1e15, 1e16, 5e-324),
    );
    const texts = fc.oneof(
      numbers.map((number) => ` ${number}\t`),
      fc.constantFrom("", " ", "0x10", "inf", "nan", "1_000", "5s", ".5", "5.", "1e", "+3", "--1"),
      fc.string(),
    );
    const any = fc.oneof(numbers, texts, fc.bigInt(), strange);
    const isDecimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^-?Infinity$/i;
    const seconds = (value) => {
      if (typeof value === "number") return value;
      if (typeof value === "bigint") return Number(value);
      const isNumeric = typeof value === "string" && isDecimal.test(value.trim());
      return isNumeric ? Number(value) : Number.NaN;
    };
    await holds(400, any, async (value) => {
      ttl = value;
      await check(store, { n: 1 }, outcome(Math.ceil(seconds(value)) * 1000));
    });
  });

  test("any cookie.expires is kept, deletes, or is a TypeError", async () => {
    const store = open({ ttl: 7200 });
    const time = fc.oneof(
      fc.integer({ min: HOUR, max: 1e13 }).map((ms) => Date.now() + ms),
      fc.integer({ min: HOUR, max: 1e12 }).map((ms) => Date.now() - ms),
    );
    const texts = fc.oneof(
      time.map((ms) => new Date(ms).toISOString()),
      time.map((ms) => new Date(ms).toUTCString()),
      time.map((ms) => new Date(ms).toISOString().slice(0, 10)),
      fc.constantFrom(
        "2099-02-30T00:00:00.000Z",
        "2099-12-31T23:59:60.000Z",
        "2099-12-31T24:00:00.000Z",
        "2099-12-31T23:59:59.999+01",
        "+275760-09-13T00:00:00.000Z",
        "-000001-01-01T00:00:00.000Z",
        "2099-1-1",
        "tomorrow",
      ),
      fc.string(),
    );
    const any = fc.oneof(
      time,
      texts,
      time.map((ms) => new Date(ms)),
      fc.double(),
      // 0n counts as no expiry; then JSON refuses the bigint.
      fc.bigInt().filter((n) => n !== 0n),
      strange,
    );
    const at = (value) => {
      if (typeof value === "number") return value;
      const isDate = typeof value === "string" || (typeof value === "object" && value !== null);
      try {
        return isDate ? Number(new Date(value)) : Number.NaN;
      } catch {
        return Number.NaN;
      }
    };
    await holds(400, any, async (expires) => {
      const session = { cookie: { expires } };
      const wanted = expires ? outcome(at(expires) - Date.now()) : { ms: 7_200_000 };
      // A time that ends at this moment may or may not have passed.
      fc.pre(!(wanted.ms >= 0 && wanted.ms < SLACK));
      if (wanted.ms !== undefined && JSON.stringify(session) === undefined) return;
      await check(store, session, wanted.ms > 0 ? { ms: Math.ceil(wanted.ms) } : wanted);
    });
  });
});

test("calls made together give the same results as calls made one after another", async () => {
  const store = open();
  const sid = fc.constantFrom("a", "b", "c");
  const inMs = (ms) => ({ cookie: { expires: new Date(Date.now() + ms) } });
  const call = fc.oneof(
    fc.record({ call: fc.constant("set"), sid, n: fc.nat() }),
    fc.record({ call: fc.constantFrom("get", "get", "touch", "end", "destroy", "turn"), sid }),
  );
  const scan = fc.constantFrom("ids", "all", "length", "clear", "none");
  const run = fc.record({ calls: fc.array(call, { maxLength: 80 }), scan });
  const calls = {
    set: (model, sid, n) => {
      model.set(sid, { n });
      return [store.set(sid, { n }), null];
    },
    get: (model, sid) => [store.get(sid), model.get(sid) ?? null],
    touch: (_, sid) => [store.touch(sid, inMs(HOUR)), null],
    end: (model, sid) => {
      model.delete(sid);
      return [store.touch(sid, inMs(-HOUR)), null];
    },
    destroy: (model, sid) => {
      model.delete(sid);
      return [store.destroy(sid), null];
    },
  };
  const scans = {
    ids: async (model) => expect((await store.ids()).sort()).toEqual([...model.keys()].sort()),
    all: async (model) => {
      const all = (await store.all()).map(({ id, ...session }) => [id, session]);
      expect(new Map(all)).toEqual(model);
    },
    length: async (model) => expect(await store.length()).toBe(model.size),
    clear: async (model) => {
      await store.clear();
      model.clear();
    },
    none: async () => {},
  };
  await holds(60, fc.array(run, { maxLength: 6 }), async (runs) => {
    await inspector.flushDb();
    const model = new Map();
    for (const { calls: made, scan } of runs) {
      const answers = [];
      for (const { call, sid, n } of made) {
        // So that some calls have a separate batch, while others are in flight.
        if (call === "turn") await new Promise(setImmediate);
        else answers.push(calls[call](model, sid, n));
      }
      const got = await Promise.all(answers.map(([answer]) => answer));
      expect(got).toEqual(answers.map(([, wanted]) => wanted));
      await scans[scan](model);
    }
  });
});

describe("a server that sends random replies", () => {
  const { reply } = fc.letrec((tie) => ({
    reply: fc.oneof(
      { maxDepth: 6, depthSize: "medium" },
      fc.constantFrom("+OK", "_", "$-1", "*-1", "#t", ",nan", "(99", ":1", ":-2", "+", "-", "*0"),
      fc.bigInt({ min: -(2n ** 65n), max: 2n ** 65n }).map((n) => `:${n}`),
      fc.constantFrom("-WRONGTYPE x", "-ENOENT x", "-sess:the-sid the-sid", "-MOVED 1 h:1", "!-1"),
      fc.string().map((text) => `$${Buffer.byteLength(text)}\r\n${text}`),
      fc.constant('$55\r\n{"cookie":{"originalMaxAge":5,"expires":"2026-01-01"}}  '),
      fc.constantFrom(
        "$2147483647",
        "*2147483647",
        "%-1",
        "|1",
        "~99999",
        ">0",
        "$9e9",
        "=-5",
        "$x",
      ),
      fc.constant("*1\r\n".repeat(200)),
      fc.array(tie("reply"), { maxLength: 4 }).map(list("*")),
      fc.array(tie("reply"), { maxLength: 4 }).map(list("~")),
      fc.array(tie("reply"), { minLength: 1, maxLength: 4 }).map(list(">")),
      fc.tuple(tie("reply"), tie("reply")).map(([name, value]) => `%1\r\n${name}\r\n${value}`),
      fc.constantFrom("*2\r\n$1\r\n0\r\n*1\r\n$11\r\nsess:thesid", "*2\r\n$1\r\n7\r\n*0"),
      fc.string({ unit: "binary" }),
    ),
  }));

  function list(mark) {
    return (replies) => [`${mark}${replies.length}`, ...replies].join("\r\n");
  }

  /** What the server does for each packet: it sends that number of bytes, and may close the connection. */
  const act = fc.record({
    replies: fc.array(reply, { maxLength: 12 }),
    cut: fc.option(fc.nat({ max: 200 }), { nil: undefined }),
    hangsUp: fc.boolean(),
  });
  const script = fc.record({
    acts: fc.array(act, { minLength: 1, maxLength: 10 }),
    handshake: fc.boolean(),
  });

  /** A server that follows a script; without one, it forwards to the real server. */
  async function openMad() {
    const mad = { script: undefined, sockets: new Set() };
    const listener = net.createServer((socket) => {
      mad.sockets.add(socket);
      socket.on("error", () => {}).on("close", () => mad.sockets.delete(socket));
      if (mad.script === undefined) {
        const upstream = net.connect(server.port, "127.0.0.1").on("error", () => {});
        socket.pipe(upstream).pipe(socket);
        return;
      }
      let { handshake } = mad.script;
      // What answers a login can only name a session that it was asked for on this connection.
      let knowsSid = false;
      socket.on("data", (packet) => {
        knowsSid ||= packet.includes("the-sid");
        if (handshake) {
          handshake = false;
          socket.write("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n");
          return;
        }
        const act = mad.script?.acts.shift();
        if (act === undefined) return;
        const text = act.replies.map((line) => `${line}\r\n`).join("");
        const bytes = Buffer.from(knowsSid ? text : text.replaceAll("the-sid", "no-sid-"));
        socket.write(bytes.subarray(0, act.cut));
        if (act.hangsUp) socket.end();
      });
    });
    await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
    mad.url = `redis://127.0.0.1:${listener.address().port}`;
    mad.leave = () => {
      for (const socket of mad.sockets) socket.destroy();
    };
    closing.push(() => {
      mad.leave();
      return new Promise((resolve) => listener.close(resolve));
    });
    return mad;
  }

  test("every call settles, no error shows the sid, and the store works with the real server afterwards", async () => {
    const mad = await openMad();
    const store = open({ url: mad.url, commandTimeout: 100, connectTimeout: 100 });
    await holds(40, script, async (script) => {
      mad.leave();
      mad.script = script;
      const session = { cookie: { originalMaxAge: HOUR, expires: new Date(Date.now() + HOUR) } };
      const answers = await Promise.allSettled([
        store.get("the-sid"),
        store.set("the-sid", session),
        store.touch("the-sid", session),
        store.get("the-sid"),
        store.destroy("the-sid"),
        store.length(),
        store.ids(),
        store.all(),
        store.clear(),
      ]);
      for (const { reason } of answers.filter(({ status }) => status === "rejected")) {
        expect(reason).toBeInstanceOf(Error);
        // Invalid JSON is a SyntaxError that quotes the text, as with connect-redis.
        if (reason instanceof SyntaxError) continue;
        expect(reason).toBeInstanceOf(RedisStoreError);
        expect(reason.code).toMatch(/^[A-Z0-9_]+$/);
        expect(`${reason.message} ${reason.cause?.message}`).not.toContain("the-sid");
      }
      mad.script = undefined;
      mad.leave();
      // The store reconnects after a pause.
      while ((await failure(store.set("b", { n: 1 }))) !== undefined);
      expect(await store.get("b")).toEqual({ n: 1 });
    });
  });
});
