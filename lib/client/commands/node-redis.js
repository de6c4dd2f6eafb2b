"use strict";

// Commands as node-redis 4, 5 and 6 take them.

const { isProxy } = require("node:util").types;
const { isOwn, mastersOf, nameOfUnlink } = require("./methods.js");

/**
 * What node-redis 4, 5 and 6 have in common. `owner` is the client that has the masters.
 * @param {import("../../types.js").AnyClient} client
 * @param {import("../../types.js").AnyClient} owner
 * @returns {Omit<import("../client-commands.js").Commands, "set">}
 */
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
    evaluate: (script, keys, args) => client.eval(script, { keys, arguments: args }),
    async *scan(pattern, count) {
      for await (const node of mastersOf(owner)) {
        const asked = node === owner ? client : node;
        /** @type {number | string} */
        let cursor = 0;
        do {
          const options = { MATCH: pattern, COUNT: count, TYPE: "string" };
          // node-redis 4 counts its cursors, 5 and 6 have them as strings.
          /** @type {{ cursor: number | string, keys: string[] }} */
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

/**
 * @param {import("../../types.js").AnyClient} client
 * @returns {Pick<import("../client-commands.js").Commands, "getBytes" | "mgetBytes"> | undefined}
 */
function bytesOfNodeRedis(client) {
  if (typeof client.withTypeMapping !== "function" || !isOwn(client, "get")) return undefined;
  const asBytes = client.withTypeMapping({ [BLOB_STRING]: Buffer });
  return { getBytes: (key) => asBytes.get(key), mgetBytes: (keys) => asBytes.mGet(keys) };
}

/**
 * @param {import("../../types.js").AnyClient} client
 * @param {import("../../types.js").AnyClient} asked
 * @returns {Pick<import("../client-commands.js").Commands, "getBytes" | "mgetBytes"> | undefined}
 */
function bytesOfNodeRedis4(client, asked) {
  if (isProxy(client) || !isOwn(client, "get")) return undefined;
  const options = { returnBuffers: true };
  /** @type {(command: string[]) => Promise<any>} */
  const send = ([name, ...keys]) =>
    "masters" in client
      ? client.sendCommand(keys[0], true, [name, ...keys], options)
      : asked.sendCommand([name, ...keys], options);
  return {
    getBytes: (key) => send(["GET", key]),
    mgetBytes: (keys) => send(["MGET", ...keys]),
  };
}

/** @param {import("../../types.js").AnyClient} client */
function firstCursor(client) {
  return typeof client.withCommandOptions === "function" ? "0" : 0;
}

module.exports = { bytesOfNodeRedis, bytesOfNodeRedis4, likeNodeRedis };
