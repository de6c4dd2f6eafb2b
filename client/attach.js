"use strict";

// Puts a store together with an app's client: whatever the client is, it can carry the calls; where
// it says which server it talks to, a connection of the store's own takes its place.

const { debuglog } = require("node:util");
const { Adoption } = require("./adoption.js");
const { ByClient } = require("./by-client.js");
const { Calls } = require("./calls.js");
const { commandsOf } = require("./commands.js");
const { isAway, relayOf, troubleOf, watch } = require("./presence.js");
const { read } = require("./read.js");
const { Sweeps } = require("./sweeps.js");

const TRANSPORTS = ["auto", "native", "client"];
/** connect-redis's own step, for clients of unknown kind: they see just what it would ask. */
const CONNECT_REDIS_SCAN_COUNT = 100;

/**
 * @param {object} client the option `client`
 * @param {object} means
 * @param {string} means.transport the option `transport`
 * @param {import("./calls.js").Bounds} means.bounds
 * @param {boolean} means.resurrect the option `resurrect`
 * @param {(how: object) => import("./adoption.js").Link} means.open makes a native object
 * @param {(event: string) => void} means.emit has the store emit an event
 * @param {(isAway: boolean) => void} means.away tells the store whether the client is away
 * @param {(message: string) => Error} means.invalid
 * @param {(message: string, code: string, cause?: Error) => Error} means.failure
 */
function attach(client, means) {
  const { transport, bounds, resurrect, open, emit, away, invalid, failure } = means;
  const reading = read(client);
  const complaint = missing(client, reading);
  if (complaint) throw invalid(`RedisStore: ${complaint}`);
  const isForced = transport === "native";
  const cannot = (why) =>
    `transport is "native", but the store cannot have a connection of its own beside this client (${reading.name}): ${why}. Leave transport out, or give the server as url instead of client.`;
  if (isForced && reading.why) throw invalid(`RedisStore: ${cannot(reading.why)}`);

  const name = reading.at === undefined ? reading.name : `${reading.name}, ${reading.at}`;
  const calls = new Calls({ bounds, client: name, failure });
  const isUnknown = reading.dialect === "unknown";
  const commands = commandsOf(client, reading);
  const sweeps = new Sweeps(commands, calls);
  const byClient = open({
    to: { ask: (...asked) => sweeps.ask(...asked) },
    fields: (fields) => ({
      ...fields,
      clientPrefix: reading.keyPrefix,
      scanCount: fields.scanCount ?? (isUnknown ? CONNECT_REDIS_SCAN_COUNT : undefined),
    }),
  });
  const carrier = new ByClient(commands, calls);
  carrier.begin(byClient.native, byClient.fields(byClient.first), resurrect);
  Object.assign(byClient, { native: carrier, isByClient: true });
  if (bounds.failsAtOnce) {
    calls.troubleOf = () => troubleOf(client);
    calls.isAway = () => isAway(client);
    watch(client, (isGone) => {
      away(isGone);
      if (isGone) calls.failAtOnce();
    });
  }
  const why = transport === "client" ? 'the option transport is "client"' : reading.why;
  if (why) {
    log(`transport client: ${reading.name}: ${why}`);
    return { byClient, calls };
  }
  const adoption = new Adoption(client, {
    byClient,
    isForced,
    log,
    emit,
    connect: (server) =>
      open({
        // One that may not be given up for the client connects again by itself.
        to: { ...server, isOfClient: true, givesBack: !isForced },
        fields: (fields) => ({ ...fields, prefix: reading.keyPrefix + fields.prefix }),
        isAdopted: true,
      }),
    refusal: (reason) => failure(`RedisStore: ${cannot(reason)}`, "ECLIENT"),
  });
  // Not of the adoption: the native side holds the calls, and must not hold the store.
  relayOf(client);
  calls.troubleOf = () => troubleOf(client);
  return { byClient, calls, adoption };
}

/** The option `transport`; throws where it is none, or has no client to be about. */
function checkTransport({ transport, client }, invalid) {
  const given = transport ?? "auto";
  if (!TRANSPORTS.includes(given)) {
    const got = typeof transport === "string" ? JSON.stringify(transport) : typeof transport;
    const known = TRANSPORTS.map((known) => JSON.stringify(known)).join(", ");
    throw invalid(`RedisStore: the option transport must be one of ${known}, got ${got}`);
  }
  if (given === "client" && !client) {
    throw invalid('RedisStore: transport is "client", but there is no client');
  }
  return given;
}

/** Says what a client lacks to be asked rightly, and what to do; undefined where it lacks nothing. */
function missing(client, { dialect }) {
  if (typeof client.then === "function" && typeof client.get !== "function") {
    return "the option client is a Promise: await it first";
  }
  const wanted = dialect === "unknown" ? ["get", "set", "expire", "del"] : ["get", "set", "del"];
  const lacking = wanted.filter((name) => typeof client[name] !== "function");
  if (lacking.length > 0) {
    return `the option client is no Redis client: it has no method ${lacking.join(", no ")}. Give a client of node-redis or ioredis, or the server as url.`;
  }
  if (dialect === undefined) {
    return "the kind of the client cannot be told, and a session stored the wrong way could have no expiry: it has neither mGet and scanIterator, as node-redis has, nor mget and scan, as ioredis has. Add those that connect-redis calls (get, set, expire, del, mGet, scanIterator), or give the server as url.";
  }
  return undefined;
}

const nodeLog = debuglog("connect-redis-rs");

/** Says what was decided, where DEBUG or NODE_DEBUG asks for it. Never a secret: no more than where. */
function log(decision) {
  nodeLog(decision);
  const isAsked = (process.env.DEBUG ?? "")
    .split(/[\s,]+/)
    .some((name) => name === "*" || name === "connect-redis-rs" || name === "connect-redis*");
  if (isAsked) process.stderr.write(`connect-redis-rs ${decision}\n`);
}

module.exports = { attach, checkTransport };
