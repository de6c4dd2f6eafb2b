"use strict";

// HTTP load on many connections: by wrk, or, if wrk is not installed, by autocannon. autocannon needs
// more CPU, which it shares with the server.

const path = require("node:path");
const { outputOf } = require("./processes.js");
const { versionOf } = require("./runtimes.js");

const CONNECTIONS = 64;
const AUTOCANNON = path.join(__dirname, "autocannon.js");

/** The name of the program that makes the load. */
function findLoader() {
  return versionOf("wrk", ["-v"]) === undefined ? "autocannon" : "wrk";
}

/**
 * @param {string} url
 * @param {string} cookieFile one cookie a line; the requests take turns with them
 * @param {number} seconds a whole number, at least one
 * @returns {Promise<{rate: number, p50: number, p99: number, requests: number}>} requests a second,
 *   latencies in milliseconds, the number of requests. Rejects if a request failed.
 */
async function loadWith(loader, url, cookieFile, seconds) {
  const time = Math.max(1, Math.round(seconds));
  const output =
    loader === "wrk"
      ? await outputOf("wrk", [
          ...["-t1", `-c${CONNECTIONS}`, `-d${time}s`, "--timeout", "5s"],
          ...["-s", path.join(__dirname, "wrk.lua"), url, "--", cookieFile],
        ])
      : await outputOf(
          process.execPath,
          [AUTOCANNON, url, cookieFile, time, CONNECTIONS].map(String),
        );
  const [, json] = /^OUTCOME (.*)$/m.exec(output) ?? [];
  if (json === undefined) throw new Error(`unexpected output of ${loader}: ${output.slice(-200)}`);
  const { requests, us, p50us, p99us, non2xx, socketErrors } = JSON.parse(json);
  if (non2xx > 0 || socketErrors > 0) {
    throw new Error(
      `of ${requests} requests ${non2xx} were not 2xx, ${socketErrors} had no response`,
    );
  }
  if (requests === 0) throw new Error("no request got a response");
  return { rate: requests / (us / 1e6), p50: p50us / 1000, p99: p99us / 1000, requests };
}

module.exports = { findLoader, loadWith };
