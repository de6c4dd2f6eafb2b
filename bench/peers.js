"use strict";

// The peers. A peer opens a store at `where`: { url, prefix }, with TLS also { ca }, or for a cluster
// { nodes, prefix }. It returns the store and a function that closes it.

const {
  REFERENCE,
  OURS,
  THROUGH,
  DIRECT,
  IOREDIS,
  MEMORY,
  FLOOR,
  BARE,
  BUN,
} = require("./names.js");
const { SIDS } = require("./sessions.js");

const OPEN = {
  async [REFERENCE](where) {
    const client = await nodeRedis(where);
    const { RedisStore } = require("connect-redis");
    return {
      store: new RedisStore({ client, prefix: where.prefix }),
      close: () => client.close(),
    };
  },

  async [IOREDIS]({ url, prefix }) {
    const { Redis } = require("ioredis");
    const { RedisStore } = require("connect-redis-8");
    const client = new Redis(url, { enableAutoPipelining: true });
    return { store: new RedisStore({ client, prefix }), close: () => client.quit() };
  },

  async [OURS]({ url, prefix, ca, nodes }) {
    const { RedisStore } = require("..");
    const to = nodes ? { cluster: nodes } : ca ? { url, tls: { ca } } : { url };
    const store = new RedisStore({ ...to, prefix });
    return { store, close: () => store.close() };
  },

  [DIRECT]: (where) => oursWithClient(where, "native"),
  [THROUGH]: (where) => oursWithClient(where, "client"),

  async [MEMORY]() {
    const { MemoryStore } = require("express-session");
    return { store: new MemoryStore(), close() {} };
  },

  [FLOOR]: openFloor,
  [BARE]: openFloor,
  [BUN]: openBun,
};

async function nodeRedis({ url, ca, nodes }) {
  const { createClient, createCluster } = require("redis");
  const client = nodes
    ? createCluster({ rootNodes: nodes.map((node) => ({ url: node })) })
    : createClient({ url, ...(ca && { socket: { tls: true, ca } }) });
  client.on("error", () => {}); // its calls reject, and that is reported
  await client.connect();
  return client;
}

async function oursWithClient(where, transport) {
  const { RedisStore } = require("..");
  const client = await nodeRedis(where);
  const store = new RedisStore({ client, transport, prefix: where.prefix });
  const close = async () => {
    await store.close();
    await client.close();
  };
  return { store, close };
}

/** JSON alone: the work that every store of text does on the JS thread. `touch` has no work. */
async function openFloor() {
  let texts = [];
  let turn = 0;
  let text;
  const store = {
    get(_sid, cb) {
      turn = turn === texts.length - 1 ? 0 : turn + 1;
      cb(null, JSON.parse(texts[turn]));
    },
    set(_sid, session, cb) {
      text = JSON.stringify(session);
      cb(null);
    },
  };
  /** Texts that are separate strings, as replies are. */
  const prepare = (session) => {
    store.set(undefined, session, () => {});
    const bytes = Buffer.from(text);
    texts = SIDS.map(() => bytes.toString());
  };
  return { store, prepare, close() {} };
}

/** The Redis client that is built into Bun, with the little that a store adds. Needs Bun to run it. */
async function openBun({ url, prefix }) {
  const { RedisClient } = require("bun");
  const client = new RedisClient(url);
  await client.connect();
  const lifetime = ({ cookie }) => `${cookie.expires.getTime() - Date.now()}`;
  const store = {
    get(sid, cb) {
      client.get(prefix + sid).then((text) => cb(null, text && JSON.parse(text)), cb);
    },
    set(sid, session, cb) {
      const text = JSON.stringify(session);
      client.set(prefix + sid, text, "PX", lifetime(session)).then(() => cb(null), cb);
    },
    touch(sid, session, cb) {
      client.send("PEXPIRE", [prefix + sid, lifetime(session)]).then(() => cb(null), cb);
    },
  };
  return { store, close: () => client.close() };
}

/** @returns {Promise<{store: object, close: () => unknown, prepare?: (session: object) => void}>} */
async function openPeer(name, where) {
  const opened = await OPEN[name](where);
  // express-session listens to both; without a listener, an error would end the process.
  opened.store.on?.("error", () => {});
  return opened;
}

module.exports = { openPeer };
