"use strict";

// Tracers of an app's client still see the session's commands: through the libraries' channels, wrapped
// methods, or instrumentation.

const { once } = require("node:events");
const { channel, tracingChannel } = require("node:diagnostics_channel");
const Ioredis = require("ioredis").Redis;
const nodeRedis = require("redis");
const { RedisStore } = require("../..");
const { startRedisServer } = require("../../scripts/redis-server.js");

let server;
let opened;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

beforeEach(() => {
  opened = [];
});

afterEach(async () => {
  for (const close of opened.reverse()) await close();
});

const LIBRARIES = [
  [
    "node-redis",
    async () => {
      const client = nodeRedis.createClient({ url: server.url });
      client.on("error", () => {});
      opened.push(() => client.isOpen && client.destroy());
      await client.connect();
      return client;
    },
    nodeRedis.createClient().constructor,
  ],
  [
    "ioredis",
    async () => {
      const client = new Ioredis(server.port, "127.0.0.1");
      client.on("error", () => {});
      opened.push(() => client.disconnect());
      await once(client, "ready");
      return client;
    },
    Ioredis,
  ],
];

function makeStore(options) {
  const store = new RedisStore(options);
  opened.push(() => store.close());
  return store;
}

describe.each(LIBRARIES)("%s", (library, open) => {
  const commands = tracingChannel(`${library}:command`);

  test("a subscriber sees the session's commands from its subscription on", async () => {
    const store = makeStore({ client: await open() });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("native");
    const seen = [];
    const subscriber = { start: ({ command }) => seen.push(command.toUpperCase()) };
    commands.subscribe(subscriber);
    try {
      await store.set("a", { n: 2 });
      expect(await store.get("a")).toEqual({ n: 2 });
      await store.destroy("a");
    } finally {
      commands.unsubscribe(subscriber);
    }
    expect(seen).toEqual(expect.arrayContaining(["SET", "GET", "DEL"]));
    await store.set("a", { n: 3 });
    expect(await store.get("a")).toEqual({ n: 3 });
  });

  test("a subscriber from before the store sees each command", async () => {
    const seen = [];
    const subscriber = { asyncEnd: ({ command }) => seen.push(command.toUpperCase()) };
    commands.subscribe(subscriber);
    try {
      const store = makeStore({ client: await open() });
      await store.set("a", { n: 1 });
      await store.get("a");
    } finally {
      commands.unsubscribe(subscriber);
    }
    expect(seen.filter((name) => ["SET", "GET"].includes(name))).toEqual(["SET", "GET"]);
  });

  test("dd-trace's subscriber also counts", async () => {
    const name = library === "ioredis" ? "ioredis" : "redis";
    const subscriber = () => {};
    const commands = channel(`apm:${name}:command:start`);
    commands.subscribe(subscriber);
    try {
      const store = makeStore({ client: await open() });
      await store.get("a");
      expect(store.transport).toBe("client");
    } finally {
      commands.unsubscribe(subscriber);
    }
  });

  test.each(["before", "after"])(
    "a sendCommand wrapped %s the store was made sees the commands",
    async (when) => {
      const client = await open();
      const seen = [];
      const wrap = () => {
        const { sendCommand } = client;
        client.sendCommand = function wrapped(...args) {
          seen.push(String(args[0].name ?? args[0][0]).toUpperCase());
          return sendCommand.apply(this, args);
        };
      };
      if (when === "before") wrap();
      const store = makeStore({ client });
      if (when === "after") {
        await store.set("a", { n: 0 });
        expect(store.transport).toBe("native");
        wrap();
      }
      await store.set("a", { n: 1 });
      await store.get("a");
      expect(store.transport).toBe("client");
      if (library === "ioredis") expect(seen).toEqual(expect.arrayContaining(["SET", "GET"]));
    },
  );

  test("with a prototype wrapped by instrumentation, the client carries the calls", async () => {
    const client = await open();
    const prototype = Object.getPrototypeOf(client);
    let home = prototype;
    while (!Object.hasOwn(home, "sendCommand")) home = Object.getPrototypeOf(home);
    const { sendCommand } = home;
    const seen = [];
    home.sendCommand = function traced(...args) {
      seen.push(args);
      return sendCommand.apply(this, args);
    };
    try {
      const store = makeStore({ client });
      await store.set("a", { n: 1 });
      expect(store.transport).toBe("client");
      expect(seen.length).toBeGreaterThan(0);
    } finally {
      home.sendCommand = sendCommand;
    }
  });

  test("with a library whose code was rewritten at load, the client carries the calls", async () => {
    const client = await open();
    const { sendCommand } = client;
    // As New Relic does it: the new code contains the library's original code.
    client.sendCommand = function sendCommand_(...args) {
      const __apm$orchestrion = "VALID_IN_SUBSCRIBER_MODE disableOfflineQueue";
      return __apm$orchestrion && sendCommand.apply(this, args);
    };
    const store = makeStore({ client });
    await store.set("a", { n: 1 });
    expect(store.transport).toBe("client");
  });
});
