"use strict";

const net = require("node:net");

/** The length of the first command in `data`; undefined if it is not all there. */
function commandLength(data) {
  let at = 0;
  const number = () => {
    const end = data.indexOf("\r\n", at);
    if (end < 0) return Number.NaN;
    const found = Number(data.toString("latin1", at + 1, end));
    at = end + 2;
    return found;
  };
  for (let words = number(); words > 0; words -= 1) {
    const length = number();
    if (Number.isNaN(length)) return undefined;
    at += length + 2;
  }
  return at > 0 && at <= data.length ? at : undefined;
}

/**
 * Starts a TCP proxy on a free port in front of a server on this machine. It forwards everything
 * until one of these is called:
 * - `delay(ms)`: each reply is delayed by `ms` milliseconds.
 * - `cut(bytes)`: after that number of bytes of replies, their connection is closed. Only once:
 *   other connections stay open.
 * - `limit(commands)`: forwards so many commands more, then closes the connection and refuses others, as
 *   if the process had been killed; returns a promise that resolves when the server has done them.
 * - `swallow()`: accepts everything and forwards nothing. The lost bytes are never sent later, so a
 *   connection that was open during this time stays silent for good.
 * - `refuse()`: closes all connections and accepts no new ones.
 * - `heal()`: forwards everything again.
 * - `point(server)`: new connections go to another server, as after a change in DNS. Open connections
 *   stay at the old server.
 *
 * `connections` is the number of connections accepted so far.
 */
async function startProxy(first) {
  let server = first;
  const pairs = new Set();
  let lag = 0;
  let bytesLeft = Infinity;
  let isSwallowing = false;
  let commandsLeft = Infinity;
  let onLimit = () => {};

  function forward(socket) {
    const upstream = net.connect(server.port, "127.0.0.1");
    const pair = { isSilent: isSwallowing, end };
    let written = Promise.resolve();
    let isEnding = false;
    function end() {
      pair.isSilent = true;
      pairs.delete(pair);
      socket.destroy();
      upstream.destroy();
    }
    pairs.add(pair);
    proxy.connections += 1;
    for (const side of [socket, upstream]) {
      side.setNoDelay(true);
      side.on("error", end).on("close", () => isEnding || end());
    }
    let unsent = Buffer.alloc(0);
    socket.on("data", (data) => {
      if (pair.isSilent) return;
      if (commandsLeft === Infinity) {
        upstream.write(data);
        return;
      }
      unsent = Buffer.concat([unsent, data]);
      while (commandsLeft > 0) {
        const length = commandLength(unsent);
        if (length === undefined) return;
        upstream.write(unsent.subarray(0, length));
        unsent = unsent.subarray(length);
        commandsLeft -= 1;
      }
      pair.isSilent = true;
      isEnding = true;
      listener.close();
      pairs.delete(pair);
      upstream.once("close", onLimit).end();
      socket.destroy();
    });
    upstream.on("data", (data) => {
      if (pair.isSilent) return;
      if (data.length < bytesLeft) {
        bytesLeft -= data.length;
        const due = lag > 0 && new Promise((resolve) => setTimeout(resolve, lag).unref());
        // In order, even if the delay has become shorter.
        written = Promise.all([written, due]).then(() => pair.isSilent || socket.write(data));
        return;
      }
      const last = data.subarray(0, bytesLeft);
      bytesLeft = Infinity;
      pair.isSilent = true;
      socket.write(last, end);
    });
  }

  const listener = net.createServer(forward);
  const listen = (port) => new Promise((resolve) => listener.listen(port, "127.0.0.1", resolve));
  async function refuse() {
    for (const pair of pairs) pair.end();
    if (listener.listening) await new Promise((resolve) => listener.close(resolve));
  }
  await listen(0);
  const { port } = listener.address();
  const proxy = {
    port,
    url: `redis://127.0.0.1:${port}`,
    connections: 0,
    delay(ms) {
      lag = ms;
    },
    cut(bytes) {
      bytesLeft = bytes;
    },
    limit(commands) {
      commandsLeft = commands;
      return new Promise((resolve) => {
        onLimit = resolve;
      });
    },
    swallow() {
      isSwallowing = true;
      for (const pair of pairs) pair.isSilent = true;
    },
    point(other) {
      server = other;
    },
    refuse,
    async heal() {
      lag = 0;
      bytesLeft = Infinity;
      isSwallowing = false;
      commandsLeft = Infinity;
      if (!listener.listening) await listen(port);
    },
    stop: refuse,
  };
  return proxy;
}

module.exports = { startProxy };
