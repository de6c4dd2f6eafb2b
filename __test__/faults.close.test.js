"use strict";

// close(): every call in flight settles, and nothing is left behind.

const { once } = require("node:events");
const { RedisStoreError } = require("..");
const { freePort } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const { everyCall, failures, open, start, stopwatch, watch } = require("./support/faults.js");
const { measured } = require("./support/measured.js");
const { countClients, waitUntilAlone } = require("./support/inspector.js");

test("close() rejects calls that wait for a connection, works once, and the status is closed", async () => {
  const port = await freePort();
  const store = open({ url: `redis://127.0.0.1:${port}` });
  const ended = once(store, "end");
  const pending = [store.get("a"), store.set("a", {}), store.all()].map(failure);
  const closes = [store.close(), store.close()];
  for (const error of await Promise.all(pending)) {
    expect(error.code).toBe("ECLOSED");
    expect(error).toBeInstanceOf(RedisStoreError);
  }
  expect(await Promise.all(closes)).toEqual([null, null]);
  await ended;
  expect(store.status).toBe("closed");
  expect(await store.close()).toBeNull();
  for (const call of [store.get("a"), store.set("a", {}), store.all(), store.length()]) {
    expect((await failure(call)).code).toBe("ECLOSED");
  }
  const [error] = await new Promise((resolve) => store.get("a", (...args) => resolve(args)));
  expect(error.code).toBe("ECLOSED");
});

test("each call in flight is answered or rejects with ECLOSED, and close() ends at once", async () => {
  const server = await start();
  const store = open({ url: server.url, commandTimeout: 10_000 });
  await store.set("a", { n: 1 });
  process.kill(server.pid, "SIGSTOP");
  const flying = Array.from({ length: 1000 }, (_, n) => store.set(`s${n}`, { n }));
  const scans = Object.values(everyCall(store));
  // The calls are sent in the next turn of the event loop.
  await new Promise(setImmediate);
  const ms = stopwatch();
  const closed = store.close().then(ms);
  const { errors, longest } = await failures([...flying, ...scans]);
  const took = await closed;
  for (const error of errors) expect(error.code).toBe("ECLOSED");
  expect(took).toBeLessThan(2000);
  measured(
    "close() with calls in flight",
    `a server that hangs: ${errors.length} of ${errors.length} calls rejected within ` +
      `${longest} ms; closed after ${took} ms`,
  );

  process.kill(server.pid, "SIGCONT");
  const again = open({ url: server.url });
  await again.get("a");
  const calls = Array.from({ length: 1000 }, (_, n) => again.set(`t${n}`, { n }));
  const [results] = await Promise.all([Promise.allSettled(calls), again.close()]);
  const inspector = await watch(server);
  let answered = 0;
  for (const [n, { status, reason }] of results.entries()) {
    if (status === "rejected") expect(reason.code).toBe("ECLOSED");
    else {
      expect(await inspector.exists(`sess:t${n}`)).toBe(1);
      answered += 1;
    }
  }
  measured(
    "close() with calls in flight",
    `a server that works: ${answered} of 1000 answered, and written; the others rejected`,
  );
});

test("close() closes the connection", async () => {
  const server = await start();
  const inspector = await watch(server);
  await waitUntilAlone(inspector);
  const stores = Array.from({ length: 20 }, () => open({ url: server.url }));
  await Promise.all(stores.map((store) => store.get("a")));
  expect(await countClients(inspector)).toBe(1 + 20);
  await Promise.all(stores.map((store) => store.close()));
  await waitUntilAlone(inspector);
});
