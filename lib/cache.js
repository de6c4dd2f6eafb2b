"use strict";

// The option `cache`: what it may hold, and what else must be given. The near cache itself is
// native/near-cache.js.

const { names } = require("./addon/crossing.js");
const { checkNames } = require("./servers.js");

/** The defaults: bytes, and milliseconds. */
const MAX_BYTES = 32 * 1024 * 1024;
const MAX_STALE = 100;

/**
 * @typedef {object} Cache
 * @property {number} maxBytes
 * @property {number} maxStale milliseconds
 * @property {(sid: string) => unknown} [fresh]
 */

/**
 * The option `cache`, with its defaults; undefined if there is to be no near cache.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 * @returns {Cache | undefined}
 */
function cacheOf({ cache, touchAfter }, invalid) {
  if (cache === undefined || cache === null || cache === false) return undefined;
  if (cache !== true && (typeof cache !== "object" || Array.isArray(cache))) {
    const got = Array.isArray(cache) ? "an array" : typeof cache;
    throw invalid(`RedisStore: the option cache must be true, false or an object, got ${got}`);
  }
  checkNames("cache", cache, names.cache, invalid);
  const given = cache === true ? {} : cache;
  const { fresh } = given;
  const maxBytes = given.maxBytes ?? MAX_BYTES;
  const maxStale = given.maxStale ?? MAX_STALE;
  checkNumber("maxBytes", maxBytes, "bytes", invalid);
  checkNumber("maxStale", maxStale, "milliseconds", invalid);
  if (fresh !== undefined && fresh !== null && typeof fresh !== "function") {
    throw invalid(`RedisStore: the option cache.fresh must be a function, got ${typeof fresh}`);
  }
  if (!(touchAfter > 0)) {
    throw invalid(
      "RedisStore: the option cache needs touchAfter: without it each request moves the expiry of its session, and so drops every copy of it. Write touchAfter: 60, in seconds, beside it",
    );
  }
  return { maxBytes, maxStale, fresh: fresh ?? undefined };
}

/**
 * @param {string} name
 * @param {unknown} given
 * @param {string} unit
 * @param {import("./types.js").Invalid} invalid
 */
function checkNumber(name, given, unit, invalid) {
  if (typeof given === "number" && given >= 1 && given <= 2147483647) return;
  const got = typeof given === "number" ? given : typeof given;
  throw invalid(
    `RedisStore: the option cache.${name} must be a number of ${unit} from 1 to 2147483647, got ${got}`,
  );
}

/**
 * Those that were told.
 * @type {Set<string>}
 */
const reasons = new Set();

/** @param {string} why */
function warnOfNoCache(why) {
  if (reasons.has(why)) return;
  reasons.add(why);
  process.emitWarning(
    `RedisStore: the option cache does nothing, each session is read from Redis: ${why}. The near cache needs CLIENT TRACKING over RESP3: Redis 6 or later, and a user with the rights to CLIENT TRACKING and PTTL (docs/near-cache.md)`,
    { code: "CONNECT_REDIS_RS_NO_CACHE" },
  );
}

module.exports = { cacheOf, warnOfNoCache };
