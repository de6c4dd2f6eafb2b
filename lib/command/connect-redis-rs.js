#!/usr/bin/env node
"use strict";

// `npx connect-redis-rs sessions …`: see help.js.

const { KEYS, UsageError, readArguments } = require("./arguments.js");
const { HELP } = require("./help.js");
const { Output } = require("./output.js");

const WRONG_USAGE = 2;
const FAILED = 3;

// A reader that has enough, such as head, closes the pipe.
process.stdout.on("error", (error) => {
  if (/** @type {NodeJS.ErrnoException} */ (error).code === "EPIPE") process.exit(0);
  throw error;
});

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
  if (request === "help" || request === "version") {
    process.stdout.write(request === "help" ? HELP : `${require("../../package.json").version}\n`);
    return 0;
  }
  // Only now: help needs no addon.
  const RedisStore = require("../store.js");
  const { actions, handlesOf } = require("./sessions.js");
  const store = new RedisStore(request.store);
  try {
    const output = new Output(process.stdout, process.stderr, Boolean(request.values.json));
    const handles = handlesOf(store);
    return await actions[request.action]({
      request,
      store,
      handles,
      output,
      stdin: process.stdin,
    });
  } finally {
    await store.close();
  }
}

/** @param {any} error */
function isUsage(error) {
  return error instanceof UsageError || error?.code === "ERR_INVALID_ARG_VALUE";
}
