"use strict";

// The connection breaks, stalls or sends garbage: a call gets its own reply in time, or an error.

const { once } = require("node:events");
const net = require("node:net");
const { RedisStoreError } = require("..");
const { waitUntil } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const {
  failures,
  fake,
  open,
  start,
  startBehindProxy,
  stopwatch,
  untilWorks,
} = require("./support/faults.js");
const { measured } = require("./support/measured.js");

const NOISE_MS = 1000;

describe("the connection is cut", () => {
  test("each call whose reply is cut is sent again, and gets its own answer", async () => {
    const { proxy } = await startBehindProxy();
    const store = open({ url: proxy.url, commandTimeout: 10_000 });
    const CUTS = 20;
    const sids = Array.from({ length: 50 }, (_, n) => `s${n}`);
    const sessionOf = (sid, round) => ({ sid, round, text: sid.repeat(100) });
    const bytesWritten = "+OK\r\n".length * sids.length;
    const bytesRead = JSON.stringify(sessionOf("s10", 10)).length * sids.length;
    await store.get("none");
    let longest = 0;
    /** Makes calls together, and cuts the connection after this share of their replies. */
    async function cutAfter(bytes, share, calls) {
      proxy.cut(1 + Math.floor(bytes * share));
      const ms = stopwatch();
      const answers = await Promise.all(calls());
      longest = Math.max(longest, ms());
      return answers;
    }
    for (let round = 0; round < CUTS; round += 1) {
      const sessions = sids.map((sid) => sessionOf(sid, round));
      await cutAfter(bytesWritten, round / CUTS, () =>
        sids.map((sid, n) => store.set(sid, sessions[n])),
      );
      const read = await cutAfter(bytesRead, round / CUTS, () => sids.map((sid) => store.get(sid)));
      expect(read).toEqual(sessions);
    }
    expect(proxy.connections).toBe(2 * CUTS + 1);
    const calls = 2 * CUTS * sids.length;
    measured(
      "connection cut in the middle of a reply",
      `${2 * CUTS} cuts at different bytes: ${calls} of ${calls} calls with their own answer; ` +
        `the longest took ${longest} ms`,
    );
  });

  test("a call whose reply is cut twice rejects with ECONNRESET", async () => {
    let gets = 0;
    const url = await fake((socket) =>
      socket.on("data", (data) => {
        const text = data.toString();
        if (text.includes("HELLO")) socket.write("-ERR unknown command 'HELLO'\r\n".repeat(3));
        if (text.includes("SETINFO") && !text.includes("HELLO")) socket.write("+OK\r\n+OK\r\n");
        if (text.includes("PING")) socket.write("+PONG\r\n");
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

  test("calls that are sent again keep their order", async () => {
    const server = await start();
    // Cuts the first connection after its first bytes, and forwards the second.
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
      // A separate batch for each call.
      await new Promise(setImmediate);
    }
    await Promise.all(sets);
    expect(connections).toBe(2);
    expect(await store.get("a")).toEqual({ n: 50 });
  });

  test("calls wait while a connection is refused, and go on when it can be made again", async () => {
    const { proxy } = await startBehindProxy();
    const store = open({ url: proxy.url, commandTimeout: 10_000 });
    await store.set("a", { n: 1 });
    const reconnecting = once(store, "reconnecting");
    await proxy.refuse();
    await reconnecting;
    const call = store.get("a");
    const { code } = await failure(open({ url: proxy.url, commandTimeout: 200 }).get("a"));
    expect(code).toBe("ECONNREFUSED");
    await proxy.heal();
    expect(await call).toEqual({ n: 1 });
  });
});

describe("the connection is silent", () => {
  test("a reply that never comes is ETIMEDOUT, and the dead connection is replaced", async () => {
    const commandTimeout = 300;
    const { proxy } = await startBehindProxy();
    const store = open({ url: proxy.url, commandTimeout });
    await store.set("a", { n: 1 });
    proxy.swallow();
    const ms = stopwatch();
    const calls = [store.get("a"), store.set("a", { n: 2 }), store.length()];
    // The open connection stays silent for good; a new connection works.
    await proxy.heal();
    const { errors, longest } = await failures(calls);
    for (const { code } of errors) expect(code).toBe("ETIMEDOUT");
    await untilWorks(() => store.get("a"));
    const recovered = ms();
    expect(longest).toBeLessThan(commandTimeout + NOISE_MS);
    expect(recovered).toBeLessThan(2 * commandTimeout + NOISE_MS);
    expect(proxy.connections).toBe(2);
    measured(
      "a reply swallowed for ever",
      `commandTimeout ${commandTimeout} ms: the longest call took ${longest} ms; works again ` +
        `after ${recovered} ms, on a new connection`,
    );
  });

  test("a network that swallows everything for a while is used again when it is healed", async () => {
    const { proxy } = await startBehindProxy();
    const store = open({ url: proxy.url, commandTimeout: 200, connectTimeout: 200 });
    await store.set("a", { n: 1 });
    proxy.swallow();
    // Waits until an attempt to connect has failed.
    let longest = 0;
    while (proxy.connections < 3) {
      const failed = await failures([store.get("a")]);
      expect(failed.errors[0].code).toBe("ETIMEDOUT");
      longest = Math.max(longest, failed.longest);
    }
    await proxy.heal();
    const recovered = await untilWorks(() => store.get("a"));
    expect(longest).toBeLessThan(200 + NOISE_MS);
    measured(
      "network that swallows everything",
      `commandTimeout and connectTimeout 200 ms: the longest call took ${longest} ms; works ` +
        `${recovered} ms after it is healed`,
    );
  });

  test("a server that is merely slow keeps its connection", async () => {
    const { proxy } = await startBehindProxy();
    const store = open({ url: proxy.url, commandTimeout: 200 });
    await store.set("a", { n: 1 });
    proxy.delay(300);
    for (let round = 0; round < 6; round += 1) {
      expect((await failure(store.get("a"))).code).toBe("ETIMEDOUT");
    }
    await proxy.heal();
    const recovered = await untilWorks(() => store.get("a"));
    expect(proxy.connections).toBe(1);
    measured(
      "replies later than commandTimeout",
      `commandTimeout 200 ms, replies after 300 ms: 1 connection; works ${recovered} ms after ` +
        "they are in time again",
    );
  });

  test("a server that accepts and says nothing is ETIMEDOUT", async () => {
    const url = await fake(() => {});
    const store = open({ url, commandTimeout: 300, connectTimeout: 100 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ETIMEDOUT");
    expect(error.message).toContain("connectTimeout");
  });
});

describe("the other end is no regular Redis", () => {
  test("a server that closes the connection on HELLO is spoken to in RESP2", async () => {
    const server = await start();
    const url = await fake((socket) => {
      socket.once("data", (data) => {
        if (data.toString().includes("HELLO")) return socket.destroy();
        const upstream = net.connect(server.port, "127.0.0.1");
        upstream.on("error", () => {}).pipe(socket);
        upstream.write(data);
        socket.pipe(upstream);
        return socket.on("close", () => upstream.destroy());
      });
    });
    const ms = stopwatch();
    const store = open({ url });
    expect(await store.set("a", { n: 1 })).toBeNull();
    measured("a server that closes the connection on HELLO", `works ${ms()} ms after the start`);
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(await store.all()).toEqual([{ n: 1, id: "a" }]);
  });

  test("a server that drops each connection is retried only after pauses", async () => {
    let connections = 0;
    const url = await fake((socket) => {
      connections += 1;
      socket.on("data", () => {
        socket.write("%1\r\n+proto\r\n:3\r\n+OK\r\n+OK\r\n");
        setImmediate(() => socket.destroy());
      });
    });
    const ms = stopwatch();
    open({ url });
    await waitUntil("it has tried again several times", () => connections >= 6);
    // A busy machine makes the pauses longer, never shorter.
    expect(ms()).toBeGreaterThan(connections * 20);
  });

  test("a server with another protocol rejects calls in time", async () => {
    const url = await fake((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const store = open({ url, commandTimeout: 300 });
    expect(await failure(store.get("a"))).toBeInstanceOf(RedisStoreError);
  });
});
