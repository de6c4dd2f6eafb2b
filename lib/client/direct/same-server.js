"use strict";

// Where a client's server is, and whether two descriptions mean the same one.

const { lookup } = require("node:dns/promises");
const { isIP } = require("node:net");

/**
 * A server by the address that a client's own `family` makes of its name.
 * @param {import("../inspect.js").Server} where
 * @returns {Promise<import("../inspect.js").Server>}
 */
async function addressed(where) {
  const { host, family, tls } = where;
  const isName = typeof host === "string" && isIP(host) === 0;
  if (!isName || (family !== 4 && family !== 6)) return where;
  const { address } = await lookup(host, family);
  // Its certificate is for the name.
  return { ...where, host: address, tls: tls && { servername: host, ...tls } };
}

/**
 * @param {Record<string, any>} a
 * @param {Record<string, any>} b
 */
function sameServer(a, b) {
  /** @param {string} name */
  const isSame = (name) => a[name] === b[name];
  /** @param {string} name */
  const isAlike = (name) => JSON.stringify(a[name]) === JSON.stringify(b[name]);
  return (
    ["host", "port", "path", "database", "username"].every(isSame) &&
    ["cluster", "sentinel"].every(isAlike)
  );
}

module.exports = { addressed, sameServer };
