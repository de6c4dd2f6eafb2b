"use strict";

// Puts a store together with an app's client: whatever the client is, it can carry the calls; if
// it says which server it talks to, a connection beside it takes its place. (This room is JS because
// the client is.)

const { debuglog } = require("node:util");
const { Connection } = require("../native/connection.js");
const { warnOfNoCache } = require("../cache.js");
const { checkOneOf } = require("../options.js");
const { optionThatNeedsConnection } = require("../own-connection.js");
const { failure, invalid } = require("../errors.js");
const { MovingBackend, otherKeys } = require("../hashed-ids.js");
const { directConnectionOf } = require("./direct/direct-connection.js");
const { ClientBackend } = require("./client-backend.js");
const { Calls } = require("./client-calls.js");
const { commandsOf } = require("./client-commands.js");
const { isAway, relayOf, statusOf, troubleOf, watch } = require("./client-status.js");
const { CLIENT_TYPES, inspect } = require("./inspect.js");
const { ClientScans } = require("./client-scans.js");
const { HandedBack } = require("./handed-back.js");

/** connect-redis's own step, for clients of unknown kind: they see just what it would ask. */
const CONNECT_REDIS_SCAN_COUNT = 100;

/**
 * @param {any} client the option `client`
 * @param {object} store
 * @param {Record<string, any>} store.options the app's
 * @param {string} store.transport the option `transport`
 * @param {any} store.terms of its calls; see store-backend.js
 * @param {Record<string, any>} store.first its fields, as src/napi/options/settings.rs reads them
 * @param {(event: string) => void} store.emit emits an event of the store
 * @param {(isAway: boolean) => void} store.away tells the store whether the client is away
 */
function attach(client, { options, transport, terms, first, emit, away }) {
  const { bounds } = terms;
  checkOneOf("clientType", options.clientType, CLIENT_TYPES, invalid);
  const inspected = inspect(client, options.clientType);
  const complaint = missing(client);
  if (complaint) throw invalid(`RedisStore: ${complaint}`);
  const needs = optionThatNeedsConnection(options);
  const isForced = transport === "native" || needs !== undefined;
  // Not the options themselves: the direct connection keeps this function, and they may hold a store.
  const { name: option, given } = needs ?? { name: "transport", given: 'transport is "native"' };
  /** @param {string} why */
  const cannot = (why) =>
    `${given}, but the store cannot have a connection of its own beside this client (${inspected.name}): ${why}. Leave ${option} out, or give the server as url instead of client.`;
  if (isForced && inspected.why) throw invalid(`RedisStore: ${cannot(inspected.why)}`);

  const name = inspected.at === undefined ? inspected.name : `${inspected.name}, ${inspected.at}`;
  const calls = new Calls({ bounds, client: name, failure, handedBack: HandedBack.of(client) });
  const isConnectRedis = inspected.dialect === "connect-redis";
  const commands = commandsOf(client, inspected);
  /** @param {Record<string, any>} own */
  const fields = (own) =>
    /** @type {import("../types.js").NativeFields} */ ({
      ...own,
      clientPrefix: inspected.keyPrefix,
      sealsInLetters: true,
      scanCount: own.scanCount ?? (isConnectRedis ? CONNECT_REDIS_SCAN_COUNT : undefined),
    });
  const scans = new Connection(
    options,
    fields(first),
    endOf(emit),
    executedBy(new ClientScans(commands, calls)),
  );
  const clientBackend = backendOf([commands, calls], scans, terms, fields(first));

  const attachment = new Attachment();
  if (bounds.failFast) attachment.unwatch = failWhileAway(client, calls, away);
  const attached = {
    clientBackend: { native: clientBackend, fields },
    inspected,
    statusOf,
    readsBytes: commands.getBytes !== undefined,
    calls,
    attachment,
  };
  const why = transport === "client" ? 'the option transport is "client"' : inspected.why;
  if (why) {
    log(`transport client: ${inspected.name}: ${why}`);
    if (options.cache) warnOfNoCache(carriedBy(inspected.name, why));
    return attached;
  }
  const timeouts = pick(options, ["commandTimeout", "connectTimeout", "onUnavailable", "cache"]);
  // Enough to try what is allowed there; each store brings its own.
  const fieldsToTry = { prefix: inspected.keyPrefix + first.prefix, json: true };
  attachment.join(
    directConnectionOf(client, { ...timeouts, isForced }, () => ({
      log,
      onClient: (why) => {
        if (timeouts.cache) warnOfNoCache(carriedBy(name, why));
      },
      // One that may not be given up for the client connects again by itself.
      connect: (server, onEvent) =>
        new Connection(timeouts, fieldsToTry, onEvent, {
          ...server,
          isOfClient: true,
          handsBack: !isForced,
        }),
      refusal: (reason) => failure(`RedisStore: ${cannot(reason)}`, "ECLIENT"),
    })),
    { emit, calls },
  );
  // Not of the direct connection: the native side holds the calls, and must not hold the store.
  relayOf(client);
  calls.troubleOf = () => troubleOf(client);
  return attached;
}

/**
 * The backend of a store's calls through its client. Not a closure of `attach`: what such a one uses, the
 * direct connection would hold.
 * @param {ConstructorParameters<typeof ClientBackend>} parts
 * @param {InstanceType<typeof Connection>} scans
 * @param {any} terms
 * @param {import("../types.js").NativeFields} fields
 */
function backendOf(parts, scans, terms, fields) {
  const backends = (terms.moves ? [fields, otherKeys(fields)] : [fields]).map((own) => {
    const backend = new ClientBackend(...parts);
    backend.begin(scans.backend({ ...terms, fields: own }), own, terms.resurrect);
    return backend;
  });
  const [to, from] = backends;
  return from === undefined ? to : new MovingBackend(to, from);
}

/**
 * Why there is no near cache, if the app's client carries the calls.
 * @param {string} client
 * @param {string} why
 */
function carriedBy(client, why) {
  return `the app's Redis client (${client}) carries the calls, because ${why}`;
}

/**
 * @typedef {ReturnType<typeof directConnectionOf>} Direct
 * @typedef {InstanceType<typeof import("../native/pending-calls.js").Caller>} Caller
 */

/**
 * @typedef {object} Member what a direct connection knows of a store
 * @property {(event: string) => void} emit
 * @property {InstanceType<typeof Calls>} calls
 */

/**
 * What a store has left with its client, to be undone when the store closes, takes another client, or
 * has been collected. So nothing in it holds the store.
 */
class Attachment {
  constructor() {
    this.unwatch = () => {};
    /** @type {Direct | undefined} */
    this.direct = undefined;
    /** @type {Member | undefined} */
    this.member = undefined;
    /**
     * The connection beside the client that the store has made calls over, and as whom.
     * @type {InstanceType<typeof Connection> | undefined}
     */
    this.connection = undefined;
    /** @type {Caller[]} */
    this.callers = [];
  }

  /**
   * @param {Direct} direct
   * @param {Member} member
   */
  join(direct, member) {
    this.direct = direct;
    this.member = member;
    direct.members.add(member);
  }

  /**
   * @param {InstanceType<typeof Connection>} connection
   * @param {Caller[]} callers
   */
  uses(connection, callers) {
    this.connection = connection;
    this.callers = callers;
  }

  /** @param {boolean} isAtOnce whether what the store still waits for rejects */
  async detach(isAtOnce) {
    this.unwatch();
    const { direct, member, connection, callers } = this;
    if (direct === undefined || member === undefined || !direct.members.has(member)) return;
    for (const caller of callers) connection?.leave(caller, isAtOnce);
    await direct.left(member, isAtOnce);
  }
}

// The native side and the client hold these functions: what they close over has to be this small.

/**
 * That the scans have ended is the end of the store. They tell nothing of Redis.
 * @param {(event: string) => void} emit
 * @returns {(event: string) => void}
 */
function endOf(emit) {
  return (event) => {
    if (event === "end") emit("end");
  };
}

/**
 * @param {InstanceType<typeof ClientScans>} scans
 * @returns {Pick<InstanceType<typeof ClientScans>, "execute">}
 */
function executedBy(scans) {
  return { execute: (...commands) => scans.execute(...commands) };
}

/**
 * @param {import("../types.js").AnyClient} client
 * @param {InstanceType<typeof Calls>} calls
 * @param {(isAway: boolean) => void} away
 */
function failWhileAway(client, calls, away) {
  calls.troubleOf = () => troubleOf(client);
  calls.isAway = () => isAway(client);
  return watch(client, (isGone) => {
    away(isGone);
    if (isGone) calls.failAtOnce();
  });
}

/**
 * @param {Record<string, any>} from
 * @param {string[]} names
 */
function pick(from, names) {
  return Object.fromEntries(names.map((name) => [name, from[name]]));
}

/**
 * What cannot be a client at all. What a client lacks is an error of the call that needs it.
 * @param {import("../types.js").AnyClient} client
 */
function missing(client) {
  if (typeof client.get !== "function" && typeof client.then === "function") {
    return "the option client is a Promise: await it first";
  }
  return undefined;
}

const nodeLog = debuglog("connect-redis-rs");

/**
 * Logs a decision, if DEBUG or NODE_DEBUG asks for it. It names a server, and never a secret.
 * @param {string} decision
 */
function log(decision) {
  nodeLog(decision);
  const isAsked = (process.env.DEBUG ?? "")
    .split(/[\s,]+/)
    .some((name) => name === "*" || name === "connect-redis-rs" || name === "connect-redis*");
  if (isAsked) process.stderr.write(`connect-redis-rs ${decision}\n`);
}

module.exports = { attach };
