"use strict";

// Servers of other versions than that of this machine, for tests that compare them. They are fetched when
// they are first needed, and only for Linux on x64: see scripts/fetch-runtimes.js.

const { fetchServer } = require("../../scripts/fetch-runtimes.js");

const isHere = process.platform === "linux" && process.arch === "x64";

/** `describe`, for tests on servers that are fetched. */
const describeFetched = isHere ? describe : describe.skip;

/**
 * Starts servers of a version; of this machine's if there is none.
 * @param {string | undefined} what such as "Valkey 9"
 * @param {() => Promise<any>} start
 */
async function startWith(what, start) {
  if (what === undefined) return start();
  const before = process.env.REDIS_SERVER;
  process.env.REDIS_SERVER = fetchServer(what);
  try {
    return await start();
  } finally {
    if (before === undefined) delete process.env.REDIS_SERVER;
    else process.env.REDIS_SERVER = before;
  }
}

/**
 * Whether the server knows SET with IFEQ.
 * @param {import("redis").RedisClientType} inspector
 */
async function knowsIfEq(inspector) {
  const command = ["SET", "no such key", "x", "IFEQ", "y"];
  return inspector.sendCommand(command).then(
    () => true,
    () => false,
  );
}

module.exports = { describeFetched, knowsIfEq, startWith };
