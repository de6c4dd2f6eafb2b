"use strict";

// Whether somebody watches the commands of an app's client: a connection of the store's own would
// hide the session's commands from them, so the client carries them.

const { channel } = require("node:diagnostics_channel");

/** The steps of a tracing channel, each a channel of its own. */
const STEPS = ["start", "end", "asyncStart", "asyncEnd", "error"];
/** @param {string} name */
const tracing = (name) => STEPS.map((step) => `tracing:${name}:${step}`);

/**
 * What each library publishes its commands on, and what dd-trace does for it. Channels are kept for
 * as long as the process lives once somebody holds them, as this does.
 */
const CHANNELS = {
  "node-redis": [
    ...tracing("node-redis:command"),
    "node-redis:command:reply",
    "apm:redis:command:start",
  ].map((name) => channel(name)),
  ioredis: [...tracing("ioredis:command"), "apm:ioredis:command:start"].map((name) =>
    channel(name),
  ),
};

/** @typedef {"node-redis" | "ioredis"} Library */

/** @param {Library | undefined} library */
exports.isWatched = function isWatched(library) {
  for (const one of CHANNELS[/** @type {Library} */ (library)]) if (one.hasSubscribers) return true;
  return false;
};

/** What instrumentation leaves on a method that it wraps (OpenTelemetry, shimmer, mocks). */
const MARKS = ["__original", "__wrapped", "__unwrap", "_isMockFunction"];
/** The methods through which each command of a client goes, and by which tracers get hold of it. */
const WRAPPED = ["sendCommand", "connect", "multi", "get", "set", "expire", "del"];

/**
 * The method of a client that instrumentation has wrapped; undefined if there is none.
 * @param {import("../types.js").AnyClient} client
 */
exports.wrappedMethod = function wrappedMethod(client) {
  return WRAPPED.find((name) => MARKS.some((mark) => client[name]?.[mark] !== undefined));
};
