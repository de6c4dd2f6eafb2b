"use strict";

// The users' browsers: connections that are kept open, each with one request at a time, for a session that
// is drawn at random. Plain sockets, because this process shares the CPU with the app.

const net = require("node:net");
const { once } = require("node:events");
const { serve } = require("./processes.js");
const { beBeside } = require("./priority.js");
const { percentile } = require("./statistics.js");

/** One request in so many changes its session; the others only read it. */
const CHANGE_EVERY = 10;
const HEAD_END = "\r\n\r\n";

beBeside(process.pid);

/** The servers, with the requests of all users. */
const servers = new Map();

serve({
  /** Remembers a server and its users. */
  meet(name, port, cookies) {
    const requestOf = (path) => (cookie) =>
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nCookie: ${cookie}\r\n\r\n`;
    servers.set(name, {
      port,
      reads: cookies.map(requestOf("/read")),
      changes: cookies.map(requestOf("/change")),
    });
  },

  /** Reads every session once. */
  async visit(name) {
    const { port, reads } = servers.get(name);
    const connection = await connect(port);
    for (const request of reads) await connection.ask(request);
    connection.close();
  },

  /**
   * Keeps `concurrency` requests going for `seconds`, and until there were `least`.
   * @returns {Promise<{requests: number, rate: number, p50: number, p99: number}>} latencies in
   *   milliseconds
   */
  async load(name, { concurrency, seconds, least }) {
    const { port, reads, changes } = servers.get(name);
    const draw = drawing();
    const next = () => {
      const requests = draw() % CHANGE_EVERY === 0 ? changes : reads;
      return requests[draw() % requests.length];
    };
    const connections = await Promise.all(Array.from({ length: concurrency }, () => connect(port)));
    // A server takes one new connection in a turn of its event loop: who comes last would wait for that.
    await Promise.all(connections.map(({ ask }) => ask(next())));
    const latencies = [];
    const started = performance.now();
    const until = started + seconds * 1000;
    const isOver = (now) => now >= until && latencies.length >= least;
    await Promise.all(
      connections.map(async ({ ask }) => {
        for (let asked = started; !isOver(asked); ) {
          await ask(next());
          const now = performance.now();
          latencies.push(now - asked);
          asked = now;
        }
      }),
    );
    const elapsed = (performance.now() - started) / 1000;
    for (const { close } of connections) close();
    const sorted = Float64Array.from(latencies).sort();
    return {
      requests: sorted.length,
      rate: sorted.length / elapsed,
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
    };
  },
});

/** Whole numbers that look random and are the same for every peer. */
function drawing() {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 8;
  };
}

/**
 * @returns {Promise<{ask: (request: string) => Promise<void>, close: () => void}>} `ask` resolves when
 *   the response is there, and rejects if its status is not 200
 */
async function connect(port) {
  const socket = net.connect(port, "127.0.0.1").setNoDelay(true);
  await once(socket, "connect");
  let waiting;
  let received = "";
  const settle = (error) => {
    const { resolve, reject } = waiting;
    waiting = undefined;
    if (error) reject(error);
    else resolve();
  };
  socket.setEncoding("latin1");
  socket.on("data", (text) => {
    received += text;
    const end = endOf(received);
    if (end === undefined || received.length < end) return;
    const status = received.slice(9, 12);
    received = "";
    settle(status === "200" ? undefined : new Error(`a request got the status ${status}`));
  });
  socket.on("error", () => {});
  socket.on("close", () => waiting && settle(new Error("a connection was closed")));
  const ask = (request) =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      socket.write(request, "latin1");
    });
  return { ask, close: () => socket.destroy() };
}

/** The length of the response that the text begins with; undefined if its head is not all there. */
function endOf(text) {
  const head = text.indexOf(HEAD_END);
  if (head < 0) return undefined;
  const [, length] = /\r\ncontent-length: (\d+)/i.exec(text) ?? [];
  return head + HEAD_END.length + Number(length);
}
