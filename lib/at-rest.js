"use strict";

// The options `encryption`, `compression` and `hashIds`. What they hold is checked by
// src/napi/options/seal_options.rs; here are the names in them, and what follows for a store.

const { Sealer } = require("./addon/load.js");
const { names } = require("./addon/crossing.js");
const { checkNames } = require("./servers.js");

/**
 * What `hashIds` may be: whether keys are written with a handle, and whether those of the other kind are
 * found and moved.
 * @type {Map<unknown, {hasHandles: boolean, moves: boolean}>}
 */
const HASH_IDS = new Map([
  [false, { hasHandles: false, moves: false }],
  ["read", { hasHandles: false, moves: true }],
  ["migrate", { hasHandles: true, moves: true }],
  /** @type {[unknown, {hasHandles: boolean, moves: boolean}]} */ ([
    true,
    { hasHandles: true, moves: false },
  ]),
]);

/**
 * How a store keeps its sessions at rest: what seals them, if anything does, and its `hashIds`.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function atRest(options, invalid) {
  const { encryption, compression, hashIds } = options;
  checkNames("encryption", encryption, names.encryption, invalid);
  checkNames("compression", compression, names.compression, invalid);
  if (Array.isArray(encryption?.keys)) {
    for (const key of encryption.keys)
      checkNames("encryption.keys", key, names.encryptionKey, invalid);
  }
  const ids = HASH_IDS.get(hashIds ?? false);
  if (ids === undefined) {
    const got = typeof hashIds === "string" ? JSON.stringify(hashIds) : typeof hashIds;
    throw invalid(
      `RedisStore: the option hashIds must be true, false, "migrate" or "read", got ${got}`,
    );
  }
  const isSealed = [encryption, compression].some((given) => given !== undefined && given !== null);
  return { sealer: isSealed ? sealerOf(options, invalid) : undefined, ...ids };
}

/**
 * @param {Record<string, any>} options
 * @param {import("./types.js").Invalid} invalid
 */
function sealerOf(options, invalid) {
  try {
    return new Sealer(options);
  } catch (/** @type {any} */ error) {
    // Anything else was thrown by a getter of the app's.
    throw error?.code === "InvalidArg" ? invalid(`RedisStore: ${error.message}`) : error;
  }
}

/**
 * The options without the secrets, for a store to keep.
 * @param {Record<string, any>} options
 */
function withoutSecrets(options) {
  if (!options.encryption) return options;
  const { encryption: _, ...rest } = options;
  return rest;
}

module.exports = { atRest, withoutSecrets };
