"use strict";

// Another client's connection: sends PING every millisecond, and records the longest wait for the reply.

const net = require("node:net");
const os = require("node:os");
const { serve } = require("./processes.js");

const PAUSE_MS = 1;

let socket;
let longest = 0;
let isOver = false;
let finished;

serve({
  open(port) {
    try {
      // If it may: when this process waits for a CPU, that is not Redis's time.
      os.setPriority(os.constants.priority.PRIORITY_HIGHEST);
    } catch {}
    socket = net.connect(port, "127.0.0.1").setNoDelay(true);
    return new Promise((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject);
    });
  },

  begin() {
    longest = 0;
    isOver = false;
    finished = watch();
  },

  /** The longest wait since `begin`, in milliseconds. */
  async end() {
    isOver = true;
    await finished;
    return longest;
  },
});

async function watch() {
  while (!isOver) {
    const asked = performance.now();
    socket.write("PING\r\n");
    await new Promise((resolve) => socket.once("data", resolve));
    longest = Math.max(longest, performance.now() - asked);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
