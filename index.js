"use strict";

// The entry. In ES5 to its end, so that a Node that is too old can read it and says so, rather than
// that it does not understand the syntax of store.js.

if (parseInt(process.versions.node, 10) < 20) {
  throw refusal(
    "connect-redis-rs needs Node 20 or newer, and this is Node " +
      process.versions.node +
      ". Install a newer Node; until then connect-redis can serve the same sessions.",
  );
}

module.exports = require("./lib/store.js");

function refusal(message) {
  return Object.defineProperty(new Error(message), "code", {
    value: "ERR_CONNECT_REDIS_RS_NODE",
    enumerable: true,
  });
}
