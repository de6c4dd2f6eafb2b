"use strict";

// The load of wrk.lua, made by autocannon: node autocannon.js URL FILE SECONDS CONNECTIONS

const { readFileSync } = require("node:fs");
const autocannon = require("autocannon");

const [url, file, seconds, connections] = process.argv.slice(2);

main();

async function main() {
  const cookies = readFileSync(file, "utf8").trim().split("\n");
  const result = await autocannon({
    url,
    duration: Number(seconds),
    connections: Number(connections),
    requests: cookies.map((cookie) => ({ method: "GET", headers: { cookie } })),
  });
  const { latency, requests, duration, non2xx, errors } = result;
  const outcome = {
    requests: requests.total,
    us: Math.round(duration * 1e6),
    p50us: latency.p50 * 1000, // autocannon reports whole milliseconds
    p99us: latency.p99 * 1000,
    non2xx,
    socketErrors: errors,
  };
  console.log(`\nOUTCOME ${JSON.stringify(outcome)}`);
}
