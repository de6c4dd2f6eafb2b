"use strict";

// The peers. A peer opens a store at `where`: { url, prefix }, with TLS also { ca }, or for a cluster
// { nodes, prefix }. It returns the store and a function that closes it.

const {
  REFERENCE,
  OURS,
  THROUGH,
  DIRECT,
  BACKGROUND,
  TOUCH_AFTER,
  CACHE,
  IOREDIS,
  MEMORY,
  FLOOR,
  BARE,
  BUN,
} = require("./names.js");
const { SIDS } = require("./sessions.js");

/** Of the peers that leave a touch out if the last one was so many seconds ago, or fewer. */
const TOUCH_AFTER_SECONDS = 60;

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

  [OURS]: (where) => ours(where),
  [BACKGROUND]: (where) => ours(where, { touch: "background" }),
  [TOUCH_AFTER]: (where) => ours(where, { touchAfter: TOUCH_AFTER_SECONDS }),
  async [CACHE](where) {
    if (!hasCache(where)) throw new Error("this version has no option cache");
    return ours(where, { cache: true, touch: "background", touchAfter: TOUCH_AFTER_SECONDS });
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

async function ours({ url, prefix, ca, nodes }, options = {}) {
  const { RedisStore } = require("..");
  const to = nodes ? { cluster: nodes } : ca ? { url, tls: { ca } } : { url };
  const store = new RedisStore({ ...to, prefix, ...options });
  return { store, close: () => store.close() };
}

/** Whether the store has the option `cache`: then it refuses a cache of the wrong type. */
function hasCache({ url }) {
  const { RedisStore } = require("..");
  try {
    new RedisStore({ url, cache: "nothing", touchAfter: TOUCH_AFTER_SECONDS }).close();
    return false;
  } catch {
    return true;
  }
}

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
