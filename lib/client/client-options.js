"use strict";

// Which options of an app's client change what its calls do. A connection beside it copies where the
// client goes; if an option changes how a call behaves there, or if it is not known what an option
// does, the client carries the calls itself. docs/clients.md has the table for apps.

/** @typedef {(value: any) => boolean} IsHarmless whether a call does the same with this value */

/** @param {any} value an option of the app's */
const isSet = (value) => value !== undefined && value !== null;
// When an option changes nothing that a call does; with any other value the client carries them.
const always = () => true;
/** @param {unknown} value */
const off = (value) => !value;
/** @param {unknown} value */
const unset = (value) => !isSet(value);
/** @param {unknown} value */
const on = (value) => value !== false;
/** @type {(standard: unknown) => IsHarmless} */
const is = (standard) => (value) => value === standard;

/**
 * The options of an ioredis client.
 * @type {Record<string, IsHarmless>}
 */
const IOREDIS = {
  // Where it connects, and as which user: followed, or read in inspect.js.
  ...all(
    always,
    "host port path family db username password tls keyPrefix connectionName",
    "sentinels name role sentinelUsername sentinelPassword enableTLSForSentinelMode sentinelTLS",
    "natMap Connector readOnly monitor lazyConnect",
  ),
  // How it gets, keeps and names its connection.
  ...all(
    always,
    "connectTimeout disconnectTimeout retryStrategy keepAlive noDelay enableReadyCheck",
    "maxLoadingRetryTime disableClientInfo clientInfoTag protocol sentinelRetryStrategy",
    "sentinelReconnectStrategy sentinelCommandTimeout sentinelMaxConnections failoverDetector",
    "updateSentinels preferredSlaves familyFallback",
  ),
  // What no call of a store has to do with.
  ...all(
    always,
    "autoResubscribe maxScriptsCachingTime enableAutoPipelining autoPipeliningIgnoredCommands stringNumbers scripts",
    "showFriendlyErrorStack blockingTimeout blockingTimeoutGrace himportFieldsets shardedSubscribers",
  ),
  // The two names of a library's own defaults; nobody uses them.
  ...all(unset, "offlineQueue commandQueue"),
  ...all(unset, "commandTimeout socketTimeout reconnectOnError"),
  ...all(on, "enableOfflineQueue autoResendUnfulfilledCommands"),
  replyMapping: (value) => !isSet(value) || value === "legacy",
  // With the default or more, a call has run into commandTimeout before.
  maxRetriesPerRequest: (value) => !isSet(value) || value >= 20,
  // ioredis 4.
  dropBufferSupport: off,
};

/** @type {Record<string, IsHarmless>} */
const IOREDIS_CLUSTER = {
  ...all(
    always,
    "redisOptions keyPrefix natMap dnsLookup useSRVRecords resolveSrv lazyConnect",
    "clusterRetryStrategy clusterNodeRetryStrategy enableReadyCheck slotsRefreshTimeout",
    "slotsRefreshInterval shardedSubscribers enableAutoPipelining autoPipeliningIgnoredCommands",
    "scripts maxScriptsCachingTime showFriendlyErrorStack himportFieldsets",
  ),
  enableOfflineQueue: on,
  scaleReads: is("master"),
  maxRedirections: is(16),
  retryDelayOnMoved: off,
  retryDelayOnFailover: is(100),
  retryDelayOnClusterDown: is(100),
  retryDelayOnTryAgain: is(100),
};

/**
 * The options of a node-redis client.
 * @type {Record<string, IsHarmless>}
 */
const NODE_REDIS = {
  ...all(
    always,
    "url socket username password credentialsProvider name database keyPrefix RESP",
    "readonly legacyMode",
  ),
  ...all(
    always,
    "pingInterval disableClientInfo clientInfoTag maintNotifications maintEndpointType",
    "maintRelaxedCommandTimeout maintRelaxedSocketTimeout",
    "modules functions scripts himportRegistry isolationPoolOptions",
  ),
  // Of the client that they were given to; a client made from another has its own (see below).
  commandOptions: always,
  ...all(off, "disableOfflineQueue emitInvalidate"),
  ...all(unset, "commandsQueueMaxLength clientSideCache"),
};

/** @type {Record<string, IsHarmless>} */
const NODE_REDIS_CLUSTER = {
  ...all(
    always,
    "rootNodes defaults keyPrefix RESP nodeAddressMap minimizeConnections modules functions scripts",
    "himportRegistry topologyRefreshOnReconnectionAttemptStrategy commandOptions",
  ),
  useReplicas: off,
  ...all(unset, "maxCommandRedirections clientSideCache"),
};

/** The timeout that node-redis 6 gives every command; commandTimeout is no longer by default. */
const NODE_REDIS_TIMEOUT = 5000;

/**
 * Says which option of ioredis changes what a call does; undefined if none does.
 * @param {Record<string, any>} options
 */
exports.oddOptionOfIoredis = (options) => odd(IOREDIS, options);
/** @param {Record<string, any>} options */
exports.oddOptionOfIoredisCluster = (options) => odd(IOREDIS_CLUSTER, options);
/**
 * Likewise of node-redis 4, 5 and 6.
 * @param {Record<string, any>} options
 */
exports.oddOptionOfNodeRedis = (options) => odd(NODE_REDIS, options);
/** @param {Record<string, any>} options */
exports.oddOptionOfNodeRedisCluster = (options) => odd(NODE_REDIS_CLUSTER, options);

/**
 * Says which command option a node-redis client gives each of its commands; see withTypeMapping.
 * @param {{_commandOptions?: Record<string, any>}} client
 */
exports.oddCommandOption = function oddCommandOption({ _commandOptions: given }) {
  for (const [name, value] of Object.entries(given ?? {})) {
    const isUsual = !isSet(value) || (name === "timeout" && value === NODE_REDIS_TIMEOUT);
    if (!isUsual) return `its commands have the option ${name}`;
  }
  return undefined;
};

/**
 * @param {Record<string, IsHarmless>} known
 * @param {Record<string, any>} options
 */
function odd(known, options) {
  for (const name of Object.keys(options)) {
    const value = options[name];
    if (value === undefined || known[name]?.(value)) continue;
    return Object.hasOwn(known, name)
      ? `its option ${name} changes what a call does`
      : `its option ${name} is unknown`;
  }
  return undefined;
}

/**
 * @param {IsHarmless} isHarmless
 * @param {string[]} names each a list of names, with spaces between them
 * @returns {Record<string, IsHarmless>}
 */
function all(isHarmless, ...names) {
  const list = names.flatMap((some) => some.split(" "));
  return Object.fromEntries(list.map((name) => [name, isHarmless]));
}
