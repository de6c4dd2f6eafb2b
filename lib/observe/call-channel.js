"use strict";

// The tracing channel of a store's calls, `connect-redis-rs:call`, for `node:diagnostics_channel`. Not by
// `tracePromise`, which would publish what the call returns: a session. While nobody listens, a call
// costs a look at five flags.

const { channel } = require("node:diagnostics_channel");
const { RedisStoreError, failure } = require("../errors.js");
const { OPERATIONS, OUTCOMES, codeOf, outcomeOf } = require("./counts.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { stringify } = JSON;

/** @typedef {{host: string, port?: number, database?: number}} Peer which server it is */

/**
 * The steps of a tracing channel.
 * @param {string} name
 */
function stepsOf(name) {
  /** @param {string} step */
  const of = (step) => channel(`tracing:connect-redis-rs:${name}:${step}`);
  return {
    start: of("start"),
    end: of("end"),
    asyncStart: of("asyncStart"),
    asyncEnd: of("asyncEnd"),
    error: of("error"),
  };
}

const { start, end, asyncStart, asyncEnd, error: failed } = stepsOf("call");

function isWatched() {
  return (
    start.hasSubscribers ||
    asyncEnd.hasSubscribers ||
    failed.hasSubscribers ||
    end.hasSubscribers ||
    asyncStart.hasSubscribers
  );
}

/** @typedef {InstanceType<typeof CallMessage>} Message */

/** What subscribers get of a call: never a key, a sid or data. */
class CallMessage {
  /**
   * @param {string} operation
   * @param {Peer | undefined} peer
   */
  constructor(operation, peer) {
    this.operation = operation;
    this.database = peer?.database;
    this.serverAddress = peer?.host;
    this.serverPort = peer?.port;
    /** @type {string | undefined} */
    this.outcome = undefined;
    /** @type {number | undefined} */
    this.bytes = undefined;
    /** @type {string | undefined} */
    this.statusCode = undefined;
    /** @type {Error | undefined} */
    this.error = undefined;
  }
}

/**
 * Makes a call, and publishes its steps.
 * @param {string} operation
 * @param {Peer | undefined} peer
 * @param {Promise<any>} skipped the promise of a call that had nothing to send
 * @param {(message: CallMessage) => Promise<any>} make
 * @returns {Promise<any>}
 */
function traced(operation, peer, skipped, make) {
  const message = new CallMessage(operation, peer);
  return start.runStores(message, () => {
    try {
      const made = make(message);
      return made.then(
        (answer) => {
          message.outcome =
            made === skipped
              ? "skipped"
              : OUTCOMES[outcomeOf(OPERATIONS.indexOf(operation), answer)];
          settled(message);
          return answer;
        },
        (error) => {
          reject(message, error);
          settled(message);
          throw error;
        },
      );
    } catch (error) {
      reject(message, error);
      throw error;
    } finally {
      end.publish(message);
    }
  });
}

/** @param {CallMessage} message */
function settled(message) {
  asyncStart.publish(message);
  asyncEnd.publish(message);
}

/**
 * @param {CallMessage} message
 * @param {any} error
 */
function reject(message, error) {
  message.outcome = "error";
  message.error = withoutData(message.operation, error);
  message.statusCode = statusOf(codeOf(error));
  failed.publish(message);
}

/**
 * An error as subscribers get it. The store's own errors name no session; others may: a SyntaxError
 * repeats what it could not read, and a TypeError the time that is none.
 * @param {string} operation
 * @param {any} error
 */
function withoutData(operation, error) {
  if (error instanceof RedisStoreError) return error;
  const code = codeOf(error);
  return failure(`${operation}: ${code}`, code);
}

/**
 * A code, if it is the first word of an error of Redis. The words of Node and of the store begin with E,
 * and those of TLS have underscores.
 * @param {string} code
 */
function statusOf(code) {
  const isOfRedis = /^[A-Z0-9]+$/.test(code) && !/^E(?!RR$|XECABORT$)/.test(code);
  return isOfRedis ? code : undefined;
}

/**
 * A payload of `set` that notes how many bytes it has.
 * @param {CallMessage} message
 * @param {any} payload
 */
function measured(message, payload) {
  return () => {
    const stored = typeof payload === "function" ? payload() : stringify(payload);
    message.bytes = sizeOf(stored);
    return stored;
  };
}

/**
 * What makes the answer of `get`, and notes how many bytes were read.
 * @param {CallMessage} message
 * @param {import("../types.js").HandOut} handOut
 * @returns {import("../types.js").HandOut}
 */
function measuring(message, handOut) {
  return (session, until, base, text) => {
    if (text !== undefined) message.bytes = sizeOf(text);
    return handOut(session, until, base);
  };
}

/**
 * How many bytes a stored session has.
 * @param {any} stored
 */
function sizeOf(stored) {
  return typeof stored === "string" ? Buffer.byteLength(stored) : stored?.byteLength;
}

module.exports = { isWatched, measured, measuring, stepsOf, traced };
