"use strict";

// The stores that the behaviour suite runs against.
//
// A setup starts an `environment` (the servers, and an inspector of what they store) and opens the
// options of a store for it, including the client. `transport` is the store's expected transport.
// `leftOut` is the reason if this machine's redis-server cannot run the setup. `unsupported` lists what a
// setup does not support, because a fake lacks it or because the store differs on purpose; each test of
// the suite lists what it needs:
//
// - `ours`: this store's deliberate differences from connect-redis
// - `ms`: expiry to the millisecond; an app's client gets whole seconds
// - `fresh`: the true expiry of a session whose cookie has more than half of its time left
// - `pttl`: PTTL, which connect-redis does not call; likewise `xx`, `persist`, `unlink`, and `step`, a
//   scan in the store's own steps
// - `order`: calls made together are carried out in their order
// - `stats`: Redis's count of commands, which covers one server only
// - `turns`: the event loop turns between replies; a client delivers all replies of a packet at once
// - `timers`: works with fake timers; an app's client needs real ones
// - `types`: scans skip keys that are no strings; `wrongtype`: Redis's error for such keys
// - `bytes`: returns bytes unchanged
// - `binary`, `patterns`, `strict`, `clock`: any character in a key, patterns as Redis reads them,
//   its checks of arguments, a clock separate from the app's; some fakes do not have them

const { once } = require("node:events");
const ConnectRedis = require("connect-redis");
const { RedisStore } = require("../..");
const { startRedisServer, freePort } = require("../../scripts/redis-server.js");
const { startRedisCluster, startRedisSentinel } = require("../../scripts/redis-topologies.js");
const { NO_TLS, makeCertificates, tlsArgs } = require("./certificates.js");
const {
  openClusterInspector,
  openInspector,
  withPrefix,
  inspectorOfFake,
} = require("./inspector.js");

const redis = { 4: require("redis-4"), 5: require("redis-5"), 6: require("redis") };
const ioredis = { 5: require("ioredis"), 6: require("ioredis-6") };
/** ioredis 4 does not export its class by name; iovalkey is a fork of ioredis. */
const alike = { "ioredis 4": require("ioredis-4"), iovalkey: require("iovalkey") };

/** A pool gives up after three seconds without a free client; a busy machine may take longer. */
const PATIENT = { acquireTimeout: 30_000 };

/** Not supported through an app's client. */
const BY_CLIENT = ["ms", "fresh", "turns", "timers"];
/** Not supported by a store's first calls if its client is not ready, and so carries them. */
const FIRST_BY_CLIENT = ["ms", "fresh", "turns"];
/** Not supported by a fake that keeps its data in memory. */
const FAKE = ["wrongtype", "binary", "bytes", "patterns", "strict", "clock"];
const PREFIX = "app:";
const USER = { username: "ada", password: "s e:c@ret" };
const USER_ARGS = ["--user", "ada", "on", `>${USER.password}`, "~*", "&*", "+@all"];

/** Starts one server; `see` opens its inspector. */
function single(args = [], see = openInspector) {
  return async () => {
    const server = await startRedisServer({ args });
    const inspector = await see(server);
    return { server, inspector, stop: () => server.stop() };
  };
}

/** A setup with the store's own connections; `options` returns the store's options. */
function byOptions(name, start, options, unsupported = []) {
  return {
    name,
    transport: "native",
    start,
    unsupported,
    open: (environment) => ({ options: options(environment) }),
  };
}

/** A setup with the store's own connection to a url. */
function byUrl(name, urlOf, args) {
  return byOptions(name, single(args), ({ server }) => ({ url: urlOf(server) }));
}

/** A setup with an app's client; `clientOf` makes it, connected or not. */
function clientSetup(
  name,
  transport,
  clientOf,
  { start = single(), unsupported = [], options } = {},
) {
  return {
    name,
    transport,
    unsupported:
      transport === "client" ? [...BY_CLIENT, ...unsupported] : ["timers", ...unsupported],
    start,
    async open(environment) {
      const client = await clientOf(environment);
      return { options: { client, ...options }, close: () => end(client) };
    },
  };
}

/** Closes a client of any library, in any state. */
async function end(client) {
  if (typeof client.destroy === "function") {
    try {
      await client.destroy();
    } catch {} // The client was never connected.
  } else if (typeof client.disconnect === "function") await client.disconnect();
  else await client.end?.(true);
}

const connected = async (client) => {
  client.on("error", () => {}); // Otherwise an error of the connection would end the tests.
  await client.connect();
  return client;
};

/** Waits until an ioredis client is ready: until then, the client carries the calls. */
const readied = async (client) => {
  await once(client, "ready");
  return client;
};

const port = ({ server }) => ({ host: "127.0.0.1", port: server.port });
const inPrefix = async (server) => withPrefix(await openInspector(server), PREFIX);
const inDatabase = (database) => (server) => openInspector(server, { database });

// Each line: what the app writes, and whose connection the store uses.

function nodeRedis(version) {
  const { createClient, createClientPool, createCluster, createSentinel } = redis[version];
  const name = `node-redis ${version}`;
  const client = (what, transport, options, more) =>
    clientSetup(
      `${name}: ${what}`,
      transport,
      (environment) => connected(createClient(options(environment))),
      more,
    );
  const url = ({ server }) => ({ url: server.url });
  const setups = [
    client("createClient({ url })", "native", url),
    client(
      "createClient with options: socket, user, database, name, RESP",
      "native",
      (environment) => ({
        socket: port(environment),
        ...USER,
        database: 3,
        name: "mine",
        ...(version > 4 && { RESP: version === 5 ? 3 : 2 }),
      }),
      { start: single(USER_ARGS, inDatabase(3)) },
    ),
    client("over a Unix socket", "native", ({ server }) => ({ socket: { path: server.socket } })),
    clientSetup(
      `${name}: connect() not awaited`,
      "native",
      ({ server }) => {
        const made = createClient({ url: server.url });
        made.on("error", () => {});
        made.connect().catch(() => {});
        return made;
      },
      { unsupported: FIRST_BY_CLIENT },
    ),
    client('transport: "client"', "client", url, { options: { transport: "client" } }),
    client(
      "TLS",
      "native",
      tlsOptions(({ ca }) => ({ tls: true, ca })),
      { start: tls },
    ),
    clientSetup(
      `${name}: createCluster`,
      version === 4 ? "client" : "native",
      ({ cluster }) =>
        connected(createCluster({ rootNodes: cluster.urls.map((u) => ({ url: u })) })),
      // node-redis 6 itself lets GET overtake DEL there.
      { start: startCluster, unsupported: ["stats", ...(version === 6 ? ["order"] : [])] },
    ),
  ];
  if (version === 4) {
    setups.push(
      client("legacyMode", "client", ({ server }) => ({ url: server.url, legacyMode: true })),
    );
  } else {
    const credentials = { type: "async-credentials-provider", credentials: async () => USER };
    setups.push(
      client(
        "async credentials provider",
        "native",
        ({ server }) => ({ url: server.url, credentialsProvider: credentials }),
        {
          start: single([...USER_ARGS, "--user", "default", "off"], (server) =>
            openInspector(server, USER),
          ),
        },
      ),
      clientSetup(`${name}: createClientPool`, "client", ({ server }) =>
        connected(createClientPool({ url: server.url }, PATIENT)),
      ),
      clientSetup(
        `${name}: createSentinel`,
        "client",
        ({ sentinel }) =>
          connected(createSentinel({ name: sentinel.name, sentinelRootNodes: sentinel.sentinels })),
        { start: startSentinel },
      ),
      clientSetup(
        `${name}: legacy()`,
        "client",
        async ({ server }) => {
          const made = await connected(createClient({ url: server.url }));
          return Object.assign(made.legacy(), { destroy: () => made.destroy() });
        },
        { unsupported: ["bytes"] },
      ),
    );
  }
  if (version === 6) {
    const keyPrefix = PREFIX;
    setups.push(
      client("keyPrefix", "native", ({ server }) => ({ url: server.url, keyPrefix }), {
        start: single([], inPrefix),
      }),
      client(
        'keyPrefix, transport: "client"',
        "client",
        ({ server }) => ({ url: server.url, keyPrefix }),
        {
          start: single([], inPrefix),
          options: { transport: "client" },
        },
      ),
      clientSetup(
        `${name}: createClientPool with keyPrefix`,
        "client",
        ({ server }) => connected(createClientPool({ url: server.url, keyPrefix }, PATIENT)),
        { start: single([], inPrefix) },
      ),
    );
  }
  return setups;
}

function ioredisSetups(version) {
  const Redis = ioredis[version].Redis;
  const { Cluster } = ioredis[version];
  const name = `ioredis ${version}`;
  const client = (what, transport, args, more) =>
    clientSetup(
      `${name}: ${what}`,
      transport,
      (environment) => {
        const made = new Redis(...args(environment));
        made.on("error", () => {});
        return made.options.lazyConnect ? made : readied(made);
      },
      more,
    );
  const url = ({ server }) => [server.url];
  return [
    client("new Redis(url)", "native", url),
    client(
      "new Redis with options: host, port, user, db, connectionName",
      "native",
      (environment) => [{ ...port(environment), ...USER, db: 3, connectionName: "mine" }],
      { start: single(USER_ARGS, inDatabase(3)) },
    ),
    client("keyPrefix", "native", ({ server }) => [server.url, { keyPrefix: PREFIX }], {
      start: single([], inPrefix),
    }),
    client("lazyConnect", "native", ({ server }) => [server.url, { lazyConnect: true }], {
      unsupported: FIRST_BY_CLIENT,
    }),
    client("enableAutoPipelining", "native", ({ server }) => [
      server.url,
      { enableAutoPipelining: true },
    ]),
    client("over a Unix socket", "native", ({ server }) => [server.socket]),
    client('transport: "client"', "client", url, { options: { transport: "client" } }),
    client(
      'keyPrefix, transport: "client"',
      "client",
      ({ server }) => [server.url, { keyPrefix: PREFIX, enableAutoPipelining: true }],
      { start: single([], inPrefix), options: { transport: "client" } },
    ),
    client(
      "TLS",
      "native",
      (environment) => [
        { host: "localhost", port: environment.tlsPort, tls: { ca: environment.ca } },
      ],
      {
        start: tls,
      },
    ),
    client(
      "sentinels",
      "native",
      ({ sentinel }) => [{ name: sentinel.name, sentinels: sentinel.sentinels }],
      {
        start: startSentinel,
      },
    ),
    ...[undefined, PREFIX].map((keyPrefix) =>
      clientSetup(
        `${name}: Cluster${keyPrefix ? " with keyPrefix" : ""}`,
        "native",
        ({ cluster }) => {
          const made = new Cluster(cluster.urls, { keyPrefix });
          made.on("error", () => {});
          return readied(made);
        },
        {
          start: () => startCluster(keyPrefix),
          unsupported: ["stats"],
        },
      ),
    ),
  ];
}

/** The usual setups of a library that is almost ioredis 5. */
function likeIoredis([name, Redis]) {
  const client = (what, transport, args, more) =>
    clientSetup(
      `${name}: ${what}`,
      transport,
      (environment) => {
        const made = new Redis(...args(environment));
        made.on("error", () => {});
        return readied(made);
      },
      more,
    );
  return [
    client("new Redis(url)", "native", ({ server }) => [server.url]),
    client("keyPrefix", "native", ({ server }) => [server.url, { keyPrefix: PREFIX }], {
      start: single([], inPrefix),
    }),
    client('transport: "client"', "client", ({ server }) => [server.url], {
      options: { transport: "client" },
    }),
    clientSetup(
      `${name}: Cluster`,
      "native",
      ({ cluster }) => {
        const made = new Redis.Cluster(cluster.urls);
        made.on("error", () => {});
        return readied(made);
      },
      { start: startCluster, unsupported: ["stats"] },
    ),
  ];
}

async function startCluster(keyPrefix = "") {
  const cluster = await startRedisCluster();
  const inspector = withPrefix(await openClusterInspector(cluster), keyPrefix);
  return { cluster, inspector, stop: () => cluster.stop() };
}

async function startSentinel() {
  const sentinel = await startRedisSentinel();
  const inspector = await openInspector(sentinel.master);
  return { sentinel, inspector, stop: () => sentinel.stop() };
}

/** Starts a server with TLS and plain TCP, with a certificate for localhost. */
async function tls() {
  return startTls({ clients: "no" });
}

/** Starts a server that also requires a certificate from its clients. */
async function mutualTls() {
  return startTls({ clients: "yes" });
}

async function startTls(how) {
  const certificates = await makeCertificates();
  const tlsPort = await freePort();
  const server = await startRedisServer({ args: tlsArgs(certificates, tlsPort, how) });
  const inspector = await openInspector(server);
  const stop = async () => {
    await server.stop();
    certificates.remove();
  };
  const { ca, client } = certificates;
  return { server, inspector, tlsPort, ca, tls: { ca, ...client }, stop };
}

/** Starts a cluster whose nodes announce their TLS ports. */
async function startSecureCluster() {
  const certificates = await makeCertificates();
  const cluster = await startRedisCluster({
    args: USER_ARGS,
    tls: { args: (tlsPort) => tlsArgs(certificates, tlsPort) },
  });
  const inspector = await openClusterInspector(cluster);
  const stop = async () => {
    await cluster.stop();
    certificates.remove();
  };
  return { cluster, certificates, inspector, stop };
}

function tlsOptions(socket) {
  return (environment) => ({
    socket: { host: "localhost", port: environment.tlsPort, ...socket(environment) },
  });
}

/** Connects a node-redis 6 client for a hand-made client to use. */
const underlying = ({ server }) => connected(redis[6].createClient({ url: server.url, RESP: 2 }));
const sendTo = (client, ...args) => client.sendCommand(args.map(String));

const fakes = [
  clientSetup(
    "hand-made, with connect-redis's own calls only",
    "client",
    async (environment) => {
      const client = await underlying(environment);
      return {
        get: (key) => client.get(key),
        set: (key, value, options) => client.set(key, value, options),
        expire: (key, seconds) => client.expire(key, seconds),
        del: (keys) => client.del(keys),
        mGet: (keys) => client.mGet(keys),
        scanIterator: (options) => client.scanIterator(options),
        destroy: () => client.destroy(),
      };
    },
    { unsupported: ["types", "xx", "persist", "pttl", "unlink", "step", "bytes"] },
  ),
  clientSetup(
    "hand-made, with callbacks (node-redis 3 style)",
    "client",
    async (environment) => {
      const client = await underlying(environment);
      const names = ["get", "set", "expire", "del", "mget", "scan", "pttl", "persist"];
      const made = { destroy: () => client.destroy() };
      for (const name of names) {
        made[name] = (...args) => {
          const callback = args.pop();
          sendTo(client, name, ...args.flat()).then(
            (reply) => callback(null, reply),
            (error) => callback(error),
          );
          return true;
        };
      }
      return made;
    },
    { unsupported: ["types", "unlink", "xx", "bytes"] },
  ),
  clientSetup(
    "node-redis 6 with its method get overridden",
    "client",
    async (environment) => {
      const client = await underlying(environment);
      const get = client.get.bind(client);
      client.get = async (key) => get(key);
      return client;
    },
    { unsupported: ["bytes"] },
  ),
  clientSetup("ioredis 5 subclassed, with its method set overridden", "client", ({ server }) => {
    class Mine extends ioredis[5].Redis {
      set(...args) {
        return super.set(...args);
      }
    }
    return new Mine(server.url);
  }),
  clientSetup(
    "a Proxy of node-redis 6",
    "client",
    async (environment) => {
      const client = await underlying(environment);
      return new Proxy(client, {
        get(target, name) {
          const value = target[name];
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
    { unsupported: ["unlink", "bytes"] },
  ),
  clientSetup(
    "node-redis 3",
    "client",
    ({ server }) =>
      require("redis-3")
        .createClient(server.url)
        .on("error", () => {}),
    { unsupported: ["bytes"] },
  ),
  clientSetup("redis-mock", "client", ({ fake }) => fake, {
    start: startFake(() => require("redis-mock").createClient()),
    unsupported: ["types", "stats", "xx", ...FAKE],
  }),
  clientSetup("ioredis-mock", "client", ({ fake }) => fake, {
    start: startFake(() => new (require("ioredis-mock"))()),
    unsupported: ["types", "stats", "xx", ...FAKE],
  }),
];

function startFake(make) {
  return async () => {
    const fake = make();
    // Not closed after each test, because closing it deletes its data.
    const shared = Object.create(fake, {
      destroy: { value: () => {} },
      disconnect: { value: () => {} },
    });
    return { fake: shared, inspector: inspectorOfFake(fake), stop: async () => fake.quit?.() };
  };
}

const own = [
  byUrl("url", (server) => server.url),
  byUrl("url of a Unix socket", (server) => `unix://${server.socket}`),
  byUrl("url of a server that speaks RESP2", (server) => server.url, [
    "--rename-command",
    "HELLO",
    "",
  ]),
  byUrl(
    "url with user, password and database",
    (server) => `redis://ada:${encodeURIComponent(USER.password)}@127.0.0.1:${server.port}/0`,
    USER_ARGS,
  ),
  byOptions(
    "url with username, password and database beside it",
    single(USER_ARGS, inDatabase(3)),
    ({ server }) => ({ url: server.url, ...USER, database: 3 }),
  ),
  byOptions(
    "rediss:// url, with a ca and a certificate of the client",
    mutualTls,
    (environment) => ({
      url: `rediss://localhost:${environment.tlsPort}`,
      tls: environment.tls,
    }),
  ),
  byOptions(
    "cluster",
    () => startCluster(),
    ({ cluster }) => ({ cluster: cluster.urls }),
    ["stats"],
  ),
  byOptions(
    "cluster with TLS, user and password, by one of its nodes",
    startSecureCluster,
    ({ cluster, certificates }) => ({
      cluster: [{ host: "localhost", port: cluster.nodes[1].tlsPort }],
      ...USER,
      tls: { ca: certificates.ca, servername: "localhost" },
    }),
    ["stats"],
  ),
  byOptions("sentinel", startSentinel, ({ sentinel }) => ({
    sentinel: { name: sentinel.name, nodes: sentinel.sentinels },
  })),
];

const connectRedis = {
  name: "connect-redis 10 with node-redis 6",
  Store: ConnectRedis.RedisStore,
  unsupported: ["ours", "ms", "fresh"],
  start: single(),
  async open({ server }) {
    const client = await connected(redis[6].createClient({ url: server.url }));
    return { options: { client }, close: () => end(client) };
  },
};

for (const setup of [...own, ...fakes]) setup.Store = RedisStore;

/** The functions that start servers with TLS. */
const WITH_TLS = [tls, mutualTls, startSecureCluster];

const withStore = (setups) =>
  setups.map((setup) => ({
    Store: RedisStore,
    unsupported: [],
    leftOut: WITH_TLS.includes(setup.start) ? NO_TLS : undefined,
    ...setup,
  }));

/** The clients that most apps use, for the short run. */
const USUAL = [
  "node-redis 6: createClient({ url })",
  'node-redis 6: transport: "client"',
  "ioredis 5: new Redis(url)",
  'ioredis 5: transport: "client"',
];
const isUsual = ({ name }) => USUAL.includes(name);
const isOther = (setup) => !isUsual(setup);
const [allNodeRedis, allIoredis] = [[4, 5, 6].flatMap(nodeRedis), [5, 6].flatMap(ioredisSetups)];

module.exports = {
  own: withStore([...own, connectRedis]),
  usual: withStore([...allNodeRedis, ...allIoredis].filter(isUsual)),
  nodeRedis: withStore(allNodeRedis.filter(isOther)),
  ioredis: withStore(allIoredis.filter(isOther)),
  alike: withStore(Object.entries(alike).flatMap(likeIoredis)),
  fakes: withStore(fakes),
};
