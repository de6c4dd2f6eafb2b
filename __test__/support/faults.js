"use strict";

// Helpers for the tests of faults. Whatever is opened here is closed after the test.

const net = require("node:net");
const { RedisStore } = require("../..");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { failure } = require("./calls.js");
const { startProxy } = require("./proxy.js");
const { openInspector } = require("./inspector.js");

/** Less than jest's limit of a test, so that the test fails with the error of the call. */
const WORKS_WITHIN_MS = 15_000;

const closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(options) {
  const server = await startRedisServer(options);
  closing.push(() => server.stop());
  return server;
}

async function startBehindProxy(options) {
  const server = await start(options);
  const proxy = await startProxy(server);
  closing.push(() => proxy.stop());
  return { server, proxy };
}

function open(options) {
  const store = new RedisStore(options);
  closing.push(() => store.close());
  return store;
}

async function watch(server, options) {
  const inspector = await openInspector(server, options);
  inspector.on("error", () => {}); // The test may kill its server.
  closing.push(() => inspector.destroy());
  return inspector;
}

/** Starts a server that passes each connection to the test; resolves to its url. */
async function fake(onConnection) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return `redis://127.0.0.1:${server.address().port}`;
}

/** Calls each method once. */
const everyCall = (store) => ({
  get: store.get("the-sid"),
  set: store.set("the-sid", {}),
  touch: store.touch("the-sid", {}),
  destroy: store.destroy("the-sid"),
  clear: store.clear(),
  length: store.length(),
  ids: store.ids(),
  all: store.all(),
});

/** Returns a function that returns the whole milliseconds since this call. */
function stopwatch() {
  const from = performance.now();
  return () => Math.round(performance.now() - from);
}

/** Calls again and again; resolves to the milliseconds until a call succeeds. */
async function untilWorks(call) {
  const ms = stopwatch();
  for (;;) {
    const error = await failure(call());
    if (error === undefined) return ms();
    if (ms() > WORKS_WITHIN_MS) throw error;
  }
}

/** Resolves to the errors of calls, and the milliseconds of the longest call. */
async function failures(calls) {
  const ms = stopwatch();
  let longest = 0;
  const errors = await Promise.all(
    calls.map((call) =>
      failure(call).finally(() => {
        longest = ms();
      }),
    ),
  );
  return { errors, longest };
}

module.exports = {
  everyCall,
  failures,
  fake,
  open,
  start,
  startBehindProxy,
  stopwatch,
  untilWorks,
  watch,
};
