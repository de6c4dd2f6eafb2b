"use strict";

// Puts a Redis further away: a proxy between the app and it, in a process of its own (native/).

const net = require("node:net");
const { once } = require("node:events");
const { createInterface } = require("node:readline");
const { nativeProgram } = require("./native.js");
const { start } = require("./processes.js");
const { median } = require("./statistics.js");

const PINGS = 50;

/**
 * Starts a proxy to a server on this machine. It ends with this process.
 * @param {number} serverPort
 * @returns {Promise<{port: number, url: string, pid: number, setDistance: (ms: number) => Promise<void>,
 *   ping: () => Promise<number>, stop: () => Promise<void>}>} `setDistance` takes the milliseconds of a
 *   round trip, half of them for each direction; `ping` resolves to the time of a PING through it, the
 *   median of some, in milliseconds
 */
async function startDistance(serverPort) {
  const { child, ended } = start(nativeProgram("delay-proxy"), [`${serverPort}`], "pipe");
  const failed = ended.then(({ error }) => Promise.reject(error));
  failed.catch(() => {}); // if nobody waits for a line
  const lines = createInterface({ input: child.stdout });
  const nextLine = async () => (await Promise.race([once(lines, "line"), failed]))[0];
  const port = Number(await nextLine());
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid,
    async setDistance(ms) {
      child.stdin.write(`${Math.round((ms / 2) * 1e6)}\n`);
      await nextLine();
    },
    ping: () => ping(port),
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function ping(port) {
  const socket = net.connect(port, "127.0.0.1").setNoDelay(true);
  const times = [];
  for (let n = 0; n < PINGS; n += 1) {
    const asked = performance.now();
    socket.write("PING\r\n");
    await once(socket, "data");
    times.push(performance.now() - asked);
  }
  socket.destroy();
  return median(times);
}

module.exports = { startDistance };
