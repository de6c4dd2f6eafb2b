"use strict";

// Runs the cases of one program of apps/ with one connection, in a process of their own, as some
// show that the process lives. scripts/ecosystem.js starts it, and learns by messages what runs and
// what came of it:
//
//   node ecosystem/run.js APP CONNECTION FIRST    from the case of that number on

const path = require("node:path");
const { CONNECTIONS, withKit } = require("./kit.js");

/** Far more than any case takes: one that hangs must end, too. */
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
  // What is thrown by what a case has left behind comes before this.
  setImmediate(async () => {
    await send({ event: "done" });
    process.exit();
  });
}

/** Why a case has failed; undefined if it has not. */
async function errorOf(run) {
  let limit;
  const tooLong = new Promise((_, reject) => {
    limit = setTimeout(() => reject(new Error(`no end after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
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
