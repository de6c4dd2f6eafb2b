#!/usr/bin/env node
"use strict";

// `npx connect-redis-rs sessions …`: see help.js.

const { KEYS, UsageError, readArguments } = require("./arguments.js");
const { HELP } = require("./help.js");
const { Output } = require("./output.js");

const WRONG_USAGE = 2;
const FAILED = 3;

// Who reads the errors has gone; the exit code tells all the same.
process.stderr.on("error", () => {});

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error) => {
    process.stderr.write(`connect-redis-rs: ${error.message}\n`);
    if (error.code === "ESEALED") process.stderr.write(`put the app's keys into ${KEYS}\n`);
    if (error instanceof UsageError) process.stderr.write("see connect-redis-rs --help\n");
    process.exitCode = isUsage(error) ? WRONG_USAGE : FAILED;
  },
);

async function main() {
  const request = readArguments(process.argv.slice(2), process.env);
  const isJson = typeof request === "object" && Boolean(request.values.json);
  const output = new Output(process.stdout, process.stderr, isJson);
  const code = await carryOut(request, output);
  await output.flush();
  return code;
}

/**
 * Returns the exit code.
 * @param {import("./arguments.js").Request | "help" | "version"} request
 * @param {InstanceType<typeof Output>} output
 */
async function carryOut(request, output) {
  if (request === "help" || request === "version") {
    await output.line({}, request === "help" ? HELP : require("../../package.json").version);
    return 0;
  }
  // Only now: help needs no addon.
  const RedisStore = require("../store.js");
  const { actions, handlesOf } = require("./sessions.js");
  const store = new RedisStore(request.store);
  try {
    const handles = handlesOf(store);
    const { stdin } = process;
    return await actions[request.action]({ request, store, handles, output, stdin });
  } finally {
    await store.close();
  }
}

/** @param {any} error */
function isUsage(error) {
  return error instanceof UsageError || error?.code === "ERR_INVALID_ARG_VALUE";
}
