"use strict";

// Sessions that an app's client carries, sealed and opened (`encryption`, `compression`): in JS because
// the client's calls are.

const { Sealer } = require("../addon/load.js");
const { failure } = require("../errors.js");
const { closed: CLOSED } = require("../addon/crossing.js");

/**
 * Opens what needs no key, for a store without the options. Made when it is needed.
 * @type {import("../addon/addon.js").Sealer | undefined}
 */
let keyless;

/**
 * What the client is given of a session's text.
 * @param {import("../types.js").NativeFields} fields
 * @param {string} key
 * @param {string | Buffer} text
 * @returns {string | Buffer}
 */
function seal({ sealer, clientPrefix = "" }, key, text) {
  if (sealer === undefined) return text;
  try {
    return sealer.seal(clientPrefix + key, text);
  } catch {
    throw failure(`set${CLOSED}`, "ECLOSED");
  }
}

/**
 * The text of what the client has read.
 * @param {import("../types.js").NativeFields} fields
 * @param {string} key
 * @param {string | Buffer} stored
 * @param {string} server what messages call it
 * @returns {string | Buffer}
 */
function open({ sealer, json, clientPrefix = "" }, key, stored, server) {
  if (sealer === undefined && !(json && isSealed(stored))) return stored;
  keyless = keyless ?? (sealer === undefined ? new Sealer({}) : undefined);
  const opener = /** @type {import("../addon/addon.js").Sealer} */ (sealer ?? keyless);
  try {
    return opener.open(clientPrefix + key, stored);
  } catch (/** @type {any} */ error) {
    throw failure(`get: a record of ${server} ${error.message}: see docs/format.md`, "ESEALED");
  }
}

/**
 * Whether a text is what no JSON begins with: see src/session/seal/envelope.rs.
 * @param {string | Buffer} stored
 */
function isSealed(stored) {
  if (typeof stored !== "string") return false;
  const first = stored.charCodeAt(0);
  return (
    (first === 0x63 && stored.startsWith("crs1.")) || (first === 0 && stored.startsWith("\0crs"))
  );
}

module.exports = { open, seal };
