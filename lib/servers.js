"use strict";

// Checks the names in the options that say where Redis is: a slip in one would silently be ignored, and
// the store would log in without its password, or at another port. What they
// hold is checked by src/napi/options/. In JS because it lists an object's own names.

const { names } = require("./addon/crossing.js");

/**
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function checkServers({ cluster, sentinel }, invalid) {
  checkNames("sentinel", sentinel, names.sentinel, invalid);
  const lists = { cluster, "sentinel.nodes": sentinel?.nodes };
  for (const [name, servers] of Object.entries(lists)) {
    if (!Array.isArray(servers)) continue;
    for (const server of servers) checkNames(name, server, names.server, invalid);
  }
}

/**
 * @param {string} name of the option
 * @param {any} given
 * @param {string[]} known
 * @param {import("./types.js").Invalid} invalid
 */
function checkNames(name, given, known, invalid) {
  if (given === null || typeof given !== "object" || given instanceof URL) return;
  const unknown = Object.keys(given).find((one) => !known.includes(one));
  if (unknown === undefined) return;
  throw invalid(`RedisStore: the option ${name} knows no ${unknown}; it takes ${known.join(", ")}`);
}

module.exports = { checkNames, checkServers };
