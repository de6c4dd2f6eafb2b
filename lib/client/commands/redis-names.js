"use strict";

// Commands under Redis's own names, answered by promise (ioredis) or by callback.

const { methodOf, nameOfUnlink } = require("./methods.js");

/**
 * Redis's own arguments, under Redis's own names: ioredis and clients with callbacks.
 * @param {import("../../types.js").AnyClient} client
 * @param {(name: string, ...args: any[]) => Promise<any>} call
 * @returns {import("../client-commands.js").Commands}
 */
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
    evaluate: (script, keys, args) => call("eval", script, keys.length, ...keys, ...args),
    async *scan(pattern, count) {
      const masters = client.isCluster ? client.nodes("master") : [undefined];
      for (const node of masters) {
        /** @type {(...args: (string | number)[]) => Promise<any>} */
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

/**
 * Whether a client hands on to Redis what it is given, as all do that are no fakes.
 * @param {import("../../types.js").AnyClient} client
 */
function knowsMore(client) {
  const isIoredis = typeof client.status === "string";
  const isNodeRedis3 = typeof client.internal_send_command === "function";
  const isLegacy = typeof client.sendCommand === "function" && typeof client.multi === "function";
  return isIoredis || isNodeRedis3 || isLegacy;
}

/**
 * Calls a method that answers by callback, by promise, or by both.
 * @param {import("../../types.js").AnyClient} client
 * @param {(...args: (string | number | object | import("../../types.js").Callback)[]) => any} method
 * @param {(string | number | object)[]} args
 * @returns {Promise<any>}
 */
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

/**
 * Whether a client answers a GET by the callback it is given, and not by a promise or at once.
 * @param {import("../../types.js").AnyClient} client
 * @param {string} key
 * @returns {Promise<boolean>}
 */
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

module.exports = { answersByCallback, calledBack, lowerCase };
