"use strict";

// Runs the cases of one program of apps/ with one connection, in a separate process, because some cases
// check that the process keeps running. scripts/ecosystem.js starts it, and gets each case and its
// result as messages:
//
//   node ecosystem/run.js APP CONNECTION FIRST    begins with the case of that number

const path = require("node:path");
const { CONNECTIONS, withKit } = require("./kit.js");

/** Far more than any case takes: a case that hangs must also end. */
const LIMIT_MS = 30_000;

main(...process.argv.slice(2));

async function main(app, connection, first) {
  const { cases, ours = {} } = require(path.join(__dirname, "apps", app));
  const all = CONNECTIONS[connection].isReference ? cases : { ...cases, ...ours };
  for (const [claim, run] of Object.entries(all).slice(Number(first))) {
    await send({ event: "begin", claim });
    const error = await errorOf(() => withKit(connection, process.env.URL, run));
    await send({ event: "end", claim, error });
  }
  // Errors of work that a case has left behind are thrown before this message.
  setImmediate(async () => {
    await send({ event: "done" });
    process.exit();
  });
}

/** Returns why a case failed; undefined if it passed. */
async function errorOf(run) {
  let limit;
  const tooLong = new Promise((_, reject) => {
    limit = setTimeout(
      () => reject(new Error(`not finished after ${LIMIT_MS / 1000} s`)),
      LIMIT_MS,
    );
  });
  try {
    await Promise.race([run(), tooLong]);
    return undefined;
  } catch (error) {
    return String(error?.stack ?? error);
  } finally {
    clearTimeout(limit);
  }
}

function send(message) {
  return new Promise((resolve) => process.send(message, resolve));
}
