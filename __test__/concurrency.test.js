"use strict";

// Two requests of one session at once: `concurrency` and `store.update`, on the Redis of this machine;
// long/concurrency.servers.test.js has others.

const v8 = require("node:v8");
const ConnectRedis = require("connect-redis");
const RedisMock = require("ioredis-mock");
const { createClient, createClientPool } = require("redis");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { CREATED, commandsOf, describeConcurrency } = require("./support/concurrency.js");
const { failure } = require("./support/calls.js");
const { startProxy } = require("./support/proxy.js");
const { run } = require("./support/run.js");
const { knowsIfEq } = require("./support/servers.js");
const { own, usual } = require("./support/setups.js");
const { loadSession, openStore } = require("./support/stores.js");
const { useRedis } = require("./support/life-cycle.js");

const named = (name) => [...own, ...usual].find((setup) => setup.name === name);

for (const name of ["url", "node-redis 6: createClient({ url })", "ioredis 5: new Redis(url)"]) {
  describeConcurrency(named(name));
}

/** A serializer of the app's, also if it does what JSON does. */
const JSON_LIKE = { parse: JSON.parse, stringify: JSON.stringify };
const SID = "the-secret-sid";
const KEY = `sess:${SID}`;

let server;
let inspector;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

const open = (options) => openStore(closing, { url: server.url, concurrency: "merge", ...options });

async function client(make = createClient) {
  const made = make({ url: server.url });
  made.on("error", () => {});
  closing.push(() => made.destroy());
  await made.connect();
  return made;
}

const inMs = (ms) => ({ originalMaxAge: ms, expires: new Date(Date.now() + ms).toISOString() });

const load = (store, sid = SID) => loadSession(store, sid);

const stored = async () => JSON.parse(await inspector.get(KEY));

/** Changes what is stored, as another process would. */
const change = async (members) =>
  inspector.set(KEY, JSON.stringify({ ...(await stored()), ...members }));

describe("a Redis user without the right to run scripts", () => {
  const denied = ["-eval", "-evalsha"];

  async function asUser(name, ...rules) {
    await inspector.sendCommand(["ACL", "SETUSER", name, "on", ">pw", "~*", "+@all", ...rules]);
    closing.push(() => inspector.sendCommand(["ACL", "DELUSER", name]));
    return { username: name, password: "pw" };
  }

  test("saves as the last one wins, emits unmerged each time and warns once a process", async () => {
    if (await knowsIfEq(inspector)) return; // It needs no script.
    const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
    closing.push(() => warn.mockRestore());
    const user = await asUser("merging", ...denied);
    const store = open(user);
    const unmerged = [];
    store.on("unmerged", (sid) => unmerged.push(sid));
    await store.set(SID, { cookie: inMs(60_000), user: "ada" });
    for (let n = 0; n < 2; n += 1) {
      const session = await load(store);
      session.n = n;
      await change({ theirs: n });
      await store.set(SID, session);
      const { cookie, ...rest } = await stored();
      expect(rest).toEqual({ user: "ada", n });
    }
    expect(unmerged).toEqual([SID, SID]);
    const session = await load(store);
    await store.destroy(SID);
    await store.set(SID, session);
    expect(await inspector.exists(KEY)).toBe(0);
    const { stderr } = await run(
      `import { RedisStore } from "./index.mjs";
      const store = new RedisStore({ ...JSON.parse(process.env.OPTIONS), concurrency: "merge" });
      for (const sid of ["${SID}1", "${SID}2"]) {
        await store.set(sid, { cookie: {} });
        const session = await store.get(sid);
        for (let n = 0; n < 3; n += 1) await store.set(sid, session);
      }
      await store.close();`,
      { OPTIONS: JSON.stringify({ url: server.url, ...user }) },
    );
    expect(stderr.match(/CONNECT_REDIS_RS_UNMERGED/g)).toHaveLength(1);
    expect(stderr).not.toContain(SID);
  });

  test("cannot update: the error names the right, and nothing is written", async () => {
    if (await knowsIfEq(inspector)) return;
    const store = open(await asUser("updating", ...denied));
    await store.set(SID, { cookie: {}, n: 1 });
    const error = await failure(
      store.update(SID, (session) => {
        session.n = 2;
      }),
    );
    expect(error).toMatchObject({ code: "NOPERM" });
    expect(error.message).toMatch(/^update: .*evalsha/i);
    expect(error.message).not.toContain(SID);
    expect((await stored()).n).toBe(1);
  });
});

describe("what cannot go together with concurrency is refused at once", () => {
  test.each([
    [{ concurrency: "lock" }, /concurrency must be "last", "detect" or "merge", got "lock"/],
    [{ concurrency: true }, /concurrency must be/],
    [{ serializer: JSON_LIKE }, /leave serializer out/],
    [{ resurrect: true }, /resurrect/],
    [{ concurrency: "detect", resurrect: true }, /concurrency is "detect"/],
  ])("%j is a TypeError that says so", (options, message) => {
    expect(() => open(options)).toThrow(TypeError);
    expect(() => open(options)).toThrow(message);
  });

  test('transport "client" is a TypeError', async () => {
    const made = await client();
    const options = { url: undefined, client: made, transport: "client" };
    expect(() => open(options)).toThrow(TypeError);
    expect(() => open(options)).toThrow(/concurrency.*transport/);
  });

  test('with concurrency "last" all of that is allowed', async () => {
    for (const more of [{ resurrect: true }, { serializer: { ...JSON_LIKE } }, {}]) {
      expect(() => open({ concurrency: "last", ...more })).not.toThrow();
    }
  });

  test.each([
    ["a pool of node-redis", () => client(createClientPool)],
    ["ioredis-mock", async () => new RedisMock()],
    ["a fake", async () => ({ get: async () => null, set: async () => "OK", del: async () => 1 })],
  ])("%s, beside which no store can go, is an error that says why", async (_, make) => {
    const made = await make();
    const error = await failure(
      (async () => {
        const store = open({ url: undefined, client: made });
        await store.get(SID);
      })(),
    );
    expect(error?.message).toMatch(/concurrency/);
    expect(error.message).toMatch(/url|client/);
    expect(error.message).not.toContain(SID);
  });
});

describe("a session that is no object", () => {
  test.each([
    ["null", null],
    ["an array", [1]],
    ["a string", "x"],
    ["a number", 5],
    ["undefined", undefined],
  ])("%s is a TypeError of set, and nothing is lost", async (what, session) => {
    const store = open();
    await store.set(SID, { cookie: {}, n: 1 });
    const error = await failure(store.set(SID, session));
    expect(error).toBeInstanceOf(TypeError);
    expect(error.message).toContain(`a session must be an object`);
    expect(error.message).toContain(what.replace(/^a (string|number)$/, "$1"));
    expect(error.message).not.toContain(SID);
    expect((await stored()).n).toBe(1);
  });
});

test('without the option, and with "last", a save is what connect-redis sends and stores', async () => {
  const peer = new ConnectRedis.RedisStore({ client: await client() });
  const session = { cookie: {}, user: "ada", n: [1] };
  await peer.set(SID, session);
  const expected = await inspector.get(KEY);
  for (const concurrency of [undefined, "last"]) {
    const store = open({ concurrency });
    await store.set(SID, session);
    expect(await inspector.get(KEY)).toBe(expected);
    await inspector.configResetStat();
    const loaded = await load(store);
    loaded.n = 2;
    await change({ theirs: 1 });
    await store.set(SID, loaded);
    expect(await stored()).toEqual({ cookie: expect.anything(), user: "ada", n: 2 });
    const { get, set, pttl, ...others } = await commandsOf(inspector);
    expect(others).toEqual({});
  }
});

test("with merge a session is stored as without it", async () => {
  const session = { cookie: inMs(60_000), user: "ada", n: [1] };
  await open({ concurrency: "last" }).set(SID, session);
  const expected = await inspector.get(KEY);
  const store = open();
  await store.set(SID, session);
  expect(await inspector.get(KEY)).toBe(expected);
});

describe("a connection that breaks under a save", () => {
  /**
   * Makes a call whose save Redis gets, or does not; meanwhile another process does something, and then
   * the connection breaks.
   */
  async function broken(base, { isCarriedOut, meanwhile }, call) {
    const proxy = await startProxy(server);
    closing.push(() => proxy.stop());
    const store = open({ url: proxy.url });
    await store.set(SID, base);
    await store.update(SID, () => {}); // From now on a save is one command.
    const before = await inspector.get(KEY);
    const interrupt = () => (isCarriedOut ? proxy.delay(5_000) : proxy.swallow());
    const made = call(store, interrupt).then(
      (value) => ({ value }),
      (error) => ({ error }),
    );
    if (isCarriedOut) {
      await waitUntil("the save is carried out", async () => (await inspector.get(KEY)) !== before);
    } else await new Promise((resolve) => setTimeout(resolve, 50));
    await meanwhile?.(before);
    await proxy.refuse();
    await proxy.heal();
    return made;
  }

  const increment = (store, interrupt) =>
    store.update(SID, (session) => {
      session.n += 1;
      interrupt();
    });

  const save = async (store, interrupt) => {
    const session = await load(store);
    session.mine = 1;
    interrupt();
    return store.set(SID, session);
  };

  const base = { cookie: {}, n: 1 };
  const isUnknown = ({ error }) => error?.code === "ECONNRESET" || error?.code === "EPIPE";

  test("an update that was carried out is not carried out again, also if the session is again what it was", async () => {
    const meanwhile = (before) => inspector.set(KEY, before);
    const made = await broken(base, { isCarriedOut: true, meanwhile }, increment);
    expect((await stored()).n).toBe(1);
    expect(isUnknown(made)).toBe(true);
  });

  test("an update that was not carried out does not take the same change of another for its own", async () => {
    const meanwhile = () => change({ n: 2 });
    const made = await broken(base, { isCarriedOut: false, meanwhile }, increment);
    expect((await stored()).n).toBe(isUnknown(made) ? 2 : 3);
  });

  test("an update that is in doubt says so, without the sid", async () => {
    const { error } = await broken(base, { isCarriedOut: true }, increment);
    expect(error.message).toMatch(/^update: the connection to Redis at .* was lost/);
    expect(error.message).not.toContain(SID);
    expect((await stored()).n).toBe(2);
  });

  test.each([true, false])(
    "a merging save is made once, whether it was carried out before (%p) or not, and keeps what others wrote",
    async (isCarriedOut) => {
      for (const meanwhile of [undefined, () => change({ theirs: 1, n: 5 })]) {
        expect(await broken(base, { isCarriedOut, meanwhile }, save)).toEqual({ value: null });
        const { cookie, ...rest } = await stored();
        expect(rest).toEqual(meanwhile ? { n: 5, mine: 1, theirs: 1 } : { n: 1, mine: 1 });
      }
    },
  );

  test.each([true, false])(
    "a session that is destroyed meanwhile stays destroyed (carried out before: %p)",
    async (isCarriedOut) => {
      const meanwhile = () => inspector.del(KEY);
      const terms = { isCarriedOut, meanwhile };
      expect(await broken(base, terms, save)).toEqual({ value: null });
      expect(await inspector.exists(KEY)).toBe(0);
      await broken(base, terms, increment);
      expect(await inspector.exists(KEY)).toBe(0);
    },
  );
});

describe("while Redis does not answer", () => {
  async function hang(store) {
    await store.set(SID, { cookie: {}, n: 0 });
    const session = await load(store);
    session.n = 1;
    process.kill(server.pid, "SIGSTOP");
    closing.push(() => process.kill(server.pid, "SIGCONT"));
    // All after the first wait for it.
    return [
      store.set(SID, session),
      store.get(SID),
      store.set(SID, session),
      store.touch(SID, session),
      store.destroy(SID),
    ].map(failure);
  }

  test("a save and the calls that wait for it end after commandTimeout", async () => {
    const calls = await hang(open({ commandTimeout: 1000 }));
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ code: "ETIMEDOUT" });
      expect(error.message).not.toContain(SID);
    }
  });

  test("a save and the calls that wait for it reject when the store is closed", async () => {
    const store = open();
    const calls = await hang(store);
    await store.close();
    for (const error of await Promise.all(calls)) expect(error).toMatchObject({ code: "ECLOSED" });
  });
});

test("a key of another type is Redis's error, without the sid", async () => {
  const store = open();
  await store.set(SID, { cookie: {} });
  const session = await load(store);
  await inspector.del(KEY);
  await inspector.lPush(KEY, "x");
  session.n = 1;
  for (const call of [() => store.set(SID, session), () => store.update(SID, () => {})]) {
    const error = await failure(call());
    expect(error).toMatchObject({ code: "WRONGTYPE" });
    expect(error.message).not.toContain(SID);
  }
});

describe("update", () => {
  test("two processes that increment 500 times each have counted to 1000", async () => {
    const store = open();
    await store.set(SID, { cookie: inMs(600_000), n: 0 });
    const code = `
      import { RedisStore } from "./index.mjs";
      const store = new RedisStore({ url: process.env.URL });
      const count = (session) => { session.n += 1; };
      for (let done = 0; done < 500; done += 10) {
        const made = Array.from({ length: 10 }, () => store.update(process.env.SID, count));
        for (const found of await Promise.all(made)) if (!found) throw new Error("not found");
      }
      await store.close();`;
    const ended = await Promise.all([1, 2].map(() => run(code, { URL: server.url, SID })));
    expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    expect((await stored()).n).toBe(1000);
  });

  test("a function that throws or rejects is update's error, and nothing is written", async () => {
    const store = open();
    await store.set(SID, { cookie: {}, n: 1 });
    const expected = await inspector.get(KEY);
    const mine = new Error("mine");
    const throwing = (session) => {
      session.n = 2;
      throw mine;
    };
    expect(await failure(store.update(SID, throwing))).toBe(mine);
    expect(await failure(store.update(SID, async (session) => throwing(session)))).toBe(mine);
    expect(await inspector.get(KEY)).toBe(expected);
    // The next one is not held up.
    expect(
      await store.update(SID, (session) => {
        session.n += 1;
      }),
    ).toBe(true);
    expect((await stored()).n).toBe(2);
  });

  test("a function that never settles is given up after commandTimeout, and the next update goes on", async () => {
    const store = open({ commandTimeout: 1000 });
    await store.set(SID, { cookie: {}, n: 1 });
    const held = failure(
      store.update(SID, (session) => {
        session.n = "never";
        return new Promise(() => {});
      }),
    );
    const next = store.update(SID, (session) => {
      session.n += 1;
    });
    const error = await held;
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    expect(error.message).toMatch(/^update: .*1000 ms.*nothing was written/);
    expect(error.message).not.toContain(SID);
    expect(await next).toBe(true);
    expect((await stored()).n).toBe(2);
  });

  test("a function that settles too late writes nothing", async () => {
    const store = open({ commandTimeout: 500 });
    await store.set(SID, { cookie: {}, n: 1 });
    let goOn;
    const error = await failure(
      store.update(SID, async (session) => {
        await new Promise((resolve) => {
          goOn = resolve;
        });
        session.n = 2;
      }),
    );
    expect(error).toMatchObject({ code: "ETIMEDOUT" });
    goOn();
    await store.get(SID);
    expect((await stored()).n).toBe(1);
  });

  test("if others write each time, it ends after commandTimeout with ECONFLICT and leaves what they wrote", async () => {
    const store = open({ commandTimeout: 300 });
    await store.set(SID, { cookie: {}, n: 0 });
    let times = 0;
    let changing;
    const error = await failure(
      store.update(SID, (session) => {
        times += 1;
        session.mine = times;
        changing = change({ theirs: times });
        return changing;
      }),
    );
    await changing; // The last one may have come too late.
    expect(error).toMatchObject({ code: "ECONFLICT" });
    expect(error.message).not.toContain(SID);
    expect(times).toBeGreaterThan(3);
    const left = await stored();
    expect(left.theirs).toBe(times);
    expect(left).not.toHaveProperty("mine");
  });

  test("a function that changes nothing, or returns a value, is no error and leaves the session", async () => {
    const store = open();
    await store.set(SID, { cookie: {}, n: 1 });
    const expected = await inspector.get(KEY);
    expect(await store.update(SID, () => {})).toBe(true);
    expect(await store.update(SID, () => ({ n: 7 }))).toBe(true);
    expect(await inspector.get(KEY)).toBe(expected);
  });

  test("it works without concurrency, with a serializer of the app's, and beside a client", async () => {
    const serializers = [
      JSON,
      { parse: v8.deserialize, stringify: v8.serialize },
      {
        parse: async (text) => JSON.parse(Buffer.from(text, "base64").toString()),
        stringify: (session) => Buffer.from(JSON.stringify(session)).toString("base64"),
      },
    ];
    for (const serializer of serializers) {
      for (const source of [{}, { url: undefined, client: await client() }]) {
        const store = open({ ...source, serializer, concurrency: undefined });
        await store.set(SID, { cookie: inMs(60_000), n: 0 });
        const counted = Array.from({ length: 10 }, () =>
          store.update(SID, (session) => {
            session.n += 1;
          }),
        );
        expect(await Promise.all(counted)).toEqual(Array(10).fill(true));
        expect(await store.get(SID)).toMatchObject({ n: 10 });
        expect(await inspector.pTTL(KEY)).toBeGreaterThan(50_000);
      }
    }
  });

  test("the function gets what get returns, the true expiry with it", async () => {
    const store = open();
    await store.set(SID, { cookie: inMs(600_000), n: 0 });
    await inspector.pExpire(KEY, 100_000);
    let seen;
    await store.update(SID, (session) => {
      seen = session.cookie.expires;
    });
    expect(Math.abs(Date.parse(seen) - Date.now() - 100_000)).toBeLessThan(5_000);
    expect(await inspector.pTTL(KEY)).toBeLessThanOrEqual(100_000);
  });

  test("if the key's expiry does not follow the cookie, the cookie stays as it is stored", async () => {
    const options = [
      { ttl: () => 3600 },
      { ttl: () => 3600, touchAfter: 60 },
      { disableTTL: true, touchAfter: 60 },
    ];
    for (const serializer of [JSON, { parse: v8.deserialize, stringify: v8.serialize }]) {
      for (const more of options) {
        const store = open({ serializer, concurrency: undefined, ...more });
        const cookie = inMs(600_000);
        await store.set(SID, { cookie, n: 0 });
        await store.update(SID, (session) => {
          session.n += 1;
        });
        const plain = open({ serializer, concurrency: undefined, ttl: () => 3600 });
        expect(await plain.get(SID)).toEqual({ cookie, n: 1 });
        expect((await inspector.pTTL(KEY)) > 0).toBe(!more.disableTTL);
      }
    }
  });

  test("with lifetime it cannot keep a session beyond its end, nor change one that has ended", async () => {
    const store = open({ lifetime: 3600 });
    const session = { cookie: inMs(60_000), [CREATED]: Date.now() - 3_000_000 };
    await inspector.set(KEY, JSON.stringify(session), {
      expiration: { type: "PX", value: 60_000 },
    });
    const move = (found) => {
      found.cookie.expires = new Date(Date.now() + 36_000_000).toISOString();
    };
    expect(await store.update(SID, move)).toBe(true);
    expect(await inspector.pTTL(KEY)).toBeGreaterThan(60_000);
    expect(await inspector.pTTL(KEY)).toBeLessThanOrEqual(600_000);
    const old = JSON.stringify({ ...session, [CREATED]: Date.now() - 3_700_000 });
    await inspector.set(KEY, old);
    expect(await store.update(SID, move)).toBe(false);
    expect(await inspector.get(KEY)).toBe(old);
  });

  test("if the app gives the store another client meanwhile, the session there is read and changed", async () => {
    const another = await startRedisServer();
    closing.push(() => another.stop());
    const [first, second] = [await client(), await createClient({ url: another.url }).connect()];
    closing.push(() => second.destroy());
    const store = open({ url: undefined, client: first });
    await store.set(SID, { cookie: {}, n: 1 });
    await second.set(KEY, JSON.stringify({ cookie: {}, n: 5 }));
    const updated = await store.update(SID, (session) => {
      store.client = second;
      session.n += 1;
    });
    expect(updated).toBe(true);
    expect((await stored()).n).toBe(1);
    expect(JSON.parse(await second.get(KEY)).n).toBe(6);
  });

  test("an expiry in the past that the function sets ends the session", async () => {
    const store = open();
    await store.set(SID, { cookie: inMs(600_000), n: 0 });
    await store.update(SID, (session) => {
      session.cookie.expires = new Date(Date.now() - 1000).toISOString();
    });
    expect(await inspector.exists(KEY)).toBe(0);
  });

  test("what is no function is a TypeError; what is stored and no session is an error", async () => {
    const store = open();
    await store.set(SID, { cookie: {}, n: 1 });
    for (const given of [undefined, null, { n: 2 }]) {
      expect(await failure(store.update(SID, given))).toBeInstanceOf(TypeError);
    }
    await inspector.set(KEY, "5");
    const error = await failure(store.update(SID, () => {}));
    expect(error).toMatchObject({ code: "ECORRUPT" });
    expect(await inspector.get(KEY)).toBe("5");
  });

  test("through a client it is an error that says what to do", async () => {
    const store = open({
      url: undefined,
      client: await client(),
      transport: "client",
      concurrency: undefined,
    });
    await store.set(SID, { cookie: {} });
    const error = await failure(store.update(SID, () => {}));
    expect(error).toMatchObject({ code: "ECLIENT" });
    expect(error.message).toMatch(/^update: .*url/);
    expect(error.message).not.toContain(SID);
  });
});

test("what sessions were loaded with is let go of with them", async () => {
  const code = `
    import { RedisStore } from "./index.mjs";
    const store = new RedisStore({ url: process.env.URL, concurrency: "merge" });
    const text = "x".repeat(100_000);
    await store.set("a", { cookie: {}, text });
    const rest = () => new Promise((resolve) => setTimeout(resolve, 20));
    const load = async () => {
      for (let n = 0; n < 300; n += 1) {
        await store.get("a");
        if (n % 50 === 0) { gc(); await rest(); }
      }
      for (let n = 0; n < 5; n += 1) { gc(); await rest(); }
      return process.memoryUsage().rss;
    };
    await load();
    const before = await load();
    console.log((await load(), await load(), await load()) - before);
    await store.close();`;
  const { stdout, stderr } = await run(code, { URL: server.url });
  expect(stderr).toBe("");
  // 900 sessions would be 90 MB.
  expect(Number(stdout)).toBeLessThan(45_000_000);
});

test("a session that an app holds does not hold those that were read beside it", async () => {
  const code = `
    import { RedisStore } from "./index.mjs";
    const store = new RedisStore({ url: process.env.URL, concurrency: "merge" });
    const sids = Array.from({ length: 64 }, (_, n) => "s" + n);
    for (const sid of sids) await store.set(sid, { cookie: {}, text: "x".repeat(400) });
    const held = [];
    const load = async () => {
      const found = await Promise.all(sids.map((sid) => store.get(sid)));
      held.push(store.createSession({ sessionID: "s5", sessionStore: store }, found[5]));
    };
    const bytesAfter = async (count) => {
      for (let n = 0; n < count; n += 1) await load();
      gc();
      return process.memoryUsage().heapUsed;
    };
    const before = await bytesAfter(20);
    console.log((await bytesAfter(1000)) - before, held.length);
    await store.close();`;
  const { stdout, stderr } = await run(code, { URL: server.url });
  expect(stderr).toBe("");
  const [bytes, held] = stdout.split(" ").map(Number);
  expect(held).toBe(1020);
  // 1000 sessions take 1.2 MB; with all that were read at once, 14 MB.
  expect(bytes).toBeLessThan(4_000_000);
});
