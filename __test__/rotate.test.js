"use strict";

// `store.rotate`: a request's session gets a new id, through Express.

const { createClient } = require("redis");
const { RedisStore } = require("..");
const { waitUntil } = require("../scripts/redis-server.js");
const { CREATED, serve } = require("./support/concurrency.js");
const { failure } = require("./support/calls.js");
const { useRedis } = require("./support/life-cycle.js");

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let server;
let inspector;
let closing;

useRedis((used) => {
  ({ server, inspector, closing } = used);
});

async function client() {
  const made = createClient({ url: server.url });
  made.on("error", () => {});
  closing.push(() => made.destroy());
  await made.connect();
  return made;
}

/** How the store reaches Redis: each claim holds for all. */
const SETUPS = [
  ["url", async () => ({ url: server.url })],
  ['url, concurrency "merge"', async () => ({ url: server.url, concurrency: "merge" })],
  ["beside a client", async () => ({ client: await client() })],
  ["through a client", async () => ({ client: await client(), transport: "client" })],
];

const keyOf = (sid) => `sess:${sid}`;
const stored = async (sid) => JSON.parse(await inspector.get(keyOf(sid)));
const sidOf = (cookie) => decodeURIComponent(cookie).match(/=s:([^.]+)\./)[1];

describe.each(SETUPS)("%s", (_, source) => {
  /** An app and a browser that has a session there. */
  async function open(options, { maxAge = HOUR, ...sessionOptions } = {}) {
    const store = new RedisStore({ ...(await source()), ...options });
    closing.push(() => store.close());
    const app = await serve(store, { cookie: { maxAge }, ...sessionOptions });
    closing.push(() => app.close());
    await app.request((req) => {
      req.session.cart = [1, { a: [] }];
    });
    return { ...app, cookie: app.jar.cookie, old: app.sid() };
  }

  /** Makes a request that rotates its session; resolves to what it resolved to, and the new sid. */
  async function rotate(app, options, after = () => {}) {
    let rotated;
    const response = await app.request(async (req, res) => {
      rotated = await app.store.rotate(req, options);
      await after(req, res);
    });
    return { rotated, ...response };
  }

  /** What a request with this cookie finds in its session. */
  async function found(app, cookie) {
    const { body } = await app.request((req) => ({ ...req.session }), { cookie });
    const { cookie: _cookie, ...members } = body;
    return members;
  }

  test("the session has a new sid and the same data, the cookie is sent, and the old sid is gone", async () => {
    const app = await open();
    const { rotated, set } = await rotate(app);
    expect(rotated).toBe(true);
    const sid = sidOf(set);
    expect(sid).not.toBe(app.old);
    expect(await inspector.keys("*")).toEqual([keyOf(sid)]);
    expect(await found(app, app.jar.cookie)).toEqual({ cart: [1, { a: [] }] });
    expect(await found(app, app.cookie)).toEqual({});
  });

  test("what the request sets after it is saved under the new sid", async () => {
    const app = await open();
    await rotate(app, undefined, (req) => {
      req.session.user = "ada";
      delete req.session.cart;
    });
    expect(await found(app, app.jar.cookie)).toEqual({ user: "ada" });
    expect(await inspector.keys("*")).toHaveLength(1);
  });

  test("the request's session saves, reloads and destroys itself under the new sid", async () => {
    const app = await open();
    await rotate(app, undefined, async (req) => {
      const call = (name) =>
        new Promise((resolve, reject) =>
          req.session[name]((error) => (error ? reject(error) : resolve())),
        );
      req.session.n = 1;
      await call("save");
      req.session.n = 2;
      await call("reload");
      expect(req.session.n).toBe(1);
      expect(req.session.id).not.toBe(app.old);
      await call("destroy");
    });
    expect(await inspector.keys("*")).toEqual([]);
  });

  test("with grace the old sid works until then and is gone after that, also if slow requests save and touch it meanwhile", async () => {
    const app = await open();
    const saving = await app.slowRequest((req) => {
      req.session.slow = 1;
    });
    const touching = await app.slowRequest(() => {});
    const grace = 1_000;
    const { rotated, set } = await rotate(app, { grace }, (req) => {
      req.session.user = "ada";
    });
    expect(rotated).toBe(true);
    expect(await inspector.pTTL(keyOf(app.old))).toBeLessThanOrEqual(grace);
    expect(await found(app, app.cookie)).toEqual({ cart: [1, { a: [] }] });
    await saving();
    await touching();
    await waitUntil("the old session is gone", async () => {
      const { user, ...rest } = (await stored(app.old)) ?? {};
      // What the authenticated request has set never lies there.
      expect(user).toBeUndefined();
      return Object.keys(rest).length === 0;
    });
    expect(await found(app, set.split(";")[0])).toEqual({ user: "ada", cart: [1, { a: [] }] });
  }, 20_000);

  test("an old session that ends before the grace is over is not kept for longer", async () => {
    const app = await open();
    const release = await app.slowRequest(async (req) => {
      await inspector.pExpire(keyOf(app.old), MINUTE);
      await app.store.rotate(req, { grace: HOUR });
      expect(await inspector.pTTL(keyOf(app.old))).toBeLessThanOrEqual(MINUTE);
      expect(await inspector.pTTL(keyOf(req.sessionID))).toBeGreaterThan(50 * MINUTE);
    });
    await release();
  });

  test("concurrent rotations of one session leave the user signed in, in whatever order the responses come", async () => {
    for (const more of [{}, { rolling: true }]) {
      const app = await open({}, more);
      const login = async (req) => {
        await app.store.rotate(req);
        req.session.user = "ada";
      };
      const releases = [await app.slowRequest(login), await app.slowRequest(login)];
      const responses = await Promise.all(releases.map((release) => release()));
      for (const order of [responses, responses.toReversed()]) {
        const cookie = order.reduce(
          (kept, { set }) => (set ? set.split(";")[0] : kept),
          app.cookie,
        );
        expect(await found(app, cookie)).toEqual({ user: "ada", cart: [1, { a: [] }] });
      }
      expect(await inspector.exists(keyOf(app.old))).toBe(0);
    }
  });

  test("concurrent rotations with grace leave the user signed in, and none fails", async () => {
    const app = await open();
    const rotated = [];
    const login = async (req) => {
      rotated.push(await app.store.rotate(req, { grace: MINUTE }));
      req.session.user = "ada";
    };
    const releases = [await app.slowRequest(login), await app.slowRequest(login)];
    const responses = await Promise.all(releases.map((release) => release()));
    expect(rotated).toEqual([true, true]);
    for (const { set } of responses) {
      expect(await found(app, set.split(";")[0])).toMatchObject({ user: "ada" });
    }
  });

  test.each([0, MINUTE])(
    "a session that is destroyed meanwhile stays destroyed (grace %d): it resolves to false",
    async (grace) => {
      const app = await open();
      const release = await app.slowRequest(async (req) => {
        const { session } = req;
        expect(await app.store.rotate(req, { grace })).toBe(false);
        expect(req.session).toBe(session);
        req.session.user = "ada";
      });
      await app.request((req) => new Promise((resolve) => req.session.destroy(resolve)));
      const { set } = await release();
      // A cookie with the old sid would take the place of one that another rotation has sent.
      expect(set).toBeNull();
      expect(await inspector.keys("*")).toEqual([]);
    },
  );

  test("after it has resolved to false the request can have a new session", async () => {
    const app = await open();
    const release = await app.slowRequest(async (req) => {
      expect(await app.store.rotate(req)).toBe(false);
      await new Promise((resolve) => req.session.regenerate(resolve));
      req.session.user = "ada";
    });
    await app.request((req) => new Promise((resolve) => req.session.destroy(resolve)));
    const { set } = await release();
    expect(await found(app, set.split(";")[0])).toEqual({ user: "ada" });
    expect(await inspector.keys("*")).toEqual([keyOf(sidOf(set))]);
  });

  test("if Redis refuses the new session the request's session is as it was", async () => {
    const app = await open({ commandTimeout: 1_000 });
    closing.push(() => inspector.configSet("maxmemory", "0"));
    const release = await app.slowRequest(async (req) => {
      const { session } = req;
      await inspector.configSet("maxmemory", "1");
      const error = await failure(app.store.rotate(req));
      await inspector.configSet("maxmemory", "0");
      expect(error).toBeInstanceOf(Error);
      expect(error.message).toMatch(/OOM|maxmemory/);
      for (const sid of [app.old, req.sessionID]) expect(error.message).not.toContain(sid);
      expect(req.session).toBe(session);
      expect(req.sessionID).toBe(app.old);
      req.session.later = 1;
    });
    await release();
    expect(await found(app, app.cookie)).toEqual({ cart: [1, { a: [] }], later: 1 });
    expect(await inspector.keys("*")).toEqual([keyOf(app.old)]);
  });

  test("the session keeps the maxAge that the app has given it, in Redis and in the cookie", async () => {
    const app = await open({}, { maxAge: 10 * MINUTE });
    await app.request((req) => {
      req.session.cookie.maxAge = 5 * HOUR;
      req.session.remember = true; // A change of the cookie alone is not saved.
    });
    const { set } = await rotate(app);
    const { cookie } = await stored(sidOf(set));
    expect(Math.abs(cookie.originalMaxAge - 5 * HOUR)).toBeLessThan(1_000);
    expect(await inspector.pTTL(keyOf(sidOf(set)))).toBeGreaterThan(4 * HOUR);
    expect(Date.parse(/Expires=([^;]+)/.exec(set)[1])).toBeGreaterThan(Date.now() + 4 * HOUR);
  });

  test("lifetime counts from when the first session was created", async () => {
    const app = await open({ lifetime: 3600 }, { maxAge: 10 * HOUR });
    const created = Date.now() - 50 * MINUTE;
    const before = await stored(app.old);
    await inspector.set(keyOf(app.old), JSON.stringify({ ...before, [CREATED]: created }));
    const { set } = await rotate(app, undefined, (req) => {
      req.session.user = "ada";
    });
    const { user, [CREATED]: since } = await stored(sidOf(set));
    expect({ user, since }).toEqual({ user: "ada", since: created });
    expect(await inspector.pTTL(keyOf(sidOf(set)))).toBeLessThanOrEqual(10 * MINUTE);
  });

  test("with lifetime a session that the same request has saved and rotates counts from that save", async () => {
    const app = await open({ lifetime: 3600 });
    app.jar.cookie = undefined;
    await app.request(async (req) => {
      await new Promise((resolve) => req.session.save(resolve));
      const since = (await stored(req.sessionID))[CREATED];
      await new Promise((resolve) => setTimeout(resolve, 20));
      await app.store.rotate(req);
      expect((await stored(req.sessionID))[CREATED]).toBe(since);
    });
  });

  test("a session that is new, and was never saved, is saved under another sid", async () => {
    const app = await open();
    app.jar.cookie = undefined;
    const { rotated, set } = await rotate(app, undefined, (req) => {
      req.session.user = "bob";
    });
    expect(rotated).toBe(true);
    expect(await stored(sidOf(set))).toMatchObject({ user: "bob" });
    expect(await inspector.keys("*")).toHaveLength(2);
  });

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, "500", {}])(
    "the grace %p is a TypeError, and nothing has changed",
    async (grace) => {
      const app = await open();
      await app.request(async (req) => {
        const { session } = req;
        const error = await failure(app.store.rotate(req, { grace }));
        expect(error).toBeInstanceOf(TypeError);
        expect(error.message).toMatch(/^rotate: grace must be a number of milliseconds/);
        expect(req.session).toBe(session);
      });
      expect(await inspector.keys("*")).toEqual([keyOf(app.old)]);
    },
  );

  test("a request without a session is a TypeError", async () => {
    const { store } = await open();
    for (const req of [undefined, null, {}, { session: null, sessionID: "x" }]) {
      const error = await failure(store.rotate(req));
      expect(error).toBeInstanceOf(TypeError);
      expect(error.message).toMatch(/^rotate: the request has no session/);
    }
  });

  test("a callback, with options or without, gets what the promise would", async () => {
    const app = await open();
    await app.request(async (req) => {
      const first = req.sessionID;
      const answered = (...args) =>
        new Promise((resolve) =>
          app.store.rotate(req, ...args, (error, value) => resolve([error, value])),
        );
      expect(await answered()).toEqual([null, true]);
      expect(req.sessionID).not.toBe(first);
      expect(await answered({ grace: MINUTE })).toEqual([null, true]);
      const [error] = await answered({ grace: -1 });
      expect(error).toBeInstanceOf(TypeError);
    });
  });

  test("without data to rotate twice in one request is as good as once", async () => {
    const app = await open();
    const { set } = await rotate(app, undefined, (req) => app.store.rotate(req));
    expect(await inspector.keys("*")).toEqual([keyOf(sidOf(set))]);
  });
});

test("after it, concurrency goes on: changes of others to the new session are merged", async () => {
  const store = new RedisStore({ url: server.url, concurrency: "merge" });
  closing.push(() => store.close());
  const app = await serve(store);
  closing.push(() => app.close());
  await app.request((req) => Object.assign(req.session, { cart: 1, gone: 1 }));
  await app.request(async (req) => {
    await store.rotate(req);
    await store.update(req.sessionID, (session) => {
      session.theirs = 1;
      delete session.gone;
    });
    req.session.user = "ada";
  });
  const { cookie, ...rest } = await stored(app.sid());
  expect(rest).toEqual({ cart: 1, theirs: 1, user: "ada" });
});

test("if the old session cannot be ended, it goes on, and the new one is not left behind", async () => {
  const rules = ["on", ">pw", "~*", "+@all", "-pttl"];
  await inspector.sendCommand(["ACL", "SETUSER", "rotating", ...rules]);
  closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "rotating"]));
  const store = new RedisStore({ url: server.url, username: "rotating", password: "pw" });
  closing.push(() => store.close());
  const app = await serve(store);
  closing.push(() => app.close());
  await app.request((req) => Object.assign(req.session, { cart: 1 }));
  const old = app.sid();
  await app.request(async (req) => {
    const error = await failure(store.rotate(req, { grace: MINUTE }));
    expect(error).toMatchObject({ code: "NOPERM" });
    expect(error.message).not.toContain(old);
    expect(req.sessionID).toBe(old);
    req.session.later = 1;
  });
  expect(await inspector.keys("*")).toEqual([keyOf(old)]);
  expect(await stored(old)).toMatchObject({ cart: 1, later: 1 });
});

test("a store that no middleware uses is a TypeError", async () => {
  const store = new RedisStore({ url: server.url });
  closing.push(() => store.close());
  const error = await failure(store.rotate({ session: { cookie: {} }, sessionID: "x" }));
  expect(error).toBeInstanceOf(TypeError);
  expect(error.message).toMatch(/express-session/);
});
