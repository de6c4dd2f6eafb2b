"use strict";

// Requests of many at a time: by wrk, and where that is not there by autocannon, which needs more of
// the CPU that it shares with the server.

const path = require("node:path");
const { outputOf } = require("./processes.js");
const { versionOf } = require("./runtimes.js");

const CONNECTIONS = 64;
const AUTOCANNON = path.join(__dirname, "autocannon.js");

/** Which of them it will be. */
function findLoader() {
  return versionOf("wrk", ["-v"]) === undefined ? "autocannon" : "wrk";
}

/**
 * @param {string} url
 * @param {string} cookieFile one cookie a line, which requests carry by turns
 * @param {number} seconds whole ones, at least one
 * @returns {Promise<{rate: number, p50: number, p99: number, requests: number}>} requests a second,
 *   milliseconds, how many there were; an error where one of them failed
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
  if (json === undefined) throw new Error(`${loader} said: ${output.slice(-200)}`);
  const { requests, us, p50us, p99us, non2xx, socketErrors } = JSON.parse(json);
  if (non2xx > 0 || socketErrors > 0) {
    throw new Error(`of ${requests} requests ${non2xx} not 2xx, ${socketErrors} without an answer`);
  }
  if (requests === 0) throw new Error("no request was answered");
  return { rate: requests / (us / 1e6), p50: p50us / 1000, p99: p99us / 1000, requests };
}

module.exports = { findLoader, loadWith };
