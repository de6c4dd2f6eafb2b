"use strict";

// The server refuses connections or commands: the error says why, and the store works again without a
// restart once the reason is gone.

const { once } = require("node:events");
const net = require("node:net");
const { waitUntil } = require("../scripts/redis-server.js");
const { failure } = require("./support/calls.js");
const { open, start, untilWorks, watch } = require("./support/faults.js");
const { measured } = require("./support/measured.js");

const NOISE_MS = 2000;

describe("the password is wrong", () => {
  test("the errors for a missing and a wrong password differ, and do not show it", async () => {
    const server = await start({ args: ["--requirepass", "right"] });
    const none = open({ url: server.url, commandTimeout: 1000 });
    expect((await failure(none.get("a"))).code).toBe("NOAUTH");
    const wrong = open({
      url: `redis://:wrongsecret@127.0.0.1:${server.port}`,
      commandTimeout: 1000,
    });
    const error = await failure(wrong.get("a"));
    expect(error.code).toBe("WRONGPASS");
    expect(error.message).not.toContain("wrongsecret");
    const right = open({ url: `redis://:right@127.0.0.1:${server.port}` });
    expect(await right.get("a")).toBeNull();
  });

  test.each([
    ["CONFIG SET requirepass", "", ["CONFIG", "SET", "requirepass", "the-new"]],
    ["ACL SETUSER", "ada", ["ACL", "SETUSER", "ada", "resetpass", ">the-new"]],
  ])(
    "once it is corrected on the server with %s, the store works within about a second",
    async (how, user, correction) => {
      const server = await start({
        args: ["--requirepass", "the-old", "--user", "ada", "on", ">the-old", "~*", "+@all"],
      });
      const inspector = await watch(server, { password: "the-old" });
      const url = `redis://${user}:the-new@127.0.0.1:${server.port}`;
      const store = open({ url, commandTimeout: 800 });
      // Waits until the pauses between attempts to connect are at their longest.
      for (let round = 0; round < 3; round += 1) {
        const error = await failure(store.get("a"));
        expect(error.code).toBe("WRONGPASS");
        expect(error.message).not.toContain("the-new");
      }
      await inspector.sendCommand(correction);
      const recovered = await untilWorks(() => store.set("a", { n: 1 }));
      expect(await store.get("a")).toEqual({ n: 1 });
      expect(recovered).toBeLessThan(1000 + NOISE_MS);
      measured(
        "wrong password, then corrected on the server",
        `${how}: works ${recovered} ms after`,
      );
    },
  );
});

test("at maxclients the error says so, and the store works once there is room", async () => {
  const MOST = 3;
  const server = await start({ args: ["--maxclients", String(MOST)] });
  const others = [];
  try {
    await waitUntil("all places are taken", async () => {
      const other = net.connect(server.port, "127.0.0.1");
      other.on("error", () => {});
      other.write("PING\r\n");
      const [answer] = await Promise.race([once(other, "data"), once(other, "close")]);
      if (!String(answer).startsWith("+PONG")) return false;
      return others.push(other) === MOST;
    });
    const stores = Array.from({ length: 10 }, () =>
      open({ url: server.url, commandTimeout: 1000 }),
    );
    const errors = await Promise.all(stores.map((store) => failure(store.get("a"))));
    for (const { message } of errors) expect(message).toContain("max number of clients reached");
    // Frees one place.
    const [first, ...rest] = stores;
    await Promise.all(rest.map((store) => store.close()));
    others.pop().destroy();
    const recovered = await untilWorks(() => first.set("a", { n: 1 }));
    expect(await first.get("a")).toEqual({ n: 1 });
    expect(first.status).toBe("ready");
    expect(recovered).toBeLessThan(1000 + NOISE_MS);
    measured(
      "maxclients reached, then freed",
      `${errors.length} of ${errors.length} errors say so; works ${recovered} ms after a place is free`,
    );
  } finally {
    for (const other of others) other.destroy();
  }
});

test("at maxmemory set rejects with OOM, get, touch and destroy go on, and set once there is room", async () => {
  const server = await start();
  const store = open({ url: server.url });
  await store.set("a", { n: 1 });
  await store.set("b", { n: 2 });
  const inspector = await watch(server);
  await inspector.configSet("maxmemory", "1");
  const error = await failure(store.set("c", { n: 3 }));
  expect(error.code).toBe("OOM");
  expect(error.message).toContain("maxmemory");
  expect(await store.get("a")).toEqual({ n: 1 });
  expect(await store.touch("a", {})).toBeNull();
  expect(await store.destroy("b")).toBeNull();
  await inspector.configSet("maxmemory", "0");
  const recovered = await untilWorks(() => store.set("c", { n: 3 }));
  expect(await store.ids()).toEqual(expect.arrayContaining(["a", "c"]));
  measured(
    "maxmemory reached",
    `set: OOM; get, touch and destroy work; set works ${recovered} ms after it is raised`,
  );
});

test("on a replica set rejects with READONLY and get works, and set once it is promoted", async () => {
  const master = await start({ args: ["--repl-diskless-sync-delay", "0"] });
  const replica = await start({ args: ["--replicaof", "127.0.0.1", String(master.port)] });
  const inspector = await watch(master);
  await inspector.set("sess:a", JSON.stringify({ n: 1 }));
  const promoter = await watch(replica);
  await waitUntil("the replica has it", () => promoter.exists("sess:a"));
  const store = open({ url: replica.url });
  const calls = { set: store.set("b", {}), destroy: store.destroy("a"), clear: store.clear() };
  for (const [name, call] of Object.entries(calls)) {
    const error = await failure(call);
    expect(error.code).toBe("READONLY");
    expect(error.message).toContain(`${name}: Redis at 127.0.0.1:${replica.port}`);
    expect(error.message).toContain("replica");
  }
  expect(await store.get("a")).toEqual({ n: 1 });
  await promoter.sendCommand(["REPLICAOF", "NO", "ONE"]);
  const recovered = await untilWorks(() => store.set("a", { n: 2 }));
  expect(await store.get("a")).toEqual({ n: 2 });
  measured(
    "READONLY replica",
    `set, destroy and clear: READONLY; get works; set works ${recovered} ms after promotion`,
  );
});

test("the error names a missing right, a missing database and a missing configuration", async () => {
  const server = await start();
  const inspector = await watch(server);
  await inspector.sendCommand(["ACL", "SETUSER", "ada", "on", ">pw", "~sess:*", "+get", "+pttl"]);
  const ada = open({ url: `redis://ada:pw@127.0.0.1:${server.port}`, commandTimeout: 1000 });
  expect(await ada.get("a")).toBeNull();
  const denied = await failure(ada.set("a-sid", {}));
  expect(denied.code).toBe("NOPERM");
  expect(denied.message).not.toContain("a-sid");
  const db5 = open({ url: `${server.url}/5` });
  await db5.set("a", {});
  expect(await inspector.dbSize()).toBe(0);
  await inspector.sendCommand(["ACL", "SETUSER", "bob", "on", ">pw", "~sess:*", "+get", "+pttl"]);
  const bob = open({ url: `redis://bob:pw@127.0.0.1:${server.port}/1`, commandTimeout: 1000 });
  expect((await failure(bob.get("a"))).code).toBe("NOPERM");
  const db99 = open({ url: `${server.url}/99`, commandTimeout: 1000 });
  expect((await failure(db99.get("a"))).message).toContain("DB index is out of range");
});

test("the error for an unknown command does not show the key", async () => {
  const server = await start({ args: ["--rename-command", "GET", ""] });
  const store = open({ url: server.url });
  const error = await failure(store.get("a-sid"));
  expect(error.message).toContain("unknown command");
  expect(error.message + error.cause.message).not.toContain("a-sid");
});
