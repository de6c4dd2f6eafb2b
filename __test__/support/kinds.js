"use strict";

// The stores that the behaviour suite runs against. `ours` says whether the rows hold where this
// store deliberately differs from connect-redis.

const ConnectRedis = require("connect-redis");
const { createClient } = require("redis");
const { RedisStore } = require("../..");

/** This store on a connection of its own; `urlOf` says how it gets there. */
function native(name, urlOf, serverArgs = []) {
  return {
    name,
    ours: true,
    serverArgs,
    make(server, options) {
      const store = new RedisStore({ url: urlOf(server), ...options });
      return { store, close: () => store.close() };
    },
  };
}

const kinds = [
  native("this store by url", (server) => server.url),
  native("this store over a Unix socket", (server) => `unix://${server.socket}`),
  native("this store in RESP2", (server) => server.url, ["--rename-command", "HELLO", ""]),
  {
    name: "connect-redis 10 + node-redis 6",
    ours: false,
    serverArgs: [],
    async make(server, options) {
      const client = createClient({ url: server.url });
      await client.connect();
      const store = new ConnectRedis.RedisStore({ client, ...options });
      return { store, close: () => client.close() };
    },
  },
];

module.exports = { kinds };
