"use strict";

// How an app's client is asked: the few commands the store needs, in the dialect of each library.

const { isProxy } = require("node:util").types;
const { homeOf } = require("./inspect.js");

/**
 * @typedef {object} Commands what the store asks of a client; times in whole seconds
 * @property {(key: string) => Promise<string | Buffer | null>} get
 * @property {(key: string) => Promise<Buffer | null>} [getBytes] the same, as bytes, if the client
 *   can give them
 * @property {(keys: string[]) => Promise<(Buffer | null)[]>} [mgetBytes] likewise
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
 * @param {import("./inspect.js").Reading} reading
 * @returns {Commands}
 */
exports.commandsOf = function commandsOf(client, { dialect, isCluster }) {
  const commands = DIALECTS[dialect ?? "untold"](client);
  return isCluster && !dialect?.startsWith("connect-redis") ? oneByOne(commands) : commands;
};

const DIALECTS = {
  "node-redis": (client) => ({
    ...likeNodeRedis(client),
    ...bytesOfNodeRedis(client),
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
      ...bytesOfNodeRedis4(client, asked),
      set(key, value, seconds, onlyExisting) {
        if (seconds === undefined && !onlyExisting) return asked.set(key, value);
        const options = seconds === undefined ? {} : { EX: seconds };
        if (onlyExisting) options.XX = true;
        return asked.set(key, value, options);
      },
    };
  },

  ioredis: (client) => ({
    ...lowerCase(client, (name, ...args) => methodOf(client, name).apply(client, args)),
    // Those that are called for every request: without the arguments being gathered and spread.
    get: (key) => client.get(key),
    ...(isOwn(client, "get") && isOwn(client, "mget")
      ? { getBytes: (key) => client.getBuffer(key), mgetBytes: (keys) => client.mgetBuffer(keys) }
      : undefined),
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
      const method = typeof client[name] === "function" ? name : (nameOf[name] ?? name);
      return calledBack(client, methodOf(client, method), args);
    });
  },

  // Neither more nor other calls than connect-redis 10 makes: it may be a fake with just these.
  "connect-redis": (client) => ({
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
    // A wrapper made for its four calls may have the names of ioredis for the rest.
    mget: (keys) => (isMissing(client, "mGet", "mget") ? client.mget(keys) : client.mGet(keys)),
    pttl: async () => -1,
    async *scan(pattern, count) {
      if (isMissing(client, "scanIterator", "scan")) {
        yield* DIALECTS.ioredis(client).scan(pattern, count);
        return;
      }
      for await (const node of mastersOf(client)) {
        yield* inLots(node.scanIterator({ MATCH: pattern, COUNT: count }));
      }
    },
  }),

  // By callback it is as node-redis 3, by promise as connect-redis 10 wants it: that is seen at the
  // first call, by a GET that offers a callback.
  "by its answers": (client) => {
    let told;
    const commandsFor = (key) => {
      told ??= answersByCallback(client, key).then((isCallback) =>
        DIALECTS[isCallback ? "callbacks" : "connect-redis"](client),
      );
      return told;
    };
    const asked =
      (name) =>
      async (key, ...rest) =>
        (await commandsFor(key))[name](key, ...rest);
    const askedOfMany = (name) => async (keys) => (await commandsFor(keys[0]))[name](keys);
    return {
      canSetOnlyExisting: false,
      get: asked("get"),
      set: asked("set"),
      expire: asked("expire"),
      persist: asked("persist"),
      del: asked("del"),
      pttl: asked("pttl"),
      unlink: askedOfMany("unlink"),
      mget: askedOfMany("mget"),
      async *scan(pattern, count) {
        yield* (await commandsFor(pattern)).scan(pattern, count);
      },
    };
  },

  // As connect-redis 8 asks node-redis 4.
  "connect-redis with node-redis 4": (client) => ({
    ...DIALECTS["connect-redis"](client),
    set: (key, value, seconds) =>
      seconds === undefined ? client.set(key, value) : client.set(key, value, { EX: seconds }),
  }),

  // What has no expiry is stored by all alike.
  untold: (client) => ({
    ...DIALECTS["connect-redis"](client),
    set(key, value, seconds) {
      if (typeof client.set !== "function" || seconds === undefined) return client.set(key, value);
      throw new TypeError(
        'the kind of the client cannot be told by its methods, and a session stored the wrong way could have no expiry. Give the option clientType: "node-redis" for set(key, value, { expiration: { type: "EX", value: seconds } }), "node-redis-4" for set(key, value, { EX: seconds }), "ioredis" for set(key, value, "EX", seconds), "callbacks" for the same with a callback',
      );
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

/** The type of a reply that holds a text, to node-redis 5 and 6 (`RESP_TYPES.BLOB_STRING`). */
const BLOB_STRING = "$".charCodeAt(0);

function bytesOfNodeRedis(client) {
  if (typeof client.withTypeMapping !== "function" || !isOwn(client, "get")) return undefined;
  const asBytes = client.withTypeMapping({ [BLOB_STRING]: Buffer });
  return { getBytes: (key) => asBytes.get(key), mgetBytes: (keys) => asBytes.mGet(keys) };
}

function bytesOfNodeRedis4(client, asked) {
  if (isProxy(client) || !isOwn(client, "get")) return undefined;
  const options = { returnBuffers: true };
  const send = ([name, ...keys]) =>
    "masters" in client
      ? client.sendCommand(keys[0], true, [name, ...keys], options)
      : asked.sendCommand([name, ...keys], options);
  return {
    getBytes: (key) => send(["GET", key]),
    mgetBytes: (keys) => send(["MGET", ...keys]),
  };
}

/** Whether a method is the library's own: one that an app has put in its place is asked as it is. */
function isOwn(client, name) {
  return !isProxy(client) && homeOf(client, name) === homeOf(client, "dump");
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
  const takesArray = client.set?.length === 2;
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
  const readable = (get) => (key) =>
    get(key).catch((error) => {
      // As MGET has it for a key of another type.
      if (/^WRONGTYPE/.test(error?.message)) return null;
      throw error;
    });
  const { get, getBytes } = commands;
  return {
    ...commands,
    unlink: (keys) => Promise.all(keys.map((key) => commands.unlink([key]))),
    mget: (keys) => Promise.all(keys.map(readable(get))),
    mgetBytes: getBytes && ((keys) => Promise.all(keys.map(readable(getBytes)))),
  };
}

/** A method of a client; that it is missing is said as V8 says it. */
function methodOf(client, name) {
  if (typeof client[name] === "function") return client[name];
  throw new TypeError(`client.${name} is not a function`);
}

/** Whether a client answers a GET by the callback it is given, and not by a promise or at once. */
function answersByCallback(client, key) {
  return new Promise((resolve) => {
    const returned = methodOf(client, "get").call(client, key, () => resolve(true));
    const isPromise = typeof returned?.then === "function";
    if (isPromise) {
      resolve(false);
      returned.then(undefined, () => {}); // The call itself will say what is wrong.
    } else if (typeof returned === "string" || returned === null) resolve(false);
  });
}

/** Whether a client has a command under the second name alone. */
function isMissing(client, name, other) {
  return typeof client[name] !== "function" && typeof client[other] === "function";
}

/** Calls a method that answers by callback, by promise, or by both. */
function calledBack(client, method, args) {
  return new Promise((resolve, reject) => {
    const returned = method.call(client, ...args, (error, reply) => {
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
