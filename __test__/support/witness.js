"use strict";

const { createClient } = require("redis");

/** An ordinary client beside the store, to see what is really in Redis. */
async function openWitness(server) {
  const client = createClient({ url: server.url, RESP: 2 });
  await client.connect();
  return client;
}

module.exports = { openWitness };
