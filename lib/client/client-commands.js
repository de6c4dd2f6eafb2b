"use strict";

// The few commands that the store needs, in the dialect of each client library.

const { isProxy } = require("node:util").types;
const { bytesOfNodeRedis, bytesOfNodeRedis4, likeNodeRedis } = require("./commands/node-redis.js");
const { answersByCallback, calledBack, lowerCase } = require("./commands/redis-names.js");
const { inLots, isMissing, isOwn, mastersOf, methodOf } = require("./commands/methods.js");

/**
 * @typedef {object} Commands what the store asks of a client; times in whole seconds
 * @property {(key: string) => Promise<string | Buffer | null>} get
 * @property {(key: string) => Promise<Buffer | null>} [getBytes] the same, as bytes, if the client
 *   can give them
 * @property {(keys: string[]) => Promise<(Buffer | null)[]>} [mgetBytes] likewise
 * @property {(key: string, value: string | Buffer, seconds?: number, onlyExisting?: boolean) =>
 *   Promise<unknown>} set null if `onlyExisting` found nothing
 * @property {(key: string, seconds: number) => Promise<unknown>} expire
 * @property {(key: string) => Promise<unknown>} persist
 * @property {(key: string) => Promise<unknown>} del
 * @property {(keys: string[]) => Promise<unknown>} unlink or del, of many keys
 * @property {(keys: string[]) => Promise<(string | Buffer | null)[]>} mget
 * @property {(key: string) => Promise<number>} pttl milliseconds; -1 for ever, -2 no such key
 * @property {(script: string, keys: string[], args: (string | Buffer)[]) => Promise<unknown>} evaluate
 *   EVAL
 * @property {boolean} canSetOnlyExisting whether `set` knows `onlyExisting`
 * @property {(pattern: string, count: number) => AsyncIterable<string[]>} scan of every master
 */

/**
 * @param {import("../types.js").AnyClient} client
 * @param {import("./inspect.js").Inspected} inspected
 * @returns {Commands}
 */
exports.commandsOf = function commandsOf(client, { dialect, isCluster }) {
  const commands = DIALECTS[dialect ?? "unknown"](client);
  return isCluster && !dialect?.startsWith("connect-redis") ? oneByOne(commands) : commands;
};

/**
 * @type {Record<NonNullable<import("./inspect.js").Inspected["dialect"]> | "unknown",
 *   (client: import("../types.js").AnyClient) => Commands>}
 */
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
        /** @type {{ EX?: number, XX?: boolean }} */
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
    /** @type {Record<string, string>} */
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
    evaluate: async (script, keys, args) => client.eval(script, { keys, arguments: args }),
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
    /** @type {Promise<Commands> | undefined} */
    let commands;
    /** @type {(key: string) => Promise<Commands>} */
    const commandsFor = (key) => {
      commands ??= answersByCallback(client, key).then((isCallback) =>
        DIALECTS[isCallback ? "callbacks" : "connect-redis"](client),
      );
      return commands;
    };
    /**
     * @type {(name: "get" | "set" | "expire" | "persist" | "del" | "pttl") =>
     *   (key: string, ...rest: unknown[]) => Promise<any>}
     */
    const asked =
      (name) =>
      async (key, ...rest) =>
        /** @type {any} */ (await commandsFor(key))[name](key, ...rest);
    /** @type {(name: "unlink" | "mget") => (keys: string[]) => Promise<any>} */
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
      evaluate: async (script, keys, args) =>
        (await commandsFor(keys[0])).evaluate(script, keys, args),
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
  unknown: (client) => ({
    ...DIALECTS["connect-redis"](client),
    set(key, value, seconds) {
      if (typeof client.set !== "function" || seconds === undefined) return client.set(key, value);
      throw new TypeError(
        'the kind of the client cannot be told by its methods, and a session stored the wrong way could have no expiry. Give the option clientType: "node-redis" for set(key, value, { expiration: { type: "EX", value: seconds } }), "node-redis-4" for set(key, value, { EX: seconds }), "ioredis" for set(key, value, "EX", seconds), "callbacks" for the same with a callback',
      );
    },
  }),
};

/**
 * The same, with no command on several keys: in a cluster they lie on several nodes.
 * @param {Commands} commands
 * @returns {Commands}
 */
function oneByOne(commands) {
  /** @type {<T>(get: (key: string) => Promise<T>) => (key: string) => Promise<T | null>} */
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
