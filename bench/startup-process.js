"use strict";

// The cost of a library at startup and at rest: node startup-process.js WHAT [PEER] [URL] writes one
// JSON value. express-session is loaded before, because every app has it.

require("express-session");
const { setTimeout: wait } = require("node:timers/promises");
const { REFERENCE } = require("./names.js");

/** Waits so long before the memory is measured; there is no event for an idle process. */
const SETTLE_MS = 300;

const [what, peer, url] = process.argv.slice(2);

const DO = {
  /** Milliseconds to load the library, and the client if it needs one. */
  async require() {
    const started = performance.now();
    if (peer === REFERENCE) {
      require("connect-redis");
      require("redis");
    } else require("..");
    return performance.now() - started;
  },

  /** Milliseconds from the start of the process to the reply of the first get. */
  async firstGet() {
    const { store } = await open();
    await new Promise((resolve, reject) => {
      store.get("none", (error) => (error ? reject(error) : resolve()));
    });
    return performance.now();
  },

  /** Memory of a process without the library, in MB. */
  memory0: () => memory(),
  /** With one store that is connected and idle. */
  memory1: () => memoryWith(1),
  /** With a hundred stores, each with its own connection. */
  memory100: () => memoryWith(100),
};

function open() {
  return require("./peers.js").openPeer(peer, { url, prefix: "sess:" });
}

async function memoryWith(stores) {
  for (let n = 0; n < stores; n += 1) {
    const { store } = await open();
    await new Promise((resolve, reject) => {
      store.get("none", (error) => (error ? reject(error) : resolve()));
    });
  }
  return await memory();
}

async function memory() {
  await wait(SETTLE_MS);
  globalThis.gc();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss: rss / 1e6, heap: heapUsed / 1e6 };
}

DO[what]().then((value) => {
  process.stdout.write(JSON.stringify(value), () => process.exit());
});
