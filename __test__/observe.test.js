"use strict";

// What a store tells of itself: metrics, tracing channels, ping; and that no session is in any of it.

const { AsyncLocalStorage } = require("node:async_hooks");
const { channel, tracingChannel } = require("node:diagnostics_channel");
const { once } = require("node:events");
const { inspect } = require("node:util");
const { createClient } = require("redis");
const { Redis } = require("ioredis");
const { RedisStore, RedisStoreError } = require("connect-redis-rs");
const { startRedisServer, waitUntil } = require("../scripts/redis-server.js");
const { openInspector } = require("./support/inspector.js");
const { recipe } = require("./support/recipes.js");
const { run } = require("./support/run.js");

/** Planted wherever a session id or a session's data can be. */
const SID = "planted-sid-0123456789";
const SECRET = "planted-secret";

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

function open(options) {
  const store = new RedisStore({ url: server.url, ...options });
  closing.push(() => store.close());
  return store;
}

function newSession(more) {
  const expires = new Date(Date.now() + 60_000);
  return { user: SECRET, ...more, cookie: { originalMaxAge: 60_000, expires } };
}

async function nodeRedis() {
  const client = await createClient({ url: server.url }).connect();
  closing.push(() => client.close());
  return client;
}

function ioredis() {
  const client = new Redis(server.url);
  closing.push(() => client.disconnect());
  return client;
}

/** The ways in which calls go to Redis. */
const CARRIERS = {
  "its own connection": async () => open(),
  "a connection beside node-redis": async () => open({ url: undefined, client: await nodeRedis() }),
  "a connection beside ioredis": async () => open({ url: undefined, client: ioredis() }),
  "node-redis itself": async () =>
    open({ url: undefined, client: await nodeRedis(), transport: "client" }),
  "ioredis itself": async () => open({ url: undefined, client: ioredis(), transport: "client" }),
};
const eachCarrier = describe.each(Object.entries(CARRIERS));

/** Notes what a tracing channel publishes until the test has ended. */
function listen(name = "call") {
  const seen = [];
  const steps = ["start", "end", "asyncStart", "asyncEnd", "error"];
  const handlers = Object.fromEntries(
    steps.map((step) => [step, (message) => seen.push({ step, message, ...message })]),
  );
  const traced = tracingChannel(`connect-redis-rs:${name}`);
  traced.subscribe(handlers);
  closing.push(() => traced.unsubscribe(handlers));
  return { seen, at: (step) => seen.filter((one) => one.step === step) };
}

/** The outcomes that have been counted. */
function counted(store) {
  const entries = Object.entries(store.metrics().calls).map(([operation, outcomes]) => [
    operation,
    Object.fromEntries(Object.entries(outcomes).filter(([, count]) => count > 0)),
  ]);
  return Object.fromEntries(entries.filter(([, outcomes]) => Object.keys(outcomes).length > 0));
}

eachCarrier("over %s", (_carrier, openStore) => {
  test("calls that reject are counted, also those that cannot be made", async () => {
    const store = await openStore();
    await store.ping();
    const circle = newSession();
    circle.circle = circle;
    await expect(store.set(SID, circle)).rejects.toThrow("circular");
    const bad = { ...newSession(), cookie: { expires: "garbage" } };
    await expect(store.set(SID, bad)).rejects.toThrow("expires");
    await expect(store.touch(SID, bad)).rejects.toThrow("expires");
    expect(counted(store)).toMatchObject({ set: { error: 2 }, touch: { error: 1 } });
    expect(store.metrics().errors).toEqual({ TypeError: 1, ERR_INVALID_ARG_VALUE: 2 });
  });

  test("calls are counted by operation and outcome", async () => {
    const store = await openStore();
    await store.set(SID, newSession());
    await store.set(SID, newSession());
    await store.get(SID);
    await store.get("other");
    await store.get("another");
    await store.touch(SID, newSession());
    await store.length();
    await store.ids();
    await store.all();
    await store.ping();
    await store.destroy(SID);
    await store.clear();
    expect(counted(store)).toEqual({
      get: { hit: 1, miss: 2 },
      set: { ok: 2 },
      touch: { ok: 1 },
      destroy: { ok: 1 },
      length: { ok: 1 },
      ids: { ok: 1 },
      all: { ok: 1 },
      clear: { ok: 1 },
      ping: { ok: 1 },
    });
  });

  test("a save of a session that is gone, and a touch that need not be sent, are counted", async () => {
    const store = await openStore();
    const { client, transport } = store;
    const where = client ? { url: undefined, client, transport } : {};
    const touching = open({ touchAfter: 30, ...where });
    await touching.set(SID, newSession());
    const req = { sessionStore: touching, sessionID: SID };
    const session = touching.createSession(req, await touching.get(SID));
    await touching.touch(SID, session);
    await inspector.del(`sess:${SID}`);
    await touching.set(SID, session);
    const { discarded, skippedTouches, calls } = touching.metrics();
    expect({ discarded, skippedTouches }).toEqual({ discarded: 1, skippedTouches: 1 });
    expect(calls.set).toMatchObject({ ok: 1, discarded: 1 });
    expect(calls.touch).toMatchObject({ ok: 0, skipped: 1 });
  });

  test("a call that fails is counted, by its code", async () => {
    const store = await openStore();
    await inspector.lPush(`sess:${SID}`, "x");
    await expect(store.get(SID)).rejects.toMatchObject({ code: "WRONGTYPE" });
    await inspector.set(`sess:broken`, "{");
    await expect(store.get("broken")).rejects.toThrow(SyntaxError);
    const { calls, errors } = store.metrics();
    expect(calls.get).toEqual({ hit: 0, miss: 0, error: 2 });
    expect(errors).toEqual({ WRONGTYPE: 1, SyntaxError: 1 });
  });

  test("each call is published with its outcome and its size, and nothing else", async () => {
    const store = await openStore();
    const { at } = listen();
    const text = JSON.stringify(newSession({ name: "Zoë" }));
    await store.set(SID, newSession({ name: "Zoë" }));
    await store.get(SID);
    await store.get("other");
    await store.touch(SID, newSession());
    await store.length();
    await store.destroy(SID);
    const where = { database: 0, serverAddress: "127.0.0.1", serverPort: server.port };
    const bytes = Buffer.byteLength(text);
    expect(at("asyncEnd").map(({ step, message, ...rest }) => rest)).toEqual([
      { operation: "set", outcome: "ok", bytes, ...where },
      { operation: "get", outcome: "hit", bytes, ...where },
      { operation: "get", outcome: "miss", ...where },
      { operation: "touch", outcome: "ok", ...where },
      { operation: "length", outcome: "ok", ...where },
      { operation: "destroy", outcome: "ok", ...where },
    ]);
    for (const step of ["start", "end", "asyncStart"]) expect(at(step)).toHaveLength(6);
    expect(at("error")).toEqual([]);
  });

  test("no session is in what is published or counted, whatever fails", async () => {
    const store = await openStore();
    const { seen, at } = listen();
    await store.set(SID, newSession());
    await store.get(SID);
    await store.ping();
    await store.ids();
    await store.all();
    await inspector.set(`sess:${SID}`, `{"user":"${SECRET}`);
    await expect(store.get(SID)).rejects.toThrow();
    await inspector.del(`sess:${SID}`);
    await inspector.lPush(`sess:${SID}`, "x");
    await expect(store.get(SID)).rejects.toMatchObject({ code: "WRONGTYPE" });
    const bad = { ...newSession(), cookie: { expires: SECRET } };
    await expect(store.set(SID, bad)).rejects.toThrow(TypeError);
    await expect(store.touch(SID, bad)).rejects.toThrow(TypeError);
    await inspector.sendCommand(["SCRIPT", "FLUSH"]);
    const said = inspect([seen, store.metrics()], {
      depth: 9,
      showHidden: true,
      maxArrayLength: null,
    });
    expect(at("error").length).toBeGreaterThanOrEqual(2);
    expect(said).toContain("WRONGTYPE");
    for (const planted of [SID, SECRET, "planted"]) expect(said).not.toContain(planted);
  });

  test("an error is published as the store's own, with the word of Redis", async () => {
    const store = await openStore();
    const { at } = listen();
    await inspector.lPush(`sess:${SID}`, "x");
    const thrown = await store.get(SID).catch((error) => error);
    await inspector.set("sess:broken", "{");
    await expect(store.get("broken")).rejects.toThrow(SyntaxError);
    const [ofRedis, ofText] = at("asyncEnd");
    expect(ofRedis).toMatchObject({ outcome: "error", statusCode: "WRONGTYPE" });
    expect(ofRedis.error).toBe(thrown);
    expect(ofText.error).toBeInstanceOf(RedisStoreError);
    expect(ofText.error).toMatchObject({ message: "get: SyntaxError", code: "SyntaxError" });
    expect(ofText.statusCode).toBeUndefined();
  });

  test("it answers a ping", async () => {
    const store = await openStore();
    const took = await store.ping();
    expect(took).toBeGreaterThan(0);
    const calledBack = await new Promise((resolve, reject) => {
      store.ping((error, ms) => (error ? reject(error) : resolve(ms)));
    });
    expect(calledBack).toBeGreaterThan(0);
  });
});

describe("metrics", () => {
  test("are plain numbers, at once, also before there is a connection", () => {
    const store = open({ url: "redis://127.0.0.1:1" });
    const metrics = store.metrics();
    expect(JSON.parse(JSON.stringify(metrics))).toEqual(metrics);
    expect(metrics.latency.redis.counts).toHaveLength(metrics.latency.redis.bounds.length + 1);
    expect(metrics).toMatchObject({ waiting: { calls: 0, bytes: 0 }, batches: 0, reconnects: 0 });
  });

  test("have each call that was sent in a bucket, and fewer batches than calls", async () => {
    const store = open();
    await Promise.all(Array.from({ length: 200 }, (_, n) => store.get(`${n}`)));
    const { latency, batches, calls } = store.metrics();
    expect(calls.get.miss).toBe(200);
    for (const { counts, count, sum } of [latency.queue, latency.redis]) {
      expect(count).toBe(200);
      expect(counts.reduce((all, one) => all + one)).toBe(200);
      expect(sum).toBeGreaterThanOrEqual(0);
    }
    expect(latency.redis.sum).toBeGreaterThan(0);
    expect(batches).toBeGreaterThan(0);
    expect(batches).toBeLessThan(200);
  });

  test("show what waits while Redis is away, and in which bucket it was then", async () => {
    const other = await startRedisServer();
    const store = open({ url: other.url });
    await store.ping();
    process.kill(other.pid, "SIGSTOP");
    const waiting = [store.get("12345"), store.get("67890")];
    expect(store.metrics().waiting).toEqual({ calls: 2, bytes: 10 });
    await new Promise((resolve) => setTimeout(resolve, 120));
    process.kill(other.pid, "SIGCONT");
    await Promise.all(waiting);
    const { latency, waiting: then } = store.metrics();
    expect(then).toEqual({ calls: 0, bytes: 0 });
    const slow = latency.redis.bounds.findIndex((bound) => bound > 0.1);
    expect(latency.redis.counts.slice(slow).reduce((all, one) => all + one)).toBe(2);
    await other.stop();
  });

  test("count the reconnects, and the calls that found no connection", async () => {
    const store = open();
    await store.ping();
    const lost = once(store, "reconnecting");
    await inspector.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    await lost;
    await store.ping();
    expect(store.metrics().reconnects).toBe(1);
    const away = open({ url: "redis://127.0.0.1:1", onUnavailable: "error" });
    await waitUntil("the store knows", async () => {
      const code = await away.get("a").catch((error) => error.code);
      return code === "ECONNREFUSED";
    });
    const { calls, errors } = away.metrics();
    expect(calls.get.error).toBe(errors.ECONNREFUSED);
  });

  test("of two stores of one client are each its own", async () => {
    const client = await nodeRedis();
    const [one, two] = [1, 2].map(() => open({ url: undefined, client }));
    await one.get("a");
    await two.get("a");
    await two.get("a");
    expect([one, two].map((store) => store.metrics().calls.get.miss)).toEqual([1, 2]);
  });
});

describe("the channels", () => {
  test("tell a call's start in the context of its caller, and run it in a bound one", async () => {
    const store = open();
    const context = new AsyncLocalStorage();
    const bound = new AsyncLocalStorage();
    const { start, asyncEnd } = tracingChannel("connect-redis-rs:call");
    const seen = [];
    const onStart = () => seen.push(["start", context.getStore()]);
    const onEnd = () => seen.push(["asyncEnd", context.getStore(), bound.getStore()?.operation]);
    start.subscribe(onStart);
    asyncEnd.subscribe(onEnd);
    start.bindStore(bound, (message) => message);
    closing.push(() => {
      start.unsubscribe(onStart);
      asyncEnd.unsubscribe(onEnd);
      start.unbindStore(bound);
    });
    await Promise.all(["a", "b"].map((name) => context.run(name, () => store.get(name))));
    expect(seen).toEqual([
      ["start", "a"],
      ["start", "b"],
      ["asyncEnd", "a", "get"],
      ["asyncEnd", "b", "get"],
    ]);
  });

  test("leave a rejection that nobody handles to Node", async () => {
    const { stderr, code } = await run(
      `import { tracingChannel } from "node:diagnostics_channel";
       import { RedisStore } from "connect-redis-rs";
       tracingChannel("connect-redis-rs:call").subscribe({ start() {}, asyncEnd() {}, error() {} });
       const store = new RedisStore({ url: "redis://127.0.0.1:1", commandTimeout: 50 });
       store.get("a");
       setTimeout(() => {}, 5000);`,
    );
    expect(stderr).toContain("ECONNREFUSED");
    expect(code).toBe(1);
  });

  test("tell of each attempt to connect, and of a connection that was lost", async () => {
    const { seen } = listen("connect");
    const lost = [];
    const onLost = (message) => lost.push(message);
    const reconnecting = channel("connect-redis-rs:reconnecting");
    reconnecting.subscribe(onLost);
    closing.push(() => reconnecting.unsubscribe(onLost));
    const own = await startRedisServer();
    const store = open({ url: `${own.url}/2` });
    await store.ping();
    const where = { database: 2, serverAddress: "127.0.0.1", serverPort: own.port };
    expect(seen.map(({ step }) => step)).toEqual(["start", "end", "asyncStart", "asyncEnd"]);
    expect(seen[3].message).toEqual(where);
    seen.length = 0;
    await own.stop();
    await waitUntil("an attempt has failed", () => seen.some(({ step }) => step === "error"));
    expect(lost).toEqual([where]);
    const failed = seen.find(({ step }) => step === "error");
    expect(failed.error).toMatchObject({ code: "ECONNREFUSED" });
    expect(failed.error).toBeInstanceOf(RedisStoreError);
  });

  test("are told of a connection beside a client, and not of scans through one", async () => {
    const { at } = listen("connect");
    const through = open({ url: undefined, client: await nodeRedis(), transport: "client" });
    await through.length();
    expect(at("start")).toEqual([]);
    const beside = open({ url: undefined, client: await nodeRedis() });
    await beside.get("a");
    await waitUntil("it is connected", () => at("asyncEnd").length > 0);
    expect(at("asyncEnd")[0]).toMatchObject({ serverPort: server.port });
  });
});

describe("two requests that change a session at once", () => {
  /** Two sessions of one sid, changed and saved one after the other. */
  async function collide(concurrency) {
    const store = open({ concurrency });
    const told = [];
    const conflicts = channel("connect-redis-rs:conflict");
    const onConflict = (message) => told.push(message);
    conflicts.subscribe(onConflict);
    closing.push(() => conflicts.unsubscribe(onConflict));
    await store.set(SID, newSession());
    const load = async () => store.createSession({ sessionID: SID }, await store.get(SID));
    const [one, two] = await Promise.all([load(), load()]);
    one.basket = SECRET;
    two.theme = SECRET;
    await store.set(SID, one);
    const { at } = listen();
    await store.set(SID, two);
    return { store, told, end: at("asyncEnd")[0] };
  }
  const where = () => ({
    database: 0,
    serverAddress: "127.0.0.1",
    serverPort: server.port,
  });

  test("are told by a channel, and counted as merged", async () => {
    const { store, told, end } = await collide("merge");
    expect(told).toEqual([{ operation: "set", outcome: "merged", ...where() }]);
    expect(end).toMatchObject({ operation: "set", outcome: "merged" });
    expect(store.metrics()).toMatchObject({ merged: 1, calls: { set: { ok: 2, merged: 1 } } });
    expect(inspect([told, end], { depth: 9 })).not.toContain("planted");
  });

  test("are told by a channel, and counted as overwritten", async () => {
    const { store, told, end } = await collide("detect");
    expect(told).toEqual([{ operation: "set", outcome: "overwritten", ...where() }]);
    expect(end).toMatchObject({ outcome: "overwritten" });
    expect(store.metrics().calls.set).toMatchObject({ ok: 2, overwritten: 1 });
  });

  test("are told of an update that is tried again, which counts as one", async () => {
    const { store, told } = await collide("merge");
    told.length = 0;
    let isFirst = true;
    await store.update(SID, async (session) => {
      if (isFirst) await inspector.set(`sess:${SID}`, JSON.stringify(newSession({ n: 1 })));
      isFirst = false;
      session.m = 2;
    });
    expect(told).toEqual([{ operation: "update", outcome: "retried", ...where() }]);
    expect(store.metrics().calls.update).toEqual({ ok: 1, error: 0 });
  });
});

test("with hashed ids a call counts once, however many keys it looks at", async () => {
  const store = open({ hashIds: "migrate" });
  await inspector.set(`sess:${SID}`, JSON.stringify(newSession()));
  const { at } = listen();
  await store.get(SID);
  await store.get(SID);
  await store.get("nobody");
  await store.set(SID, newSession());
  await store.length();
  await store.destroy(SID);
  expect(counted(store)).toEqual({
    get: { hit: 2, miss: 1 },
    set: { ok: 1 },
    length: { ok: 1 },
    destroy: { ok: 1 },
  });
  expect(at("asyncEnd").map(({ operation }) => operation)).toEqual([
    "get",
    "get",
    "get",
    "set",
    "length",
    "destroy",
  ]);
  expect(at("start")[0]).toMatchObject({ serverPort: server.port });
  expect(store.metrics().latency.redis.count).toBeGreaterThan(6);
});

test("a user's sessions are counted as the calls that they are, not as what they are made of", async () => {
  const store = open({ user: "user" });
  await store.set(SID, newSession());
  await store.sessionsOf(SECRET);
  await store.destroyAllOf(SECRET);
  expect(counted(store)).toEqual({
    set: { ok: 1 },
    sessionsOf: { ok: 1 },
    destroyAllOf: { ok: 1 },
  });
});

describe("ping", () => {
  test("rejects while Redis is away, and resolves when it is there again", async () => {
    const own = await startRedisServer();
    const store = open({ url: own.url, commandTimeout: 300 });
    await store.ping();
    process.kill(own.pid, "SIGSTOP");
    await expect(store.ping()).rejects.toMatchObject({ code: "ETIMEDOUT" });
    process.kill(own.pid, "SIGCONT");
    await waitUntil("it answers", () =>
      store.ping().then(
        () => true,
        () => false,
      ),
    );
    await own.stop();
    await expect(store.ping()).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("needs no right of its own", async () => {
    const rules = ["on", ">sesame", "~sess:*", "+get"];
    await inspector.sendCommand(["ACL", "SETUSER", "few", ...rules]);
    closing.push(() => inspector.sendCommand(["ACL", "DELUSER", "few"]));
    const store = open({ username: "few", password: "sesame" });
    expect(await store.ping()).toBeGreaterThan(0);
  });
});

describe("the recipes of docs/observing.md", () => {
  /** What a sample prints with more code around it. */
  async function outputOf(word, after, before = "") {
    const { stdout, stderr } = await run(`${before}\n${recipe(word, server)}\n${after}`);
    expect(stderr).toBe("");
    return stdout;
  }

  test("prom-client serves a page that Prometheus can read", async () => {
    const text = await outputOf(
      "prom-client",
      `await store.set("${SID}", { cookie: {} });
       await store.get("${SID}");
       await store.get("other");
       const { port } = page.address();
       process.stdout.write(await (await fetch("http://localhost:" + port)).text());
       process.exit();`,
    );
    const families = parseExposition(text);
    expect(families.session_calls_total.type).toBe("counter");
    const calls = families.session_calls_total.samples;
    expect(calls['session_calls_total{operation="get",outcome="hit"}']).toBe(1);
    expect(calls['session_calls_total{operation="get",outcome="miss"}']).toBe(1);
    expect(calls['session_calls_total{operation="set",outcome="ok"}']).toBe(1);
    const { type, samples } = families.session_redis_seconds;
    expect(type).toBe("histogram");
    expect(samples['session_redis_seconds_bucket{le="+Inf"}']).toBe(3);
    expect(samples.session_redis_seconds_count).toBe(3);
    expect(samples.session_redis_seconds_sum).toBeGreaterThan(0);
    const buckets = Object.entries(samples).filter(([name]) => name.includes("_bucket"));
    const values = buckets.map(([, value]) => value);
    expect(values).toEqual([...values].sort((a, b) => a - b));
    expect(text).not.toContain("planted");
  });

  test("OpenTelemetry collects the counters", async () => {
    const collected = await outputOf(
      "createObservableCounter",
      `await store.get("other");
       const { resourceMetrics, errors } = await reader.collect();
       console.log(JSON.stringify({ errors, metrics: resourceMetrics.scopeMetrics[0].metrics }));
       process.exit();`,
      `import { MeterProvider, MetricReader } from "@opentelemetry/sdk-metrics";
       class Reader extends MetricReader { async onForceFlush() {} async onShutdown() {} }
       const reader = new Reader();
       metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));`,
    );
    const { errors, metrics } = JSON.parse(collected);
    expect(errors).toEqual([]);
    const [calls, waiting] = metrics;
    expect(calls.descriptor.name).toBe("session.calls");
    expect(calls.dataPoints).toContainEqual(
      expect.objectContaining({
        attributes: { "db.operation.name": "get", outcome: "miss" },
        value: 1,
      }),
    );
    expect(waiting.dataPoints).toMatchObject([{ value: 0 }]);
  });

  test("OpenTelemetry has a span of each call, under the span of the request, and no session in it", async () => {
    const spans = await outputOf(
      "startSpan",
      `import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
       import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node";
       import { RedisStore } from "connect-redis-rs";
       import { createClient } from "redis";
       import { inspect } from "node:util";
       const exporter = new InMemorySpanExporter();
       new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
       const store = new RedisStore({ url: "${server.url}/1", prefix: "traced:" });
       const client = await createClient({ url: "${server.url}/1" }).connect();
       await client.lPush("traced:list-${SID}", "x");
       const request = (name, sid) => tracer.startActiveSpan(name, async (span) => {
         await store.set(sid, { user: "${SECRET}", cookie: {} });
         await new Promise((resolve) => setImmediate(resolve));
         await store.get(sid);
         span.end();
       });
       await Promise.all([request("one", "1-${SID}"), request("two", "2-${SID}")]);
       await store.get("list-${SID}").catch(() => {});
       const all = exporter.getFinishedSpans();
       const nameOf = Object.fromEntries(all.map((span) => [span.spanContext().spanId, span.name]));
       const seen = all.map((span) => ({
         name: span.name,
         parent: nameOf[span.parentSpanContext?.spanId ?? span.parentSpanId],
         kind: span.kind,
         status: span.status.code,
         attributes: span.attributes,
       }));
       console.log(JSON.stringify({ seen, leaks: inspect(all, { depth: 9 }).includes("planted") }));
       process.exit();`,
    );
    const { seen, leaks } = JSON.parse(spans);
    expect(leaks).toBe(false);
    const attributes = (operation, outcome) => ({
      "db.system.name": "redis",
      "db.operation.name": operation,
      "db.namespace": "1",
      "server.address": "127.0.0.1",
      "server.port": server.port,
      "session.outcome": outcome,
    });
    const under = (parent) => seen.filter((span) => span.parent === parent);
    for (const parent of ["one", "two"]) {
      expect(under(parent)).toEqual([
        { name: "session set", parent, kind: 2, status: 0, attributes: attributes("set", "ok") },
        { name: "session get", parent, kind: 2, status: 0, attributes: attributes("get", "hit") },
      ]);
    }
    const failed = seen.find(({ status }) => status === 2);
    expect(failed).toMatchObject({ name: "session get" });
    expect(failed.attributes).toEqual({
      ...attributes("get", "error"),
      "error.type": "WRONGTYPE",
      "db.response.status_code": "WRONGTYPE",
    });
  });

  test("the health check answers 200, and 503 while Redis is away", async () => {
    const own = await startRedisServer();
    const code = recipe("/health", server).replace(server.url, own.url).replace("1000", "300");
    let asked;
    const { stdout } = await run(
      `${code}
       const listening = app.listen(0, () => console.log("ready"));
       const ask = async () => (await fetch("http://localhost:" + listening.address().port + "/health")).status;
       console.log("first", await ask());
       process.stdin.once("data", async () => {
         console.log("then", await ask());
         process.exit();
       });`,
      {},
      (output, child) => {
        if (!output.includes("first 200") || asked) return;
        asked = own.stop().then(() => child.stdin.write("go\n"));
      },
    );
    expect(stdout).toContain("then 503");
  });
});

/**
 * Reads Prometheus's text format, by the rules of its documentation: each sample under the TYPE of its
 * family, once, with a number. Throws over anything else.
 */
function parseExposition(text) {
  expect(text.endsWith("\n")).toBe(true);
  const families = {};
  let family;
  for (const line of text.split("\n").filter((one) => one !== "")) {
    const [, keyword, name, rest] = /^# (HELP|TYPE) ([a-zA-Z_:][\w:]*) (.*)$/.exec(line) ?? [];
    if (keyword === "HELP") continue;
    if (keyword === "TYPE") {
      if (families[name]) throw new Error(`${name} comes twice`);
      family = { name, type: rest, samples: {} };
      families[name] = family;
      continue;
    }
    const sample =
      /^([a-zA-Z_:][\w:]*)((?:\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)+\})?) (\S+)$/.exec(
        line,
      );
    if (!sample) throw new Error(`no sample: ${line}`);
    const [, own, labels, value] = sample;
    const base = family.type === "histogram" ? own.replace(/_(bucket|sum|count)$/, "") : own;
    if (base !== family.name) throw new Error(`${own} is not of ${family.name}`);
    if (Number.isNaN(Number(value)) || own + labels in family.samples) throw new Error(line);
    family.samples[own + labels] = Number(value);
  }
  return families;
}
