"use strict";

// One call that reads or deletes all sessions, in a process that does nothing else.

const { openPeer } = require("./peers.js");
const { serve } = require("./processes.js");

const TICK_MS = 1;

let peer;

serve({
  async open(name, where) {
    peer = await openPeer(name, where);
    // A running app is already connected.
    await new Promise((resolve, reject) => {
      peer.store.get("none", (error) => (error ? reject(error) : resolve()));
    });
  },

  /**
   * @param {"length" | "ids" | "all" | "clear"} operation
   * @returns {Promise<{seconds: number, stall: number, memoryMB: number, count?: number}>} `stall`
   *   is the longest time that the event loop was blocked, in milliseconds; `memoryMB` is how much
   *   the process grew at its peak; `count` is the number of sessions
   */
  async run(operation) {
    const ticks = watchTicks();
    await ticks.next();
    const before = maxRss();
    const started = performance.now();
    const found = await call(operation);
    const seconds = (performance.now() - started) / 1000;
    await ticks.next();
    const count = typeof found === "number" ? found : found?.length;
    return { seconds, stall: ticks.end(), memoryMB: (maxRss() - before) / 1e6, count };
  },

  close: () => peer.close(),
});

function call(operation) {
  return new Promise((resolve, reject) => {
    peer.store[operation]((error, found) => (error ? reject(error) : resolve(found)));
  });
}

/** Measures every millisecond how late its own timer is. */
function watchTicks() {
  let last = performance.now();
  let longest = 0;
  let resolveNext;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - TICK_MS);
    last = now;
    resolveNext?.();
  }, TICK_MS);
  const next = () =>
    new Promise((resolve) => {
      resolveNext = resolve;
    });
  const end = () => {
    clearInterval(timer);
    return Math.max(0, longest);
  };
  return { next, end };
}

/** The peak memory of the process, in bytes. */
function maxRss() {
  return process.resourceUsage().maxRSS * 1024;
}
