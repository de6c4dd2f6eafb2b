"use strict";

// What a call gets when Redis is not as it should be: an answer in time, that says what is wrong.

const { once } = require("node:events");
const net = require("node:net");
const { RedisStore, RedisStoreError } = require("..");
const { freePort, startRedisServer } = require("../scripts/redis-server.js");
const { countClients, openWitness } = require("./support/witness.js");

const closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(options) {
  const server = await startRedisServer(options);
  closing.push(() => server.stop());
  return server;
}

function open(options) {
  const store = new RedisStore(options);
  closing.push(() => store.close());
  return store;
}

async function watch(server) {
  const witness = await openWitness(server);
  closing.push(() => witness.close());
  return witness;
}

/** A server that does with each connection what the test says. */
async function fake(onConnection) {
  const sockets = new Set();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    onConnection(socket);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  return `redis://127.0.0.1:${server.address().port}`;
}

const failure = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

describe("nothing listens", () => {
  test("every call rejects with ECONNREFUSED, naming operation and server", async () => {
    const port = await freePort();
    const store = open({ url: `redis://user:secret@127.0.0.1:${port}`, commandTimeout: 200 });
    expect(store.status).toBe("connecting");
    const calls = {
      get: store.get("the-sid"),
      set: store.set("the-sid", {}),
      touch: store.touch("the-sid", {}),
      destroy: store.destroy("the-sid"),
      clear: store.clear(),
      length: store.length(),
      ids: store.ids(),
      all: store.all(),
    };
    for (const [name, call] of Object.entries(calls)) {
      const error = await failure(call);
      expect(error).toBeInstanceOf(RedisStoreError);
      expect(error).toBeInstanceOf(Error);
      expect(error.name).toBe("RedisStoreError");
      expect(error.code).toBe("ECONNREFUSED");
      expect(error.message).toMatch(
        new RegExp(`^${name}: no connection to Redis at 127.0.0.1:${port} `),
      );
      expect(error.message).toContain("commandTimeout");
      expect(error.cause).toBeInstanceOf(Error);
      expect(error.message + error.cause.message).not.toMatch(/secret|the-sid/);
    }
  });

  test("a missing Unix socket is ECONNREFUSED, never ENOENT", async () => {
    const store = open({ url: "unix:///nowhere/redis.sock", commandTimeout: 100 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ECONNREFUSED");
    expect(error.message).toContain("/nowhere/redis.sock");
  });

  test("a host name that does not exist says so", async () => {
    const store = open({ url: "redis://no-such-host.invalid", commandTimeout: 1000 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ENOTFOUND");
    expect(error.message).toContain("no-such-host.invalid:6379");
  });

  test("a call waits for a server that starts in time", async () => {
    const port = await freePort();
    const store = open({ url: `redis://127.0.0.1:${port}`, commandTimeout: 10_000 });
    const call = store.set("a", { n: 1 });
    const ready = once(store, "ready");
    await start({ port });
    expect(await call).toBeNull();
    await ready;
    expect(store.status).toBe("ready");
  });
});

test("JS that runs for longer than commandTimeout is not the server's fault", async () => {
  const server = await start();
  const store = open({ url: server.url, commandTimeout: 100 });
  await once(store, "ready");
  const call = store.get("a");
  const end = Date.now() + 200;
  while (Date.now() < end);
  expect(await call).toBeNull();
});

describe("the server goes away", () => {
  test("the store says so, and returns with the server", async () => {
    const server = await start();
    const store = open({ url: server.url, commandTimeout: 10_000 });
    await store.set("a", { n: 1 });
    const reconnecting = once(store, "reconnecting");
    await server.stop();
    await reconnecting;
    expect(store.status).toBe("reconnecting");
    const ready = once(store, "ready");
    const waiting = Array.from({ length: 1000 }, (_, n) => store.set(`s${n}`, { n }));
    await start({ port: server.port });
    await Promise.all(waiting);
    await ready;
    expect(await store.length()).toBe(1000);
  });

  test("a long queue goes out in its order when the server is back", async () => {
    const port = await freePort();
    const store = open({ url: `redis://127.0.0.1:${port}`, commandTimeout: 30_000 });
    const sets = Array.from({ length: 200_000 }, (_, n) => store.set("a", { n }));
    await start({ port });
    await Promise.all(sets);
    expect(await store.get("a")).toEqual({ n: 199_999 });
  }, 60_000);

  test("a server that is killed in mid-flight loses no call", async () => {
    const server = await start();
    const store = open({ url: server.url, commandTimeout: 10_000 });
    await store.set("a", { n: 1 });
    let ended = 0;
    const calls = Array.from({ length: 500 }, (_, n) =>
      store.set(`s${n}`, { n, text: "x".repeat(10_000) }).finally(() => {
        ended += 1;
      }),
    );
    process.kill(server.pid, "SIGKILL");
    await start({ port: server.port });
    await Promise.allSettled(calls);
    expect(ended).toBe(500);
    expect(await store.set("b", {})).toBeNull();
  });

  test("calls that are sent again keep their order", async () => {
    const server = await start();
    // Reads what comes, forwards it only on the second connection, and cuts the first.
    let connections = 0;
    const url = await fake((socket) => {
      connections += 1;
      const first = connections === 1;
      const upstream = net.connect(server.port, "127.0.0.1");
      upstream.on("error", () => {}).pipe(socket);
      let handshake = true;
      socket.on("data", (data) => {
        if (!first || handshake) upstream.write(data);
        else setTimeout(() => socket.destroy(), 20);
        handshake = false;
      });
      socket.on("close", () => upstream.destroy());
    });
    const store = open({ url });
    await once(store, "ready");
    const sets = [];
    for (let n = 0; n <= 50; n += 1) {
      sets.push(store.set("a", { n }));
      // A batch of its own for each.
      await new Promise(setImmediate);
    }
    await Promise.all(sets);
    expect(connections).toBe(2);
    expect(await store.get("a")).toEqual({ n: 50 });
  });

  test("one that hangs gives ETIMEDOUT, and is used again when it goes on", async () => {
    const server = await start();
    const store = open({ url: server.url, commandTimeout: 200 });
    await store.set("a", { n: 1 });
    process.kill(server.pid, "SIGSTOP");
    try {
      for (let round = 0; round < 4; round += 1) {
        const error = await failure(store.get("a"));
        expect(error.code).toBe("ETIMEDOUT");
        expect(error.message).toContain(`127.0.0.1:${server.port}`);
      }
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    if (store.status !== "ready") await once(store, "ready");
    expect(await store.get("a")).toEqual({ n: 1 });
  });
});

describe("the server answers wrongly", () => {
  test("a connection cut in the middle of a reply is retried once, then ECONNRESET", async () => {
    let gets = 0;
    const url = await fake((socket) =>
      socket.on("data", (data) => {
        const text = data.toString();
        if (text.includes("HELLO")) socket.write("-ERR unknown command 'HELLO'\r\n".repeat(3));
        if (text.includes("SETINFO") && !text.includes("HELLO")) socket.write("+OK\r\n+OK\r\n");
        if (text.includes("\r\nGET\r\n")) {
          gets += 1;
          socket.end("$100\r\nhalf of");
        }
      }),
    );
    const store = open({ url, commandTimeout: 2000 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ECONNRESET");
    expect(gets).toBe(2);
  });

  test("a server that is merely slow keeps its connection", async () => {
    let connections = 0;
    const url = await fake((socket) => {
      connections += 1;
      socket.on("data", (data) => {
        const text = data.toString();
        if (text.includes("HELLO")) socket.write("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n");
        else setTimeout(() => socket.write("_\r\n:-2\r\n"), 150);
      });
    });
    const store = open({ url, commandTimeout: 100 });
    await once(store, "ready");
    for (let round = 0; round < 6; round += 1) {
      expect((await failure(store.get("a"))).code).toBe("ETIMEDOUT");
    }
    expect(connections).toBe(1);
  });

  test("a server that drops each connection is not asked without a pause", async () => {
    let connections = 0;
    const url = await fake((socket) => {
      connections += 1;
      socket.on("data", () => {
        socket.write("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n");
        setImmediate(() => socket.destroy());
      });
    });
    open({ url });
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(connections).toBeGreaterThan(1);
    expect(connections).toBeLessThan(20);
  });

  test("what is no Redis is an error in time", async () => {
    const url = await fake((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const store = open({ url, commandTimeout: 300 });
    expect(await failure(store.get("a"))).toBeInstanceOf(RedisStoreError);
  });

  test("a server that accepts and says nothing is ETIMEDOUT", async () => {
    const url = await fake(() => {});
    const store = open({ url, commandTimeout: 300, connectTimeout: 100 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ETIMEDOUT");
    expect(error.message).toContain("connectTimeout");
  });
});

describe("the server refuses", () => {
  test("a missing and a wrong password, without repeating it", async () => {
    const server = await start({ args: ["--requirepass", "right"] });
    const none = open({ url: server.url, commandTimeout: 200 });
    expect((await failure(none.get("a"))).code).toBe("NOAUTH");
    const wrong = open({
      url: `redis://:wrongsecret@127.0.0.1:${server.port}`,
      commandTimeout: 200,
    });
    const error = await failure(wrong.get("a"));
    expect(error.code).toBe("WRONGPASS");
    expect(error.message).not.toContain("wrongsecret");
    const right = open({ url: `redis://:right@127.0.0.1:${server.port}` });
    expect(await right.get("a")).toBeNull();
  });

  test("an ACL user, a database and a set-up it does not have", async () => {
    const server = await start();
    const witness = await watch(server);
    await witness.sendCommand(["ACL", "SETUSER", "ada", "on", ">pw", "~sess:*", "+get", "+pttl"]);
    const ada = open({ url: `redis://ada:pw@127.0.0.1:${server.port}`, commandTimeout: 1000 });
    expect(await ada.get("a")).toBeNull();
    const denied = await failure(ada.set("a-sid", {}));
    expect(denied.code).toBe("NOPERM");
    expect(denied.message).not.toContain("a-sid");
    const db5 = open({ url: `${server.url}/5` });
    await db5.set("a", {});
    expect(await witness.dbSize()).toBe(0);
    await witness.sendCommand(["ACL", "SETUSER", "bob", "on", ">pw", "~sess:*", "+get", "+pttl"]);
    const bob = open({ url: `redis://bob:pw@127.0.0.1:${server.port}/1`, commandTimeout: 200 });
    expect((await failure(bob.get("a"))).code).toBe("NOPERM");
    const db99 = open({ url: `${server.url}/99`, commandTimeout: 200 });
    expect((await failure(db99.get("a"))).message).toContain("DB index is out of range");
  });

  test("a write at maxmemory is OOM, and reads go on", async () => {
    const server = await start();
    const store = open({ url: server.url });
    await store.set("a", { n: 1 });
    const witness = await watch(server);
    await witness.configSet("maxmemory", "1");
    const error = await failure(store.set("b", { n: 2 }));
    expect(error.code).toBe("OOM");
    expect(await store.get("a")).toEqual({ n: 1 });
  });

  test("a command it does not know is named without its key", async () => {
    const server = await start({ args: ["--rename-command", "GET", ""] });
    const store = open({ url: server.url });
    const error = await failure(store.get("a-sid"));
    expect(error.message).toContain("unknown command");
    expect(error.message + error.cause.message).not.toContain("a-sid");
  });
});

describe("close", () => {
  test("rejects what is pending, is done once, and the store says closed", async () => {
    const port = await freePort();
    const store = open({ url: `redis://127.0.0.1:${port}` });
    const ended = once(store, "end");
    const pending = [store.get("a"), store.set("a", {}), store.all()].map(failure);
    const closes = [store.close(), store.close()];
    for (const error of await Promise.all(pending)) {
      expect(error.code).toBe("ECLOSED");
      expect(error).toBeInstanceOf(RedisStoreError);
    }
    expect(await Promise.all(closes)).toEqual([null, null]);
    await ended;
    expect(store.status).toBe("closed");
    expect(await store.close()).toBeNull();
    for (const call of [store.get("a"), store.set("a", {}), store.all(), store.length()]) {
      expect((await failure(call)).code).toBe("ECLOSED");
    }
    const [error] = await new Promise((resolve) => store.get("a", (...args) => resolve(args)));
    expect(error.code).toBe("ECLOSED");
  });

  test("closes the connection", async () => {
    const server = await start();
    const witness = await watch(server);
    const before = await countClients(witness);
    const stores = Array.from({ length: 20 }, () => open({ url: server.url }));
    await Promise.all(stores.map((store) => store.get("a")));
    expect(await countClients(witness)).toBe(before + 20);
    await Promise.all(stores.map((store) => store.close()));
    while ((await countClients(witness)) > before) await new Promise(setImmediate);
  });
});
