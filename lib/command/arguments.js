"use strict";

// The command line: what to do, and where Redis is, as redis-cli has it.

const { readFileSync } = require("node:fs");
const { parseArgs } = require("node:util");

/** The environment variable with the keys of the option `encryption`. */
const KEYS = "CONNECT_REDIS_RS_ENCRYPTION_KEYS";

/** Wrong usage: the message says what is wrong with it. */
class UsageError extends Error {}

const OPTIONS = /** @type {const} */ ({
  url: { type: "string", short: "u", multiple: true },
  host: { type: "string", short: "h" },
  port: { type: "string", short: "p" },
  socket: { type: "string", short: "s" },
  db: { type: "string", short: "n" },
  cluster: { type: "boolean", short: "c" },
  sentinel: { type: "string", multiple: true },
  master: { type: "string" },
  username: { type: "string" },
  tls: { type: "boolean" },
  cacert: { type: "string" },
  cert: { type: "string" },
  key: { type: "string" },
  sni: { type: "string" },
  insecure: { type: "boolean" },
  prefix: { type: "string" },
  "hash-ids": { type: "string" },
  user: { type: "string" },
  "user-in": { type: "string" },
  show: { type: "string", multiple: true },
  limit: { type: "string" },
  all: { type: "boolean" },
  yes: { type: "boolean", short: "y" },
  json: { type: "boolean" },
  help: { type: "boolean" },
  version: { type: "boolean" },
});

/** What does not go together with what the actions are on. */
const ACTIONS = {
  count: ["user"],
  list: ["user", "limit", "show"],
  show: ["show"],
  destroy: ["user", "all", "yes"],
};
const OF_ACTIONS = ["user", "limit", "show", "all", "yes"];

/** @typedef {ReturnType<typeof parse>["values"]} Values */

/**
 * @typedef {object} Request
 * @property {keyof typeof ACTIONS} action
 * @property {string[]} handles
 * @property {Values} values
 * @property {number} limit how many sessions to list
 * @property {string[]} show names of members whose values are shown
 * @property {Record<string, any>} store the options of the store
 */

/**
 * Reads the command line.
 * @param {string[]} argv without node and the script
 * @param {Record<string, string | undefined>} env
 * @returns {Request | "help" | "version"}
 */
function readArguments(argv, env) {
  const { values, positionals } = parse(argv);
  if (values.help || argv.length === 0) return "help";
  if (values.version) return "version";
  const [noun, action, ...handles] = positionals;
  if (noun !== "sessions") throw new UsageError(`unknown command ${shown(noun)}`);
  if (!isAction(action)) {
    throw new UsageError(
      action === undefined
        ? "what shall be done with the sessions: count, list, show or destroy?"
        : `unknown action ${shown(action)}: it must be count, list, show or destroy`,
    );
  }
  for (const name of OF_ACTIONS) {
    const isGiven = values[/** @type {keyof Values} */ (name)] !== undefined;
    if (isGiven && !ACTIONS[action].includes(name)) {
      throw new UsageError(`--${name} is not an option of ${action}`);
    }
  }
  if (values["user-in"] !== undefined && values.user === undefined) {
    throw new UsageError("--user-in goes with --user");
  }
  checkHandles(action, handles, values);
  const limit = values.limit === undefined ? Number.POSITIVE_INFINITY : Number(values.limit);
  if (!(limit === Number.POSITIVE_INFINITY || (Number.isInteger(limit) && limit > 0))) {
    throw new UsageError(`--limit must be a positive number, got ${shown(values.limit)}`);
  }
  const show = (values.show ?? []).flatMap((names) => names.split(","));
  return { action, handles, values, limit, show, store: storeOptions(values, env) };
}

/** @param {string[]} argv */
function parse(argv) {
  try {
    return parseArgs({ args: argv, options: OPTIONS, allowPositionals: true });
  } catch (error) {
    // Node's message names the option; of a value that follows it only that there is one. The advice
    // after it is about file names.
    throw new UsageError(error.message.split(/\n|\. /)[0]);
  }
}

/**
 * @param {string | undefined} action
 * @returns {action is keyof typeof ACTIONS}
 */
function isAction(action) {
  return action !== undefined && Object.hasOwn(ACTIONS, action);
}

/**
 * @param {keyof typeof ACTIONS} action
 * @param {string[]} handles
 * @param {Values} values
 */
function checkHandles(action, handles, values) {
  const takes = action === "show" || action === "destroy";
  if (!takes && handles.length > 0) throw new UsageError(`${action} takes no handle`);
  if (action === "show" && handles.length !== 1) {
    throw new UsageError("show takes one handle, as list prints it");
  }
  if (action !== "destroy") return;
  const ways = [handles.length > 0, values.user !== undefined, values.all].filter(Boolean);
  if (ways.length !== 1) {
    throw new UsageError("destroy takes handles, as list prints them, or --user, or --all");
  }
}

/**
 * The options of a RedisStore.
 * @param {Values} values
 * @param {Record<string, string | undefined>} env
 */
function storeOptions(values, env) {
  /** @type {Record<string, any>} */
  const options = { onUnavailable: "error", ...whereOf(values, env) };
  if (values.prefix !== undefined) options.prefix = values.prefix;
  if (values.username !== undefined) options.username = values.username;
  // As with redis-cli, what stands in a url counts more.
  const urls = [options.url, ...(options.cluster ?? [])].filter((url) => typeof url === "string");
  if (env.REDISCLI_AUTH && !urls.some(hasPassword)) options.password = env.REDISCLI_AUTH;
  const tls = tlsOf(values);
  if (tls !== undefined) options.tls = tls;
  if (values.user !== undefined) options.user = values["user-in"] ?? "user";
  return Object.assign(options, atRestOf(values, env));
}

/**
 * What `--hash-ids` may be: the values of the option.
 * @type {Map<string, boolean | string>}
 */
const HASH_IDS = new Map(
  /** @type {[string, boolean | string][]} */ ([
    ["true", true],
    ["migrate", "migrate"],
    ["read", "read"],
  ]),
);

/**
 * What opens the sessions. What is compressed is read, whatever the app does.
 * @param {Values} values
 * @param {Record<string, string | undefined>} env
 */
function atRestOf({ "hash-ids": given }, env) {
  const hashIds = given === undefined ? undefined : HASH_IDS.get(given);
  if (given !== undefined && hashIds === undefined) {
    throw new UsageError(`--hash-ids must be true, migrate or read, got ${shown(given)}`);
  }
  const keys = env[KEYS];
  return {
    compression: { write: false },
    ...(hashIds !== undefined && { hashIds }),
    ...(keys && { encryption: { keys: keys.split(",").map(keyOf) } }),
  };
}

/**
 * A key of the option `encryption`. No message shows it.
 * @param {string} text
 * @param {number} place
 */
function keyOf(text, place) {
  const [, id, base64, secret] = /^\s*(\d{1,10}):(base64:)?(.+?)\s*$/s.exec(text) ?? [];
  if (secret === undefined) {
    throw new UsageError(
      `${KEYS} must be ID:SECRET or ID:base64:SECRET, with commas between several keys; number ${place + 1} is not`,
    );
  }
  return { id: Number(id), secret: base64 ? bytesOf(secret, place) : secret };
}

/**
 * @param {string} base64
 * @param {number} place
 */
function bytesOf(base64, place) {
  if (!/^[\w+/-]+=*$/.test(base64)) {
    throw new UsageError(`${KEYS}: the secret of number ${place + 1} is not in base64`);
  }
  return Buffer.from(base64, "base64");
}

/**
 * Where Redis is.
 * @param {Values} values
 * @param {Record<string, string | undefined>} env
 */
function whereOf(values, env) {
  const { url, host, port, socket, sentinel, master, cluster, db } = values;
  const ways = [url, host ?? port, socket, sentinel].filter((way) => way !== undefined);
  if (ways.length > 1) {
    throw new UsageError(
      "where is Redis? give one of --url, --host and --port, --socket, --sentinel",
    );
  }
  if (cluster && (sentinel ?? socket ?? db) !== undefined) {
    throw new UsageError(
      "--cluster goes with --url, or --host and --port: a cluster has no databases",
    );
  }
  const database = databaseOf(db);
  if (sentinel !== undefined) {
    if (master === undefined) throw new UsageError("--sentinel needs --master, the master's name");
    const nodes = sentinel.flatMap((nodes) => nodes.split(","));
    return { sentinel: { name: master, nodes }, ...database };
  }
  if (master !== undefined) throw new UsageError("--master goes with --sentinel");
  const urls = urlsOf(values, env);
  if (cluster) return { cluster: urls };
  if (urls.length > 1) throw new UsageError("several --url are nodes of a cluster: add --cluster");
  return { url: urls[0], ...database };
}

/**
 * @param {Values} values
 * @param {Record<string, string | undefined>} env
 */
function urlsOf({ url, host, port, socket }, env) {
  if (socket !== undefined) return [`unix://${encodeURI(socket)}`];
  if (host !== undefined || port !== undefined) {
    const name = host?.includes(":") ? `[${host}]` : (host ?? "127.0.0.1");
    return [`redis://${name}:${port ?? 6379}`];
  }
  const given = url?.flatMap((urls) => urls.split(",")) ?? [
    env.REDIS_URL || "redis://localhost:6379",
  ];
  return given.map((one) => {
    if (one.includes("://")) return one;
    return one.startsWith("/") ? `unix://${encodeURI(one)}` : `redis://${one}`;
  });
}

/** @param {string | undefined} db */
function databaseOf(db) {
  if (db === undefined) return {};
  if (!/^\d{1,9}$/.test(db)) throw new UsageError(`--db must be a number, got ${shown(db)}`);
  return { database: Number(db) };
}

/** @param {Values} values */
function tlsOf({ tls, cacert, cert, key, sni, insecure }) {
  if (!tls && [cacert, cert, key, sni, insecure].every((given) => given === undefined)) {
    return undefined;
  }
  return {
    ...(cacert !== undefined && { ca: fileOf("cacert", cacert) }),
    ...(cert !== undefined && { cert: fileOf("cert", cert) }),
    ...(key !== undefined && { key: fileOf("key", key) }),
    ...(sni !== undefined && { servername: sni }),
    ...(insecure && { rejectUnauthorized: false }),
  };
}

/**
 * @param {string} option
 * @param {string} file
 */
function fileOf(option, file) {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new UsageError(`--${option}: cannot read ${shown(file)}: ${error.code}`);
  }
}

/** @param {string} url */
function hasPassword(url) {
  return /^[^/]+:\/\/[^/?#@]*:[^/?#@]+@/.test(url) || /[?&]pass=/.test(url);
}

/** @param {string | undefined} text */
function shown(text) {
  return JSON.stringify(text ?? "");
}

module.exports = { KEYS, UsageError, readArguments };
