"use strict";

// Checks the options together: which say where Redis is, and which are left over. What each holds is
// checked by src/napi/options/. In JS because it looks at a client, and warns by process.emitWarning.

const { Native } = require("./native/connection.js");
const { checkServers } = require("./servers.js");
const { checkTls } = require("./tls.js");

const DOCUMENT = "https://github.com/connect-redis-rs/connect-redis-rs/blob/main/docs/options.md";

/** The options that say where Redis is, beside `client`. */
const SERVERS = ["url", "cluster", "sentinel"];
/** Those that say who logs in there, and how. */
const LOGINS = ["username", "password", "tls"];
/** What connect-redis 1 to 3 handed on to `redis.createClient`, and its names for some of these. */
const OLD = ["host", "port", "socket", "path", "pass", "auth_pass", "db"];

/** What the option `transport` may be. */
const TRANSPORTS = ["auto", "native", "client"];

/** Options that were warned about: one warning a process is enough for each. */
const warned = new Set();

/**
 * Checks what the options say together. Returns the client, if there is one to use, and a function
 * that warns of options that do nothing.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function checkOptions(options, invalid) {
  const client = checkClient(options, invalid);
  /** @param {string} name */
  const isGiven = (name) => isThere(options[name]);
  if (client !== undefined) {
    const ignored = [...SERVERS, ...LOGINS, "database", ...OLD].filter(isGiven);
    return { client, warn: () => warn(options, ignored) };
  }
  if (SERVERS.some(isGiven)) checkOld(options, invalid);
  else checkNowhere(options, invalid);
  checkServers(options, invalid);
  checkTls(options.tls, invalid);
  checkTls(options.sentinel?.tls, invalid);
  return { client, warn: () => warn(options, []) };
}

/**
 * The option `client`, if there is one to use.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 * @returns {import("./types.js").AnyClient | undefined}
 */
function checkClient(options, invalid) {
  const { client } = options;
  if (isThere(client)) {
    if (typeof client === "object" || typeof client === "function") return client;
    throw invalid(
      `RedisStore: the option client must be a Redis client, got a ${typeof client}; a server is given as url`,
    );
  }
  if ("client" in options && !SERVERS.some((name) => isThere(options[name]))) {
    // Not localhost: an app that gives a client has another server in mind.
    throw invalid(`RedisStore: the option client is ${client}; leave it out for localhost:6379`);
  }
  return undefined;
}

/**
 * The option `transport`. Throws if it is unknown, or if it needs a client and there is none.
 * @param {{transport?: string, client?: unknown}} options
 * @param {import("./types.js").Invalid} invalid
 */
function checkTransport({ transport, client }, invalid) {
  const given = transport ?? "auto";
  checkOneOf("transport", transport, TRANSPORTS, invalid);
  if (given === "client" && !client) {
    throw invalid('RedisStore: transport is "client", but there is no client');
  }
  return given;
}

/**
 * @param {string} option
 * @param {any} given
 * @param {string[]} known
 * @param {import("./types.js").Invalid} invalid
 */
function checkOneOf(option, given, known, invalid) {
  if (given === undefined || given === null || known.includes(given)) return;
  const got = typeof given === "string" ? JSON.stringify(given) : typeof given;
  const names = known.map((name) => JSON.stringify(name)).join(", ");
  throw invalid(`RedisStore: the option ${option} must be one of ${names}, got ${got}`);
}

/**
 * Throws if options mean a server, or a login there, and none is read that says which: the store
 * would be at localhost, and nobody would notice.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function checkNowhere(options, invalid) {
  const old = OLD.filter((name) => isThere(options[name]));
  const logins = LOGINS.filter((name) => Boolean(options[name]));
  if (old.length > 0) {
    const also = logins.filter((name) => name !== "tls");
    if (isThere(options.pass) || isThere(options.auth_pass)) also.push("password");
    const login = also.length > 0 ? `, with ${listed([...new Set(also)])} beside it` : "";
    throw invalid(
      `RedisStore: ${optionOr(old)} ${listed(old)} of connect-redis 3 and older ${are(old)} not read. Write ${urlFor(options)}${login}, or give a client`,
    );
  }
  const meant = unknownIn(options).filter(({ name, meant }) => meansServer(options[name], meant));
  if (meant.length > 0) {
    throw invalid(
      `RedisStore: unknown ${optionOr(meant)} ${listed(meant.map(shown))}, and nothing says where Redis is: give a url, cluster, sentinel or client`,
    );
  }
  if (logins.length > 0) {
    throw invalid(
      `RedisStore: ${optionOr(logins)} ${listed(logins)} ${logins.length > 1 ? "say" : "says"} how to log in, and nothing says where. Write ${urlFor(options)} beside ${logins.length > 1 ? "them" : "it"}, or give a client`,
    );
  }
}

/**
 * Throws if old names say who logs in, or to which database, beside what says where Redis is:
 * connect-redis 3 heeded them, and a store in another database has lost all sessions.
 * @param {Record<string, any>} options the app's
 * @param {import("./types.js").Invalid} invalid
 */
function checkOld(options, invalid) {
  /** @type {Record<string, string>} */
  const meant = { pass: "password", auth_pass: "password", db: "database" };
  const old = Object.keys(meant).filter(
    (name) => isThere(options[name]) && !isThere(options[meant[name]]),
  );
  const read = old.filter((name) => name !== "db" || isDatabase(options.db));
  if (read.length === 0) return;
  const news = [...new Set(read.map((name) => meant[name]))];
  throw invalid(
    `RedisStore: ${optionOr(read)} ${listed(read)} of connect-redis 3 and older ${are(read)} not read. Write ${listed(news)}`,
  );
}

/**
 * Whether an unknown option was meant as one that says where Redis is.
 * @param {unknown} value
 * @param {string} [meant]
 */
function meansServer(value, meant) {
  if (!isThere(value)) return false;
  if (LOGINS.includes(/** @type {string} */ (meant))) return true;
  return (
    typeof value !== "boolean" && ["client", ...SERVERS].includes(/** @type {string} */ (meant))
  );
}

/**
 * The option `url` that stands for options of connect-redis 3. No login is in it.
 * @param {Record<string, any>} options the app's
 */
function urlFor({ host, port, socket, path, db, tls }) {
  /** @type {Record<string, any>} */
  const of = isThere(socket) && typeof socket === "object" ? socket : { path: socket };
  const file = path ?? of.path;
  if (typeof file === "string") {
    if (file.includes("://")) return "url in place of socket";
    const database = isDatabase(db) ? `?db=${db}` : "";
    return `url: ${JSON.stringify(`unix://${encodeURI(file)}${database}`)}`;
  }
  const scheme = tls || of.tls ? "rediss" : "redis";
  const database = isDatabase(db) ? `/${db}` : "";
  const server = `${hostFor(host ?? of.host)}:${portFor(port ?? of.port)}`;
  return `url: "${scheme}://${server}${database}"`;
}

/** A host as it stands in a url; a word for what may be more than a host. */
function hostFor(host = "localhost") {
  if (/^[\w.-]{1,253}$/.test(host)) return host;
  return /^[\da-f:.]+$/i.test(host) ? `[${host}]` : "host";
}

function portFor(port = 6379) {
  return /^\d{1,5}$/.test(`${port}`) ? port : "port";
}

/** @param {any} db */
function isDatabase(db) {
  return /^\d{1,9}$/.test(db) && Number(db) !== 0;
}

/**
 * Warns of options that do nothing: those beside a client, and those that there are not.
 * @param {Record<string, any>} options the app's
 * @param {string[]} ignored the names of those beside a client
 */
function warn(options, ignored) {
  const combination = `${ignored}`;
  if (ignored.length > 0 && !warned.has(combination)) {
    warned.add(combination);
    emit(
      `RedisStore: ${optionOr(ignored)} ${listed(ignored)} ${does(ignored)} nothing beside a client, which says where Redis is: see ${DOCUMENT}`,
    );
  }
  const unknown = unknownIn(options).filter(
    ({ name }) => !ignored.includes(name) && !warned.has(`unknown ${name}`),
  );
  if (unknown.length === 0) return;
  for (const { name } of unknown) warned.add(`unknown ${name}`);
  emit(
    `RedisStore: unknown ${optionOr(unknown)} ${unknown.map(shown).join(", ")} ${does(unknown)} nothing: see ${DOCUMENT}`,
  );
}

/** @param {string} message */
function emit(message) {
  process.emitWarning(message, { code: "CONNECT_REDIS_RS_OPTION" });
}

/**
 * The options given that there are not, each with the one that was meant, unless that is there, too.
 * @param {Record<string, any>} options the app's
 */
function unknownIn(options) {
  const given = Object.keys(options).filter((name) => isThere(options[name]));
  return Native.unknownOptions(given).map(([name, meant]) => ({
    name,
    meant: meant && !isThere(options[meant]) ? meant : undefined,
  }));
}

/** @param {{name: string, meant?: string}} option */
function shown({ name, meant }) {
  return meant ? `${name} (did you mean ${meant}?)` : name;
}

/** @param {unknown} value */
function isThere(value) {
  return value !== undefined && value !== null;
}

/**
 * `a`, `a and b`, `a, b and c`.
 * @param {string[]} words
 */
function listed(words) {
  return words.join(", ").replace(/, ([^,]*)$/, " and $1");
}

/** @param {{length: number}} options */
const optionOr = ({ length }) => (length > 1 ? "options" : "option");
/** @param {{length: number}} options */
const does = ({ length }) => (length > 1 ? "do" : "does");
/** @param {{length: number}} options */
const are = ({ length }) => (length > 1 ? "are" : "is");

module.exports = { checkClient, checkOneOf, checkOptions, checkTransport };
