"use strict";

// Node's options of a TLS connection, as far as the store's own connections know them. In JS because a
// client's options are read by them, too.

const { tls: TLS_OPTIONS } = require("./addon/crossing.js").names;

/**
 * The first option that would be passed over in silence, which with TLS nobody wants.
 * @param {any} tls
 */
function unknownTlsOption(tls) {
  if (tls === null || typeof tls !== "object") return undefined;
  /** @param {string} name */
  const isGiven = (name) => tls[name] !== undefined && tls[name] !== null;
  const unknown = Object.keys(tls).find((name) => isGiven(name) && !TLS_OPTIONS.includes(name));
  if (unknown !== undefined) return unknown;
  /** @param {any} version */
  const isVersion = (version) => ["TLSv1.2", "TLSv1.3", undefined, null].includes(version);
  return ["minVersion", "maxVersion"].find((name) => !isVersion(tls[name]));
}

/**
 * Checks an option `tls`, or the one in `sentinel`.
 * @param {any} tls
 * @param {import("./types.js").Invalid} invalid
 */
function checkTls(tls, invalid) {
  const unknown = unknownTlsOption(tls);
  if (unknown === undefined) return;
  const known = TLS_OPTIONS.join(", ");
  const said = ["minVersion", "maxVersion"].includes(unknown)
    ? 'must be "TLSv1.2" or "TLSv1.3"'
    : `is not supported by a connection of the store's own; known are ${known}. For others give a client of node-redis or ioredis as client`;
  throw invalid(`RedisStore: the option tls.${unknown} ${said}`);
}

let hasWarned = false;

/**
 * Whether a server must be trusted if the app does not say: not with NODE_TLS_REJECT_UNAUTHORIZED=0,
 * as in Node, whose warning this is.
 * @param {boolean} warns
 */
function rejectsUnauthorized(warns) {
  if (process.env.NODE_TLS_REJECT_UNAUTHORIZED !== "0") return true;
  if (warns && !hasWarned) {
    hasWarned = true;
    process.emitWarning(
      "Setting the NODE_TLS_REJECT_UNAUTHORIZED environment variable to '0' makes TLS connections and HTTPS requests insecure by disabling certificate verification.",
    );
  }
  return false;
}

module.exports = { TLS_OPTIONS, checkTls, rejectsUnauthorized, unknownTlsOption };
