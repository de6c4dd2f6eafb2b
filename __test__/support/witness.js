"use strict";

const { createClient } = require("redis");

/** An ordinary client beside the store, to see what is really in Redis. */
async function openWitness(server) {
  const client = createClient({ url: server.url, RESP: 2 });
  await client.connect();
  return client;
}

/** How many clients are connected to the server, the witness among them. */
async function countClients(witness) {
  return Number(/connected_clients:(\d+)/.exec(await witness.info("clients"))[1]);
}

module.exports = { countClients, openWitness };
