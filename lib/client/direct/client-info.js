"use strict";

// Asks the server, through an app's client, which database and user the client's connection has: by
// CLIENT INFO, without harm to the client.

const { clearTimeout, setTimeout } = require("../../clock.js");
const { isEnded, relayOf } = require("../client-status.js");

/** @typedef {{db?: string, user?: string, error?: Error & {code?: string}}} ClientInfo */

/**
 * Returns what the server says of the client's connection, or the error.
 * @param {any} client
 * @param {number} [ms] how long it may take
 * @returns {Promise<ClientInfo>}
 */
async function whoAmI(client, ms = ANSWER_WITHIN) {
  try {
    const asked =
      typeof client.call === "function"
        ? client.call("CLIENT", "INFO")
        : client.sendCommand(["CLIENT", "INFO"]);
    const info = String(await unharmed(client, asked, ms));
    /** @param {string} name */
    const field = (name) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(info)?.[1];
    // In the middle of an app's transaction the answer is QUEUED.
    if (field("db") === undefined) throw new Error("the answer is none");
    return { db: field("db"), user: field("user") };
  } catch (error) {
    return { error };
  }
}

/**
 * Waits for a promise, so many milliseconds.
 * @template T
 * @param {number} ms
 * @param {T | PromiseLike<T>} promise
 * @param {string} otherwise
 * @returns {Promise<T>}
 */
async function within(ms, promise, otherwise) {
  let timer;
  /** @type {Promise<never>} */
  const late = new Promise((_resolve, reject) => {
    const error = Object.assign(new Error(otherwise), { code: "ETIMEDOUT" });
    timer = setTimeout(() => reject(error), ms);
    timer.unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * How often CLIENT INFO has cost a client its connection.
 * @type {WeakMap<object, number>}
 */
const strikes = new WeakMap();

/**
 * Whether asking has cost the client its connection too often.
 * @param {import("../../types.js").AnyClient} client
 */
function mayNotAsk(client) {
  return strikesOf(client) >= STRIKES;
}

/** @param {import("../../types.js").AnyClient} client */
function strikesOf(client) {
  return strikes.get(client) ?? 0;
}

/**
 * Waits for an answer of a client that is ready; one that costs it its connection is counted.
 * @param {import("../../types.js").AnyClient} client
 * @param {PromiseLike<unknown>} asked
 * @param {number} ms
 */
async function unharmed(client, asked, ms) {
  /** @type {any} a function, once the promise is made */
  let harm;
  /** @type {Promise<never>} */
  const harmed = new Promise((_resolve, reject) => {
    harm = () => {
      forgetQuestion(client);
      reject(new Error("the connection was lost over it"));
    };
  });
  const harms = ["close", "end", "reconnecting"];
  const relay = relayOf(client);
  for (const event of harms) relay.on(event, harm);
  try {
    const answered = Promise.race([asked, harmed]);
    return await (Number.isFinite(ms) ? within(ms, answered, "no answer") : answered);
  } catch (error) {
    const isAnswer = /^[A-Z]+ /.test(error?.message);
    const isHarm = !isAnswer && error?.code !== "ETIMEDOUT" && !isEnded(client);
    if (isHarm) strikes.set(client, strikesOf(client) + 1);
    Promise.resolve(asked).catch(() => {});
    throw error;
  } finally {
    for (const event of harms) relay.off(event, harm);
  }
}

/**
 * Takes CLIENT INFO off what ioredis sends again on its next connection: it would lose that, too.
 * @param {import("../../types.js").AnyClient} client
 */
function forgetQuestion({ prevCommandQueue: queue }) {
  const place = queue?.toArray().findIndex((/** @type {any} */ { command }) => {
    const words = [command.name, ...command.args].map(String);
    return words.join(" ").toUpperCase() === "CLIENT INFO";
  });
  if (place >= 0) queue.removeOne(place);
}

/**
 * Returns how a server's answer to CLIENT INFO differs from the server that was read, if it does.
 * @param {ClientInfo} answer
 * @param {{database?: number, username?: string}} server
 */
function differs({ db, user }, { database, username }) {
  if (db !== String(database)) return `the client is in database ${db}, not in ${database}`;
  // A server before Redis 6.2 does not say.
  if (user !== undefined && user !== (username ?? "default")) {
    return "the client is logged in as another user than its options say";
  }
  return undefined;
}

/** How long, in milliseconds, a client that is ready may take to answer CLIENT INFO. */
const ANSWER_WITHIN = 2000;

/** How often CLIENT INFO may cost a client its connection before it is never asked again. */
const STRIKES = 2;

module.exports = { ANSWER_WITHIN, differs, mayNotAsk, whoAmI, within };
