"use strict";

// Shared by the programs in apps/: the connections to Redis, an app's server, a browser, and checks of
// what Redis stores.

const assert = require("node:assert/strict");
const http = require("node:http");
const ioredis = require("ioredis");
const redis = require("redis");

/**
 * The ways to connect a store to Redis, by name. connect-redis is the reference: each case must also
 * hold for it, unless the program lists the case under `ours`.
 */
const CONNECTIONS = {
  url: { package: "connect-redis-rs", open: (url) => ({ options: { url } }) },
  "ioredis 5": { package: "connect-redis-rs", open: openIoredis },
  "node-redis 6": { package: "connect-redis-rs", open: openNodeRedis },
  "connect-redis 10": { package: "connect-redis", isReference: true, open: openNodeRedis },
  // Sails's copy of the last version that accepted a client with callbacks.
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
 * The argument of a case.
 * @typedef {object} Kit
 * @property {string} url of the case's Redis, which is empty when the case begins
 * @property {import("redis").RedisClientType} redis a client to inspect what Redis stores
 * @property {any} module the store's package, as `require` gives it
 * @property {boolean} isReference whether the package is connect-redis
 * @property {object} options the options that say where Redis is
 * @property {(options?: object) => any} store makes a store
 * @property {Error[]} warnings the warnings of the process since the case began
 * @property {(undo: () => unknown) => void} after adds a function that runs when the case has ended
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

/** A browser at an address: it keeps cookies and follows no redirects. */
function browser(address) {
  const cookies = new Map();
  const cookie = () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");

  /**
   * @param {string} path
   * @param {Record<string, string>} [form] the form to post; without it, the request is a GET
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

  /** Returns the JSON of a page. */
  async function read(path, form) {
    const { status, text } = await go(path, form);
    assert.equal(status, 200, `${path}: ${status} ${text}`);
    return JSON.parse(text);
  }

  return { go, read, cookies, cookie };
}

/** Asserts that Redis has one key that matches a pattern, and returns it. */
async function onlyKey(kit, pattern = "*") {
  const keys = await kit.redis.keys(pattern);
  assert.equal(keys.length, 1, `${keys.length} keys`);
  return keys[0];
}

/** Asserts that a key expires in about `seconds`: not later, and not much earlier. */
async function assertExpiry(kit, key, seconds) {
  const left = await kit.redis.pTTL(key);
  assert.ok(
    left > (seconds - 30) * 1000 && left <= seconds * 1000,
    `expires in ${left} ms instead of ${seconds} s`,
  );
}

/** A promise and the function that resolves it. */
function gate() {
  let open;
  const passed = new Promise((resolve) => {
    open = resolve;
  });
  return { passed, open };
}

module.exports = { CONNECTIONS, assertExpiry, browser, gate, onlyKey, serve, withKit };
