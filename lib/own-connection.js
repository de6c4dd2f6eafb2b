"use strict";

// Options that need a connection of the store's own: an app's client cannot carry what they send.

const { comparesBy } = require("./concurrency.js");
const { failure } = require("./errors.js");

/**
 * The first such option that is given, as messages name it; undefined if there is none.
 * @param {Record<string, any>} options the app's
 * @returns {{name: string, given: string} | undefined}
 */
function optionThatNeedsConnection({ concurrency, user, events }) {
  if (comparesBy(concurrency) !== undefined) {
    return { name: "concurrency", given: `concurrency is ${JSON.stringify(concurrency)}` };
  }
  if (user !== undefined && user !== null) return { name: "user", given: "user is given" };
  if (events) return { name: "events", given: "events is given" };
  return undefined;
}

/**
 * Throws if the app wants its client to carry the calls all the same.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function checkNeeds(options, invalid) {
  if (options.cache && options.transport === "client") {
    throw invalid(
      'RedisStore: cache is given, which needs a connection of the store\'s own, and transport is "client": leave one of them out',
    );
  }
  const needs = optionThatNeedsConnection(options);
  if (needs === undefined || options.transport !== "client") return;
  throw invalid(
    `RedisStore: ${needs.given}, which needs a connection of the store's own, and transport is "client": leave transport out`,
  );
}

/**
 * The error of a call that needs such a connection, if the app's client carries the calls.
 * @param {string} name the method
 */
function carriedByClient(name) {
  return failure(
    `${name}: it needs a connection of the store's own, and the app's Redis client carries the calls: give the server as url instead of client`,
    "ECLIENT",
  );
}

module.exports = { carriedByClient, checkNeeds, optionThatNeedsConnection };
