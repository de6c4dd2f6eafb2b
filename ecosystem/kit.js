"use strict";

// What the programs in apps/ have in common: the ways to give a store its Redis, an app's server, a
// browser, and a look at what is in Redis.

const assert = require("node:assert/strict");
const http = require("node:http");
const ioredis = require("ioredis");
const redis = require("redis");

/**
 * The ways to give a store its Redis, by name. connect-redis itself is the reference: what a case
 * claims holds for it, too, unless the program lists the case under `ours`.
 */
const CONNECTIONS = {
  url: { package: "connect-redis-rs", open: (url) => ({ options: { url } }) },
  "ioredis 5": { package: "connect-redis-rs", open: openIoredis },
  "node-redis 6": { package: "connect-redis-rs", open: openNodeRedis },
  "connect-redis 10": { package: "connect-redis", isReference: true, open: openNodeRedis },
  // Sails's copy of the last version that took a client with callbacks.
  "connect-redis 6": { package: "@sailshq/connect-redis", isReference: true, open: openIoredis },
};

async function openIoredis(url) {
  const client = new ioredis.Redis(url);
  await new Promise((resolve, reject) => client.once("ready", resolve).once("error", reject));
  return { options: { client }, close: () => client.disconnect() };
}

async function openNodeRedis(url) {
  const client = await redis.createClient({ url }).on("error", console.error).connect();
  return { options: { client }, close: () => client.close() };
}

/**
 * What a case gets.
 * @typedef {object} Kit
 * @property {string} url of the case's Redis, which is empty when it begins
 * @property {import("redis").RedisClientType} redis a client that looks at what is there
 * @property {any} module the store's package, as `require` gives it
 * @property {boolean} isReference whether that is connect-redis
 * @property {object} options those that say where Redis is
 * @property {(options?: object) => any} store makes a store
 * @property {Error[]} warnings what the process has warned of since the case began
 * @property {(undo: () => unknown) => void} after what to do when the case has ended
 */

/**
 * Runs a case.
 * @param {keyof CONNECTIONS} connection
 * @param {(kit: Kit) => Promise<void>} run
 */
async function withKit(connection, url, run) {
  const { package: name, isReference = false, open } = CONNECTIONS[connection];
  const undoings = [];
  const after = (undo) => undoings.unshift(undo);
  const warnings = [];
  const warn = (warning) => warnings.push(warning);
  process.on("warning", warn);
  after(() => process.off("warning", warn));
  try {
    const inspector = await redis.createClient({ url }).on("error", console.error).connect();
    after(() => inspector.close());
    await inspector.flushAll();
    const { options, close } = await open(url);
    if (close) after(close);
    const module = require(name);
    const store = (more) => {
      const made = new module.RedisStore({ ...options, ...more });
      if (!isReference) after(() => made.close());
      return made;
    };
    await run({ url, redis: inspector, module, isReference, options, store, warnings, after });
  } finally {
    for (const undo of undoings) await undo();
  }
}

/**
 * Serves a handler of Node's http, such as an Express app, on a free port.
 * @returns {Promise<{server: http.Server, address: string}>}
 */
async function serve(kit, handler) {
  const server = http.createServer(handler);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  kit.after(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return { server, address: `http://127.0.0.1:${server.address().port}` };
}

/** A browser at an address: it keeps cookies and follows no redirect by itself. */
function browser(address) {
  const cookies = new Map();
  const cookie = () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");

  /**
   * @param {string} path
   * @param {Record<string, string>} [form] what to post; else it is a GET
   */
  async function go(path, form) {
    const response = await fetch(address + path, {
      redirect: "manual",
      headers: cookies.size > 0 ? { cookie: cookie() } : {},
      ...(form && { method: "POST", body: new URLSearchParams(form) }),
    });
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set);
      const expires = /expires=([^;]+)/i.exec(set)?.[1];
      const isGone = value === "" || (expires && new Date(expires) <= new Date());
      if (isGone) cookies.delete(name);
      else cookies.set(name, value);
    }
    const text = await response.text();
    return { status: response.status, text, location: response.headers.get("location") };
  }

  /** What a page that answers with JSON says. */
  async function read(path, form) {
    const { status, text } = await go(path, form);
    assert.equal(status, 200, `${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  return { go, read, cookies, cookie };
}

/** Asserts that a key expires within so many seconds, and not much earlier. */
async function assertExpiry(kit, key, seconds) {
  const left = await kit.redis.pTTL(key);
  assert.ok(
    left > (seconds - 30) * 1000 && left <= seconds * 1000,
    `expires in ${left} ms, and not in ${seconds} s`,
  );
}

/** A promise and what resolves it. */
function gate() {
  let open;
  const passed = new Promise((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

module.exports = { CONNECTIONS, assertExpiry, browser, gate, serve, withKit };
