"use strict";

// `npm start`: proves in the terminal that sessions are stored in Redis, then serves the page. PORT is the
// port (default 3000), REDIS_URL the Redis; without REDIS_URL, a private redis-server runs until the demo ends.

const { createClient } = require("redis");
const { RedisStore } = require("connect-redis-rs");
const { startRedisServer } = require("../scripts/redis-server.js");
const { createApp } = require("./app.js");
const { prove } = require("./prove.js");

const PREFIX = "demo:";
const RACE_PREFIX = "demo-race:";

main().catch((error) => {
  console.error(`\n${error.message}`);
  process.exit(1);
});

async function main() {
  const port = readPort(process.env.PORT ?? "3000");
  const redis = process.env.REDIS_URL ? undefined : await startRedisServer();
  const url = process.env.REDIS_URL || redis.url;
  console.log(redis ? `A private redis-server runs on port ${redis.port}.` : "Using REDIS_URL.");

  const store = new RedisStore({ url, prefix: PREFIX, user: "user" });
  const stores = {
    last: new RedisStore({ url, prefix: RACE_PREFIX }),
    merge: new RedisStore({ url, prefix: RACE_PREFIX, concurrency: "merge" }),
  };
  // An ordinary client beside the store, to see what is really in Redis.
  const inspector = createClient({ url, socket: { reconnectStrategy: false } });
  inspector.on("error", () => {}); // the calls below reject with it
  await inspector.connect().catch((error) => {
    throw new Error(`Redis cannot be reached: ${error.message || error.code}. Check REDIS_URL.`);
  });
  const inspect = async (sid) => {
    const key = PREFIX + sid;
    const [json, ttl] = await Promise.all([inspector.get(key), inspector.pTTL(key)]);
    return json === null ? null : { key, json, ttl };
  };

  const server = await listen(createApp(store, inspect, stores), port);
  const address = `http://localhost:${server.address().port}`;
  const stop = async () => {
    server.close();
    server.closeAllConnections();
    await Promise.all([store, stores.last, stores.merge].map((each) => each.close()));
    inspector.destroy();
    await redis?.stop();
  };
  process.once("SIGINT", () => stop().then(() => process.exit(0)));
  process.once("SIGTERM", () => stop().then(() => process.exit(0)));

  try {
    await prove(address, inspect);
  } catch (error) {
    await stop();
    throw error;
  }
  console.log(`\nNow do the same in a browser: ${address} (Ctrl+C ends it)`);
  console.log(`Who is signed in, live: ${address}/sessions`);
}

function readPort(text) {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new Error(`PORT must be a number from 0 to 65535, got ${JSON.stringify(text)}.`);
  }
  return port;
}

function listen(app, port) {
  return new Promise((resolve, reject) => {
    const server = app.listen(port, (error) => {
      if (!error) return resolve(server);
      const inUse = error.code === "EADDRINUSE";
      reject(
        inUse
          ? new Error(`Port ${port} is in use: choose another, as in PORT=3001 npm start.`)
          : error,
      );
    });
  });
}
