"use strict";

// The channels of a connection: `connect-redis-rs:connect` traces each attempt to connect, with the wait
// before it; `connect-redis-rs:reconnecting` tells that a connection was lost.

const { channel } = require("node:diagnostics_channel");
const { failure } = require("../errors.js");
const { stepsOf } = require("./call-channel.js");

const steps = stepsOf("connect");
const reconnecting = channel("connect-redis-rs:reconnecting");

/** @typedef {import("./call-channel.js").Peer} Peer */

/**
 * @typedef {object} ConnectMessage
 * @property {number} [database]
 * @property {string} [serverAddress]
 * @property {number} [serverPort]
 * @property {Error} [error] why the attempt has failed
 */

/**
 * Publishes what happens to a connection. The native side holds this, so it must not hold the native
 * object.
 */
class ConnectChannel {
  /** @param {() => Peer | undefined} peerOf */
  constructor(peerOf) {
    this.peerOf = peerOf;
    /** @type {ConnectMessage | undefined} */
    this.attempt = undefined;
  }

  /** @returns {ConnectMessage} */
  message() {
    const peer = this.peerOf();
    return {
      database: peer?.database,
      serverAddress: peer?.host,
      serverPort: peer?.port,
    };
  }

  /** An attempt begins. */
  begin() {
    this.attempt = undefined;
    if (!Object.values(steps).some((step) => step.hasSubscribers)) return;
    this.attempt = this.message();
    steps.start.publish(this.attempt);
    steps.end.publish(this.attempt);
  }

  /**
   * The attempt has ended.
   * @param {Error} [error] why it failed
   */
  finish(error) {
    const { attempt } = this;
    if (attempt === undefined) return;
    this.attempt = undefined;
    // Sentinels may have named the server only now.
    if (error === undefined) Object.assign(attempt, this.message());
    else {
      attempt.error = error;
      steps.error.publish(attempt);
    }
    steps.asyncStart.publish(attempt);
    steps.asyncEnd.publish(attempt);
  }

  /**
   * An event of the native object.
   * @param {string} event
   * @param {unknown} [reason] why an attempt failed
   * @param {unknown} [code] likewise
   */
  handle(event, reason, code) {
    if (event === "ready") this.finish();
    else if (event === "failed") {
      this.finish(failure(`connect: ${reason}`, `${code}`));
      this.begin();
    } else if (event === "reconnecting") {
      if (reconnecting.hasSubscribers) reconnecting.publish(this.message());
      this.begin();
    } else if (event === "end") this.finish(failure("connect: the store was closed", "ECLOSED"));
  }
}

module.exports = { ConnectChannel };
