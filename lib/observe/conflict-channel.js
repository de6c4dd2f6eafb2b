"use strict";

// The channel `connect-redis-rs:conflict`: two requests have changed a session at once (`concurrency`,
// `update`).

const { channel } = require("node:diagnostics_channel");

const conflicts = channel("connect-redis-rs:conflict");

/** @typedef {import("./call-channel.js").Peer} Peer */

/**
 * Publishes a conflict, if the answer of a call tells of one.
 * @param {"set" | "update"} operation
 * @param {unknown} saved as the backends give it
 * @param {() => Peer | undefined} peerOf
 */
function tellConflict(operation, saved, peerOf) {
  if (!conflicts.hasSubscribers) return;
  const outcome = outcomeOf(saved);
  if (outcome === undefined) return;
  const peer = peerOf();
  conflicts.publish({
    operation,
    database: peer?.database,
    serverAddress: peer?.host,
    serverPort: peer?.port,
    outcome,
  });
}

/**
 * What became of it: both changes are saved, the other's are overwritten, or it is tried again.
 * @param {unknown} saved
 */
function outcomeOf(saved) {
  if (saved === "merged") return "merged";
  if (saved === "conflict") return "retried";
  return saved === "unmerged" || Array.isArray(saved) ? "overwritten" : undefined;
}

module.exports = { tellConflict };
