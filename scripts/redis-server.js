"use strict";

// A private redis-server on a free port, for the demo, the tests and the benchmark.

const { spawn, spawnSync } = require("node:child_process");
const { mkdtempSync, rmSync, writeFileSync } = require("node:fs");
const net = require("node:net");
const { tmpdir } = require("node:os");
const path = require("node:path");

const START_TIMEOUT_MS = 10_000;

/** The redis-server to run: REDIS_SERVER, else the one on the PATH; undefined if neither runs. */
function findRedisServer() {
  const command = process.env.REDIS_SERVER || "redis-server";
  return spawnSync(command, ["--version"]).status === 0 ? command : undefined;
}

/** The version of a redis-server, such as "7.0.15"; undefined if it does not run. */
function versionOfRedis(command) {
  const { stdout } = spawnSync(command, ["--version"], { encoding: "utf8" });
  return /v=(\d+\.\d+\.\d+)/.exec(stdout ?? "")?.[1];
}

/** Whether the redis-server to run was built with TLS. */
function hasTls() {
  // The server always ends at once: with TLS, because it gets no certificate.
  const args = ["--port", "0", "--tls-port", "1"];
  const { stdout } = spawnSync(findRedisServer() ?? "redis-server", args, { encoding: "utf8" });
  return stdout?.includes("tls-cert-file") ?? false;
}

/**
 * Starts a redis-server without persistence and waits until it answers.
 * @param {object} [options]
 * @param {string[]} [options.args] more arguments for redis-server, such as ["--requirepass", "x"]
 * @param {string} [options.host] the address to listen at
 * @param {number} [options.port] a fixed port; by default, a free one
 * @param {string} [options.sentinel] the configuration of a sentinel, which then starts in place of a Redis
 * @returns {Promise<{port: number, url: string, pid: number, socket: string,
 *   kill: () => Promise<void>, restart: () => Promise<void>, stop: () => Promise<void>}>}
 *   `kill` ends the server like a crash and keeps its folder, `restart` starts it again with that
 *   folder, `stop` ends it and removes the folder; `socket` is the path of its Unix socket.
 */
async function startRedisServer({ args = [], host = "127.0.0.1", port, sentinel } = {}) {
  const command = findRedisServer();
  if (!command) throw new Error("redis-server is not installed: run npm run setup");
  // Another process may take the free port before the server does: then another port is tried.
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await start(command, args, host, port ?? (await freePort()), sentinel);
    } catch (error) {
      if (attempt === 3 || port !== undefined) throw error;
    }
  }
}

async function start(command, args, host, port, sentinel) {
  const folder = mkdtempSync(path.join(tmpdir(), "connect-redis-rs-"));
  const socket = path.join(folder, "redis.sock");
  const fixed = ["--port", port, "--bind", host, "--unixsocket", socket, "--dir", folder];
  if (sentinel === undefined) fixed.push("--save", "", "--appendonly", "no");
  else {
    // A sentinel writes its state into its configuration file.
    const config = path.join(folder, "sentinel.conf");
    writeFileSync(config, sentinel);
    fixed.unshift(config, "--sentinel");
  }
  let server;
  let ended;
  const removeFolder = () => rmSync(folder, { recursive: true, force: true });
  // A parent that is killed must not leave its server behind.
  const onExit = () => {
    server.kill("SIGKILL");
    removeFolder();
  };
  process.once("exit", onExit);

  async function kill() {
    server.kill("SIGKILL");
    await ended;
  }
  async function stop() {
    process.off("exit", onExit);
    server.kill("SIGCONT"); // a stopped process does not end
    server.kill("SIGTERM");
    const giveUp = setTimeout(() => server.kill("SIGKILL"), 5_000);
    await ended;
    clearTimeout(giveUp);
    removeFolder();
  }
  async function restart() {
    server = spawn(command, [...fixed, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    ended = new Promise((resolve) => {
      server.once("error", resolve);
      server.once("exit", resolve);
    });
    let log = "";
    server.stdout.setEncoding("utf8").on("data", (text) => {
      log = (log + text).slice(-4000);
    });
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await answersPing(host, port))) {
      const alive = await Promise.race([ended.then(() => false), wait(10, true)]);
      if (!alive || Date.now() > deadline) {
        await stop();
        throw new Error(`redis-server did not start on port ${port}:\n${log}`);
      }
    }
  }
  await restart();
  const url = `redis://${host}:${port}`;
  return {
    port,
    url,
    socket,
    get pid() {
      return server.pid;
    },
    kill,
    restart,
    stop,
  };
}

/** Sends one command; resolves to the raw reply, which must fit into one packet. */
function send(port, ...words) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(`${words.join(" ")}\r\n`));
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(data.toString());
    });
  });
}

/** Polls until `holds` returns true; rejects after `ms` milliseconds, with `what` in the message. */
async function waitUntil(what, holds, ms = START_TIMEOUT_MS) {
  const deadline = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`);
    await wait(20);
  }
}

/** Whether a Redis listens at a port: any reply to PING counts, even an error such as NOAUTH. */
function answersPing(host, port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, host);
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1_000, () => end(false));
    socket.once("error", () => end(false));
    socket.once("connect", () => socket.write("PING\r\n"));
    socket.once("data", (data) => end(/^[+-]/.test(data.toString())));
  });
}

/** Resolves to a free port: any by default; the `wanted` one, and rejects if that is in use. */
function freePort(wanted = 0) {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen(wanted, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function wait(ms, value) {
  return new Promise((resolve) => setTimeout(resolve, ms, value));
}

module.exports = {
  findRedisServer,
  freePort,
  hasTls,
  send,
  startRedisServer,
  versionOfRedis,
  waitUntil,
};
