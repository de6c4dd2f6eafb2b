"use strict";

// How an app's client is asked: the few commands the store needs, in the dialect of each library.

const { isProxy } = require("node:util").types;
const { homeOf } = require("./read.js");

/**
 * @typedef {object} Commands what the store asks of a client; times in whole seconds
 * @property {(key: string) => Promise<string | Buffer | null>} get
 * @property {(key: string, value: string | Buffer, seconds?: number, onlyExisting?: boolean) =>
 *   Promise<unknown>} set null where `onlyExisting` found nothing
 * @property {(key: string, seconds: number) => Promise<unknown>} expire
 * @property {(key: string) => Promise<unknown>} persist
 * @property {(key: string) => Promise<unknown>} del
 * @property {(keys: string[]) => Promise<unknown>} unlink or del, of many keys
 * @property {(keys: string[]) => Promise<(string | Buffer | null)[]>} mget
 * @property {(key: string) => Promise<number>} pttl milliseconds; -1 for ever, -2 no such key
 * @property {boolean} canSetOnlyExisting whether `set` knows `onlyExisting`
 * @property {(pattern: string, count: number) => AsyncIterable<string[]>} scan of every master
 */

/**
 * @param {import("./read.js").Reading} reading
 * @returns {Commands}
 */
exports.commandsOf = function commandsOf(client, { dialect, isCluster }) {
  const commands = DIALECTS[dialect](client);
  return isCluster && dialect !== "unknown" ? oneByOne(commands) : commands;
};

const DIALECTS = {
  "node-redis": (client) => ({
    ...likeNodeRedis(client),
    set(key, value, seconds, onlyExisting) {
      if (seconds === undefined && !onlyExisting) return client.set(key, value);
      const expiration = seconds === undefined ? undefined : { type: "EX", value: seconds };
      return client.set(
        key,
        value,
        onlyExisting ? { expiration, condition: "XX" } : { expiration },
      );
    },
  }),

  "node-redis 4": (client) => {
    // In legacyMode the client itself has callbacks, and its promises are here.
    const asked = !isProxy(client) && client.options?.legacyMode ? client.v4 : client;
    return {
      ...likeNodeRedis(asked, client),
      set(key, value, seconds, onlyExisting) {
        if (seconds === undefined && !onlyExisting) return asked.set(key, value);
        const options = seconds === undefined ? {} : { EX: seconds };
        if (onlyExisting) options.XX = true;
        return asked.set(key, value, options);
      },
    };
  },

  ioredis: (client) => ({
    ...lowerCase(client, (name, ...args) => client[name](...args)),
    // Those that are called for every request: without the arguments being gathered and spread.
    get: (key) => client.get(key),
    expire: (key, seconds) => client.expire(key, seconds),
    set(key, value, seconds, onlyExisting) {
      if (seconds === undefined) {
        return onlyExisting ? client.set(key, value, "XX") : client.set(key, value);
      }
      return onlyExisting
        ? client.set(key, value, "EX", seconds, "XX")
        : client.set(key, value, "EX", seconds);
    },
  }),

  callbacks: (client) => {
    // Of the two names, the second is that of node-redis's legacy() interface.
    const nameOf = { mget: "mGet", pttl: "pTTL" };
    return lowerCase(client, (name, ...args) => {
      const method = typeof client[name] === "function" ? name : nameOf[name];
      return calledBack(client, method, args);
    });
  },

  // Neither more nor other calls than connect-redis 10 makes: it may be a fake with just these.
  unknown: (client) => ({
    canSetOnlyExisting: false,
    get: (key) => client.get(key),
    set: (key, value, seconds) =>
      seconds === undefined
        ? client.set(key, value)
        : client.set(key, value, { expiration: { type: "EX", value: seconds } }),
    expire: (key, seconds) => client.expire(key, seconds),
    persist: (key) => (typeof client.persist === "function" ? client.persist(key) : null),
    del: (key) => client.del([key]),
    unlink: (keys) => client.del(keys),
    mget: (keys) => client.mGet(keys),
    pttl: async () => -1,
    async *scan(pattern, count) {
      for await (const node of mastersOf(client)) {
        yield* inLots(node.scanIterator({ MATCH: pattern, COUNT: count }));
      }
    },
  }),
};

/** What node-redis 4, 5 and 6 have in common. `owner` is the client that has the masters. */
function likeNodeRedis(client, owner = client) {
  const unlink = nameOfUnlink(client);
  return {
    canSetOnlyExisting: true,
    get: (key) => client.get(key),
    expire: (key, seconds) => client.expire(key, seconds),
    persist: (key) => client.persist(key),
    del: (key) => client.del([key]),
    unlink: (keys) => client[unlink](keys),
    mget: (keys) => client.mGet(keys),
    pttl: (key) => client.pTTL(key),
    async *scan(pattern, count) {
      for await (const node of mastersOf(owner)) {
        const asked = node === owner ? client : node;
        let cursor = 0;
        do {
          const options = { MATCH: pattern, COUNT: count, TYPE: "string" };
          // node-redis 4 counts its cursors, 5 and 6 have them as strings.
          const reply = await asked.scan(cursor === 0 ? firstCursor(asked) : cursor, options);
          cursor = reply.cursor;
          yield reply.keys;
        } while (String(cursor) !== "0");
      }
    },
  };
}

/** What deletes many keys: UNLINK, but DEL where that is the client's own and UNLINK is not. */
function nameOfUnlink(client) {
  const hasBoth = typeof client.unlink === "function" && !isProxy(client);
  return hasBoth && homeOf(client, "unlink") === homeOf(client, "del") ? "unlink" : "del";
}

/** Whether a client hands on to Redis what it is given, as all do that are no fakes. */
function knowsMore(client) {
  const isIoredis = typeof client.status === "string";
  const isNodeRedis3 = typeof client.internal_send_command === "function";
  const isLegacy = typeof client.sendCommand === "function" && typeof client.multi === "function";
  return isIoredis || isNodeRedis3 || isLegacy;
}

function firstCursor(client) {
  return typeof client.withCommandOptions === "function" ? "0" : 0;
}

/** Redis's own arguments, under Redis's own names: ioredis and clients with callbacks. */
function lowerCase(client, call) {
  const unlink = nameOfUnlink(client);
  // connect-redis 6 gave SET's arguments as an array; a fake made for it takes just that.
  const takesArray = client.set.length === 2;
  return {
    // A fake may take no more arguments than connect-redis gives it.
    canSetOnlyExisting: knowsMore(client),
    get: (key) => call("get", key),
    set(key, value, seconds, onlyExisting) {
      const options = seconds === undefined ? [] : ["EX", seconds];
      if (onlyExisting) options.push("XX");
      const args = [key, value, ...options];
      return takesArray ? call("set", args) : call("set", ...args);
    },
    expire: (key, seconds) => call("expire", key, seconds),
    persist: (key) => call("persist", key),
    del: (key) => call("del", [key]),
    unlink: (keys) => call(unlink, keys),
    mget: (keys) => call("mget", keys),
    pttl: (key) => call("pttl", key),
    async *scan(pattern, count) {
      const masters = client.isCluster ? client.nodes("master") : [undefined];
      for (const node of masters) {
        const scan = node ? (...args) => node.scan(...args) : (...args) => call("scan", ...args);
        const rest = [
          "MATCH",
          pattern,
          "COUNT",
          count,
          ...(knowsMore(client) ? ["TYPE", "string"] : []),
        ];
        let cursor = "0";
        do {
          const [next, keys] = await scan(cursor, ...rest);
          cursor = String(next);
          yield keys;
        } while (cursor !== "0");
      }
    },
  };
}

/** The clients of a cluster's masters; of anything else, the client itself. */
async function* mastersOf(client) {
  if (!("masters" in client)) {
    yield client;
    return;
  }
  for (const master of client.masters) yield await client.nodeClient(master);
}

/** node-redis 4 iterates over keys, 5 and 6 over arrays of keys. */
async function* inLots(keys) {
  const LOT = 1000;
  let lot = [];
  for await (const some of keys) {
    if (Array.isArray(some)) yield some;
    else if (lot.push(some) === LOT) {
      yield lot;
      lot = [];
    }
  }
  if (lot.length > 0) yield lot;
}

/** The same, with no command on several keys: in a cluster they lie on several nodes. */
function oneByOne(commands) {
  const readable = (key) =>
    commands.get(key).catch((error) => {
      // As MGET has it for a key of another type.
      if (/^WRONGTYPE/.test(error?.message)) return null;
      throw error;
    });
  return {
    ...commands,
    unlink: (keys) => Promise.all(keys.map((key) => commands.unlink([key]))),
    mget: (keys) => Promise.all(keys.map(readable)),
  };
}

/** Calls a method that answers by callback, by promise, or by both. */
function calledBack(client, name, args) {
  return new Promise((resolve, reject) => {
    const returned = client[name](...args, (error, reply) => {
      if (error) reject(error);
      else resolve(reply);
    });
    if (typeof returned?.then === "function") returned.then(resolve, reject);
    // A fake may answer at once. (What else is returned is the callback's timer, say.)
    else if (typeof returned === "string" || returned === null || Array.isArray(returned)) {
      resolve(returned);
    }
  });
}
