"use strict";

// The stores that the behaviour suite runs against.
//
// A kind starts a `site` (the servers, and a witness that sees what is really stored there) and
// opens on it what a store is made of: options, the client among them. `transport` is what the
// store has to say of itself. `lacks` names what a kind cannot show, because a fake has not got it
// or because it is otherwise there by intention; the rows of the suite say what they need, and
// `leftOut` why the redis-server that there is cannot show a kind at all:
//
// - `ours`: this store's deliberate differences from connect-redis
// - `ms`: expiry to the millisecond; an app's client is given whole seconds
// - `fresh`: the true expiry of a session whose cookie has more than half of its time left
// - `pttl`: PTTL, which is not among connect-redis's own calls; likewise `xx`, `persist`, `unlink`,
//   and `step`, a scan in steps of the store's own
// - `order`: calls made together are done in their order
// - `stats`: Redis's own count of commands, which is one server's
// - `turns`: the event loop turns meanwhile; a client gives all replies of a packet at once
// - `timers`: it can do with fake timers; a client of the app's needs true ones
// - `types`: only strings are seen; `wrongtype`: Redis's error for anything else
// - `bytes`: a client that can be asked for bytes as they are
// - `binary`, `patterns`, `strict`, `clock`: any character in a key, patterns as Redis reads them,
//   its checks of arguments, a clock apart from the app's; not every fake has them

const { once } = require("node:events");
const ConnectRedis = require("connect-redis");
const { RedisStore } = require("../..");
const { startRedisServer, freePort } = require("../../scripts/redis-server.js");
const { startRedisCluster, startRedisSentinel } = require("../../scripts/redis-topologies.js");
const { LACKS_TLS, makeCertificates, tlsArgs } = require("./certificates.js");
const { openClusterWitness, openWitness, withPrefix, witnessOfFake } = require("./witness.js");

const redis = { 4: require("redis-4"), 5: require("redis-5"), 6: require("redis") };
const ioredis = { 5: require("ioredis"), 6: require("ioredis-6") };
/** ioredis 4 has no name for its own class; iovalkey is ioredis by another name. */
const alike = { "ioredis 4": require("ioredis-4"), iovalkey: require("iovalkey") };

/** A pool's own limit on waiting for one of its clients, of three seconds, is no claim of these tests. */
const PATIENT = { acquireTimeout: 30_000 };

/** What a store does not show through an app's client. */
const BY_CLIENT = ["ms", "fresh", "turns", "timers"];
/** What the first calls of a store do not show if its client is not ready, and so carries them. */
const FIRST_BY_CLIENT = ["ms", "fresh", "turns"];
/** What a fake that keeps its data to itself does not do as Redis does. */
const FAKE = ["wrongtype", "binary", "bytes", "patterns", "strict", "clock"];
const PREFIX = "app:";
const USER = { username: "ada", password: "s e:c@ret" };
const USER_ARGS = ["--user", "ada", "on", `>${USER.password}`, "~*", "&*", "+@all"];

/** One server; `see` makes the witness of it. */
function single(args = [], see = openWitness) {
  return async () => {
    const server = await startRedisServer({ args });
    const witness = await see(server);
    return { server, witness, stop: () => server.stop() };
  };
}

/** A kind on the store's own connections; `options` says where they go. */
function byOptions(name, start, options, lacks = []) {
  return {
    name,
    transport: "native",
    start,
    lacks,
    open: (site) => ({ options: options(site) }),
  };
}

/** A kind on the store's own connection to a url. */
function byUrl(name, urlOf, args) {
  return byOptions(name, single(args), ({ server }) => ({ url: urlOf(server) }));
}

/** A kind with an app's client; `clientOf` makes it, opened or not. */
function byClient(name, transport, clientOf, { start = single(), lacks = [], options } = {}) {
  return {
    name,
    transport,
    lacks: transport === "client" ? [...BY_CLIENT, ...lacks] : ["timers", ...lacks],
    start,
    async open(site) {
      const client = await clientOf(site);
      return { options: { client, ...options }, close: () => end(client) };
    },
  };
}

/** Closes a client of any library, whatever state it is in. */
async function end(client) {
  if (typeof client.destroy === "function") {
    try {
      await client.destroy();
    } catch {} // It was never opened.
  } else if (typeof client.disconnect === "function") await client.disconnect();
  else await client.end?.(true);
}

const connected = async (client) => {
  client.on("error", () => {}); // Else an error of the connection would end the tests.
  await client.connect();
  return client;
};

/** An ioredis client, once it is ready: until then it carries the calls itself. */
const readied = async (client) => {
  await once(client, "ready");
  return client;
};

const port = ({ server }) => ({ host: "127.0.0.1", port: server.port });
const inPrefix = async (server) => withPrefix(await openWitness(server), PREFIX);
const inDatabase = (database) => (server) => openWitness(server, { database });

// Each line of the table below: what the app writes, and whose connection the store then uses.

function nodeRedis(version) {
  const { createClient, createClientPool, createCluster, createSentinel } = redis[version];
  const name = `node-redis ${version}`;
  const client = (what, transport, options, more) =>
    byClient(`${name}: ${what}`, transport, (site) => connected(createClient(options(site))), more);
  const url = ({ server }) => ({ url: server.url });
  const kinds = [
    client("createClient({ url })", "native", url),
    client(
      "createClient with options: socket, user, database, name, RESP",
      "native",
      (site) => ({
        socket: port(site),
        ...USER,
        database: 3,
        name: "mine",
        ...(version > 4 && { RESP: version === 5 ? 3 : 2 }),
      }),
      { start: single(USER_ARGS, inDatabase(3)) },
    ),
    client("over a Unix socket", "native", ({ server }) => ({ socket: { path: server.socket } })),
    byClient(
      `${name}: connect() not awaited`,
      "native",
      ({ server }) => {
        const made = createClient({ url: server.url });
        made.on("error", () => {});
        made.connect().catch(() => {});
        return made;
      },
      { lacks: FIRST_BY_CLIENT },
    ),
    client('transport: "client"', "client", url, { options: { transport: "client" } }),
    client(
      "TLS",
      "native",
      tlsOptions(({ ca }) => ({ tls: true, ca })),
      { start: tls },
    ),
    byClient(
      `${name}: createCluster`,
      version === 4 ? "client" : "native",
      ({ cluster }) =>
        connected(createCluster({ rootNodes: cluster.urls.map((u) => ({ url: u })) })),
      // node-redis 6 itself lets GET overtake DEL there.
      { start: startCluster, lacks: ["stats", ...(version === 6 ? ["order"] : [])] },
    ),
  ];
  if (version === 4) {
    kinds.push(
      client("legacyMode", "client", ({ server }) => ({ url: server.url, legacyMode: true })),
    );
  } else {
    const credentials = { type: "async-credentials-provider", credentials: async () => USER };
    kinds.push(
      client(
        "async credentials provider",
        "native",
        ({ server }) => ({ url: server.url, credentialsProvider: credentials }),
        {
          start: single([...USER_ARGS, "--user", "default", "off"], (server) =>
            openWitness(server, USER),
          ),
        },
      ),
      byClient(`${name}: createClientPool`, "client", ({ server }) =>
        connected(createClientPool({ url: server.url }, PATIENT)),
      ),
      byClient(
        `${name}: createSentinel`,
        "client",
        ({ sentinel }) =>
          connected(createSentinel({ name: sentinel.name, sentinelRootNodes: sentinel.sentinels })),
        { start: startSentinel },
      ),
      byClient(
        `${name}: legacy()`,
        "client",
        async ({ server }) => {
          const made = await connected(createClient({ url: server.url }));
          return Object.assign(made.legacy(), { destroy: () => made.destroy() });
        },
        { lacks: ["bytes"] },
      ),
    );
  }
  if (version === 6) {
    const keyPrefix = PREFIX;
    kinds.push(
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
      byClient(
        `${name}: createClientPool with keyPrefix`,
        "client",
        ({ server }) => connected(createClientPool({ url: server.url, keyPrefix }, PATIENT)),
        { start: single([], inPrefix) },
      ),
    );
  }
  return kinds;
}

function ioredisKinds(version) {
  const Redis = ioredis[version].Redis;
  const { Cluster } = ioredis[version];
  const name = `ioredis ${version}`;
  const client = (what, transport, args, more) =>
    byClient(
      `${name}: ${what}`,
      transport,
      (site) => {
        const made = new Redis(...args(site));
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
      (site) => [{ ...port(site), ...USER, db: 3, connectionName: "mine" }],
      { start: single(USER_ARGS, inDatabase(3)) },
    ),
    client("keyPrefix", "native", ({ server }) => [server.url, { keyPrefix: PREFIX }], {
      start: single([], inPrefix),
    }),
    client("lazyConnect", "native", ({ server }) => [server.url, { lazyConnect: true }], {
      lacks: FIRST_BY_CLIENT,
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
      (site) => [{ host: "localhost", port: site.tlsPort, tls: { ca: site.ca } }],
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
      byClient(
        `${name}: Cluster${keyPrefix ? " with keyPrefix" : ""}`,
        "native",
        ({ cluster }) => {
          const made = new Cluster(cluster.urls, { keyPrefix });
          made.on("error", () => {});
          return readied(made);
        },
        {
          start: () => startCluster(keyPrefix),
          lacks: ["stats"],
        },
      ),
    ),
  ];
}

/** The usual setups of a library that is nearly ioredis 5. */
function likeIoredis([name, Redis]) {
  const client = (what, transport, args, more) =>
    byClient(
      `${name}: ${what}`,
      transport,
      (site) => {
        const made = new Redis(...args(site));
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
    byClient(
      `${name}: Cluster`,
      "native",
      ({ cluster }) => {
        const made = new Redis.Cluster(cluster.urls);
        made.on("error", () => {});
        return readied(made);
      },
      { start: startCluster, lacks: ["stats"] },
    ),
  ];
}

async function startCluster(keyPrefix = "") {
  const cluster = await startRedisCluster();
  const witness = withPrefix(await openClusterWitness(cluster), keyPrefix);
  return { cluster, witness, stop: () => cluster.stop() };
}

async function startSentinel() {
  const sentinel = await startRedisSentinel();
  const witness = await openWitness(sentinel.master);
  return { sentinel, witness, stop: () => sentinel.stop() };
}

/** A server that has TLS beside plain TCP, with a certificate for localhost. */
async function tls() {
  return startTls({ clients: "no" });
}

/** One that wants a certificate of its clients, too. */
async function mutualTls() {
  return startTls({ clients: "yes" });
}

async function startTls(how) {
  const certificates = await makeCertificates();
  const tlsPort = await freePort();
  const server = await startRedisServer({ args: tlsArgs(certificates, tlsPort, how) });
  const witness = await openWitness(server);
  const stop = async () => {
    await server.stop();
    certificates.remove();
  };
  const { ca, client } = certificates;
  return { server, witness, tlsPort, ca, tls: { ca, ...client }, stop };
}

/** A cluster whose nodes name each other by their ports for TLS. */
async function startSecureCluster() {
  const certificates = await makeCertificates();
  const cluster = await startRedisCluster({
    args: USER_ARGS,
    tls: { args: (tlsPort) => tlsArgs(certificates, tlsPort) },
  });
  const witness = await openClusterWitness(cluster);
  const stop = async () => {
    await cluster.stop();
    certificates.remove();
  };
  return { cluster, certificates, witness, stop };
}

function tlsOptions(socket) {
  return (site) => ({ socket: { host: "localhost", port: site.tlsPort, ...socket(site) } });
}

/** A client of node-redis 6 for a hand-made one to stand on. */
const under = ({ server }) => connected(redis[6].createClient({ url: server.url, RESP: 2 }));
const asked = (client, ...args) => client.sendCommand(args.map(String));

const fakes = [
  byClient(
    "hand-made, with connect-redis's own calls only",
    "client",
    async (site) => {
      const client = await under(site);
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
    { lacks: ["types", "xx", "persist", "pttl", "unlink", "step", "bytes"] },
  ),
  byClient(
    "hand-made, with callbacks (node-redis 3 style)",
    "client",
    async (site) => {
      const client = await under(site);
      const names = ["get", "set", "expire", "del", "mget", "scan", "pttl", "persist"];
      const made = { destroy: () => client.destroy() };
      for (const name of names) {
        made[name] = (...args) => {
          const callback = args.pop();
          asked(client, name, ...args.flat()).then(
            (reply) => callback(null, reply),
            (error) => callback(error),
          );
          return true;
        };
      }
      return made;
    },
    { lacks: ["types", "unlink", "xx", "bytes"] },
  ),
  byClient(
    "node-redis 6 with its method get overridden",
    "client",
    async (site) => {
      const client = await under(site);
      const get = client.get.bind(client);
      client.get = async (key) => get(key);
      return client;
    },
    { lacks: ["bytes"] },
  ),
  byClient("ioredis 5 subclassed, with its method set overridden", "client", ({ server }) => {
    class Mine extends ioredis[5].Redis {
      set(...args) {
        return super.set(...args);
      }
    }
    return new Mine(server.url);
  }),
  byClient(
    "a Proxy of node-redis 6",
    "client",
    async (site) => {
      const client = await under(site);
      return new Proxy(client, {
        get(target, name) {
          const value = target[name];
          return typeof value === "function" ? value.bind(target) : value;
        },
      });
    },
    { lacks: ["unlink", "bytes"] },
  ),
  byClient(
    "node-redis 3",
    "client",
    ({ server }) =>
      require("redis-3")
        .createClient(server.url)
        .on("error", () => {}),
    { lacks: ["bytes"] },
  ),
  byClient("redis-mock", "client", ({ fake }) => fake, {
    start: startFake(() => require("redis-mock").createClient()),
    lacks: ["types", "stats", "xx", ...FAKE],
  }),
  byClient("ioredis-mock", "client", ({ fake }) => fake, {
    start: startFake(() => new (require("ioredis-mock"))()),
    lacks: ["types", "stats", "xx", ...FAKE],
  }),
];

function startFake(make) {
  return async () => {
    const fake = make();
    // Not closed after each test, as the data would go with it.
    const shared = Object.create(fake, {
      destroy: { value: () => {} },
      disconnect: { value: () => {} },
    });
    return { fake: shared, witness: witnessOfFake(fake), stop: async () => fake.quit?.() };
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
  byOptions("rediss:// url, with a ca and a certificate of the client", mutualTls, (site) => ({
    url: `rediss://localhost:${site.tlsPort}`,
    tls: site.tls,
  })),
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
  lacks: ["ours", "ms", "fresh"],
  start: single(),
  async open({ server }) {
    const client = await connected(redis[6].createClient({ url: server.url }));
    return { options: { client }, close: () => end(client) };
  },
};

for (const kind of [...own, ...fakes]) kind.Store = RedisStore;

/** What starts the servers of kinds with TLS. */
const WITH_TLS = [tls, mutualTls, startSecureCluster];

const withStore = (kinds) =>
  kinds.map((kind) => ({
    Store: RedisStore,
    lacks: [],
    leftOut: WITH_TLS.includes(kind.start) ? LACKS_TLS : undefined,
    ...kind,
  }));

/** The clients that most apps have, for the short run. */
const USUAL = [
  "node-redis 6: createClient({ url })",
  'node-redis 6: transport: "client"',
  "ioredis 5: new Redis(url)",
  'ioredis 5: transport: "client"',
];
const isUsual = ({ name }) => USUAL.includes(name);
const isOther = (kind) => !isUsual(kind);
const [nodeRedisKinds, ioredisKindsOfAll] = [
  [4, 5, 6].flatMap(nodeRedis),
  [5, 6].flatMap(ioredisKinds),
];

module.exports = {
  own: withStore([...own, connectRedis]),
  usual: withStore([...nodeRedisKinds, ...ioredisKindsOfAll].filter(isUsual)),
  nodeRedis: withStore(nodeRedisKinds.filter(isOther)),
  ioredis: withStore(ioredisKindsOfAll.filter(isOther)),
  alike: withStore(Object.entries(alike).flatMap(likeIoredis)),
  fakes: withStore(fakes),
};
