"use strict";

// Functions that return the username and password, for tokens that rotate.

const { AsyncLocalStorage } = require("node:async_hooks");
const { once } = require("node:events");
const { send, waitUntil } = require("../scripts/redis-server.js");
const { startRedisCluster, startRedisSentinel } = require("../scripts/redis-topologies.js");
const { failure } = require("./support/calls.js");
const { open, start, untilWorks, watch } = require("./support/faults.js");
const { run } = require("./support/run.js");

const stopping = [];
afterEach(async () => {
  for (const stop of stopping.splice(0)) await stop();
});

const ALL = ["~*", "&*", "+@all"];

/** Changes a user's password and drops its connections, as a server does when a token expires. */
async function rotate(servers, user, password) {
  for (const { port } of servers) {
    await send(port, "ACL", "SETUSER", user, "on", "resetpass", `>${password}`, ...ALL);
    await send(port, "CLIENT", "KILL", "USER", user);
  }
}

async function startWithUser(user, password) {
  const server = await start();
  await rotate([server], user, password);
  return server;
}

/** Resolves to the users of a server's connections, without the connection that lists them. */
async function usersOf({ port }) {
  const list = await send(port, "CLIENT", "LIST");
  const lines = list.split("\n").filter((line) => line.includes("id=") && !/cmd=client/.test(line));
  return lines.map((line) => /user=(\S+)/.exec(line)[1]);
}

describe("by url", () => {
  test.each([
    ["at once", (value) => () => value()],
    ["by a promise", (value) => async () => value()],
  ])("a password function (%s) is called before each login", async (_how, made) => {
    let password = "first";
    const calls = [];
    const server = await startWithUser("ada", password);
    const give = made(() => password);
    const store = open({
      url: `redis://ada@127.0.0.1:${server.port}`,
      password(...args) {
        calls.push([this, ...args]);
        return give();
      },
    });
    await store.set("a", { n: 1 });
    expect(calls).toEqual([[undefined]]);
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(calls).toHaveLength(1);
    password = "second";
    await rotate([server], "ada", password);
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(calls).toEqual([[undefined], [undefined]]);
  });

  test("a username function is called likewise, and both take precedence over the url", async () => {
    let user = "ada";
    const server = await startWithUser("ada", "one");
    await rotate([server], "bob", "two");
    const store = open({
      url: `redis://nobody:nothing@127.0.0.1:${server.port}`,
      username: async () => user,
      password: async () => (user === "ada" ? "one" : "two"),
    });
    await store.set("a", {});
    expect(await usersOf(server)).toEqual(["ada"]);
    user = "bob";
    await send(server.port, "CLIENT", "KILL", "USER", "ada");
    await store.set("a", {});
    expect(await usersOf(server)).toEqual(["bob"]);
  });

  test.each([[undefined], [null], [""]])("%p counts as no password", async (nothing) => {
    const server = await start();
    const store = open({ url: server.url, username: () => nothing, password: async () => nothing });
    expect(await store.set("a", {})).toBeNull();
  });

  test("the function is called again after a wrong token", async () => {
    const tokens = ["stale", "stale", "fresh"];
    const server = await startWithUser("default", "fresh");
    const store = open({ url: server.url, password: () => tokens.shift() });
    expect(await store.set("a", {})).toBeNull();
    expect(tokens).toEqual([]);
  });

  test("no message contains the password", async () => {
    const server = await startWithUser("default", "sesame");
    const store = open({ url: server.url, password: () => "secret", commandTimeout: 1000 });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("WRONGPASS");
    expect(`${error.message} ${error.cause.message}`).not.toContain("secret");
  });
});

test("a function is called in the async context that the store was made in", async () => {
  const context = new AsyncLocalStorage();
  const server = await startWithUser("default", "sesame");
  const seen = [];
  const store = context.run("the store's", () =>
    open({
      url: server.url,
      async password() {
        seen.push(context.getStore());
        await null;
        seen.push(context.getStore());
        return "sesame";
      },
    }),
  );
  await context.run("a call's", () => store.set("a", {}));
  const clients = await watch(server, { password: "sesame" });
  await context.run("another call's", async () => {
    await clients.sendCommand(["CLIENT", "KILL", "TYPE", "normal"]);
    await untilWorks(() => store.set("a", {}));
  });
  expect(seen).toEqual(Array(4).fill("the store's"));
});

describe("a function that returns no usable credential", () => {
  const thrower = (thrown) => () => {
    throw thrown;
  };
  test.each([
    ["throws", thrower(new Error("no token today")), "failed: no token today"],
    ["rejects", async () => thrower(new Error("no token today"))(), "failed: no token today"],
    ["throws a text", thrower("secret"), "failed: it threw what is no Error"],
    ["throws nothing", thrower(undefined), "failed: it threw what is no Error"],
    [
      "throws a url with a login",
      thrower(new Error("GET https://ada:secret@vault/ 503")),
      "failed: GET https://…@vault/ 503",
    ],
    ["gives a number", () => 1234, "gave a number, and must give a string"],
    ["gives an object", () => ({ password: "secret" }), "gave an object, and must give a string"],
    ["gives a Buffer", async () => Buffer.from("secret"), "gave an object, and must give a string"],
  ])(
    "that %s is the reason in the error of calls, and is called again",
    async (_what, give, said) => {
      const server = await startWithUser("default", "sesame");
      let fails = true;
      const options = { url: server.url, password: () => (fails ? give() : "sesame") };
      const store = open({ ...options, commandTimeout: 1000 });
      const error = await failure(store.get("a"));
      expect(error.name).toBe("RedisStoreError");
      expect(error.code).toBe("ECREDENTIALS");
      expect(error.message).toContain(`127.0.0.1:${server.port}`);
      expect(error.message).toContain(`the function given as password ${said}`);
      expect(error.cause.message).toContain(said);
      expect(error.message).not.toMatch(/secret|1234/);
      const atOnce = open({ ...options, onUnavailable: "error", connectTimeout: 2000 });
      await waitUntil("its first attempt has failed", async () =>
        (await failure(atOnce.get("a")))?.message.includes(said),
      );
      fails = false;
      await untilWorks(() => store.set("a", {}));
      await untilWorks(() => atOnce.set("a", {}));
    },
  );

  test("that never resolves is named after connectTimeout, and called again", async () => {
    const server = await startWithUser("ada", "sesame");
    let answers = false;
    let calls = 0;
    const store = open({
      url: server.url,
      username: "ada",
      password() {
        calls += 1;
        return answers ? "sesame" : new Promise(() => {});
      },
      connectTimeout: 50,
      commandTimeout: 400,
    });
    const error = await failure(store.get("a"));
    expect(error.code).toBe("ETIMEDOUT");
    expect(error.message).toContain(
      "the function given as password gave no answer within 50 ms (connectTimeout)",
    );
    expect(calls).toBeGreaterThan(1);
    answers = true;
    await untilWorks(() => store.set("a", {}));
  });

  test("that resolves too late is ignored", async () => {
    const server = await startWithUser("default", "sesame");
    const resolves = [];
    const store = open({
      url: server.url,
      password: () => new Promise((resolve) => resolves.push(resolve)),
      connectTimeout: 50,
    });
    const stored = store.set("a", {});
    await waitUntil("the function is called a third time", () => resolves.length >= 3);
    resolves.shift()("wrong");
    const answering = setInterval(() => resolves.at(-1)("sesame"), 5);
    expect(await stored).toBeNull();
    clearInterval(answering);
  });

  test.each([["username"], ["password"]])(
    "%s throws a TypeError if it is neither string nor function",
    (option) => {
      for (const wrong of [5, {}, ["secret"], true]) {
        expect(() => open({ url: "redis://127.0.0.1:1", [option]: wrong })).toThrow(
          `the option ${option} must be a string, or a function that returns one`,
        );
        const sentinel = { name: "m", nodes: ["127.0.0.1:1"], [option]: wrong };
        expect(() => open({ sentinel })).toThrow(`the option sentinel.${option} must be a string`);
      }
    },
  );
});

describe("at the end", () => {
  test("close() while a function is pending ends calls and store", async () => {
    const server = await start();
    let ask;
    const asked = new Promise((resolve) => {
      ask = resolve;
    });
    let answer;
    const store = open({
      url: server.url,
      password() {
        ask();
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
    });
    const call = failure(store.get("a"));
    await asked;
    const ended = once(store, "end");
    await store.close();
    await ended;
    expect((await call).code).toBe("ECLOSED");
    answer("late");
    await new Promise(setImmediate);
    expect(store.status).toBe("closed");
  });

  test("a pending function keeps neither the process nor an unreferenced store alive", async () => {
    const server = await startWithUser("default", "sesame");
    const result = await run(
      `import { setFlagsFromString } from "node:v8";
       import { runInNewContext } from "node:vm";
       import { RedisStore } from "connect-redis-rs";
       const openGc = () => {
         setFlagsFromString("--expose-gc");
         return runInNewContext("gc");
       };
       const gc = globalThis.Bun ? () => Bun.gc(true) : openGc();
       const { URL: url } = process.env;
       const give = async () => "sesame";
       const collected = new Promise((resolve) => {
         globalThis.registry = new FinalizationRegistry(resolve);
       });
       await (async () => {
         const store = new RedisStore({ url, password: give });
         await store.set("a", {});
         globalThis.registry.register(store, "the store is gone");
       })();
       const collecting = setInterval(gc, 20);
       console.log(await collected);
       clearInterval(collecting);
       new RedisStore({ url, password: () => new Promise(() => {}) });`,
      { URL: server.url },
    );
    expect(result).toMatchObject({ code: 0, stdout: "the store is gone\n", stderr: "" });
  });

  test("a worker that ends while a function is pending leaves nothing behind", async () => {
    const server = await startWithUser("default", "sesame");
    const result = await run(
      `import { Worker } from "node:worker_threads";
       const code = \`
         import { parentPort, workerData as url } from "node:worker_threads";
         import { RedisStore } from "connect-redis-rs";
         const password = () => {
           parentPort.postMessage("asked");
           return new Promise(() => {});
         };
         (async () => {
           const store = new RedisStore({ url, password: async () => "sesame" });
           await store.set("a", {});
           new RedisStore({ url, password });
           setInterval(() => {}, 1000);
         })();\`;
       const worker = new Worker(code, { eval: true, workerData: process.env.URL });
       worker.once("message", async (message) => {
         console.log(message);
         await worker.terminate();
         console.log("ended");
       });`,
      { URL: server.url },
    );
    expect(result).toMatchObject({ code: 0, stdout: "asked\nended\n", stderr: "" });
  });
});

test("each node of a cluster gets a login with the current credentials", async () => {
  let password = "first";
  let calls = 0;
  const cluster = await startRedisCluster();
  stopping.push(cluster.stop);
  await rotate(cluster.nodes, "ada", password);
  const store = open({
    cluster: cluster.urls,
    username: "ada",
    async password() {
      calls += 1;
      return password;
    },
  });
  const sids = Array.from({ length: 50 }, (_, n) => `s${n}`);
  const all = () => Promise.all(sids.map((sid) => store.set(sid, { sid })));
  await all();
  expect(calls).toBeGreaterThanOrEqual(cluster.nodes.length);
  for (const round of ["second", "third"]) {
    const before = calls;
    password = round;
    await rotate(cluster.nodes, "ada", password);
    await untilWorks(all);
    expect(calls - before).toBeGreaterThanOrEqual(cluster.nodes.length);
  }
  expect(await store.length()).toBe(sids.length);
  for (const node of cluster.nodes) expect(await usersOf(node)).toContain("ada");
}, 60_000);

describe("sentinels and their master", () => {
  async function startAll() {
    const environment = await startRedisSentinel({ replicas: 0, count: 1 });
    stopping.push(environment.stop);
    return environment;
  }

  test("each get a login with the current credentials", async () => {
    const environment = await startAll();
    const { name, master, sentinels, sentinelServers } = environment;
    const tokens = { master: "m1", sentinel: "s1" };
    await rotate([master], "ada", tokens.master);
    await rotate(sentinelServers, "sam", tokens.sentinel);
    const store = open({
      sentinel: { name, nodes: sentinels, username: () => "sam", password: () => tokens.sentinel },
      username: async () => "ada",
      password: async () => tokens.master,
    });
    await store.set("a", { n: 1 });
    Object.assign(tokens, { master: "m2", sentinel: "s2" });
    await rotate(sentinelServers, "sam", tokens.sentinel);
    await rotate([master], "ada", tokens.master);
    expect(await store.get("a")).toEqual({ n: 1 });
    expect(await usersOf(master)).toContain("ada");
  }, 60_000);

  test("have errors that say which function fails, or does not resolve", async () => {
    const { name, sentinels } = await startAll();
    const failing = open({
      sentinel: { name, nodes: sentinels, password: () => Promise.reject(new Error("no vault")) },
      commandTimeout: 300,
    });
    const error = await failure(failing.get("a"));
    expect(error.code).toBe("ECREDENTIALS");
    expect(error.message).toContain("the function given as sentinel.password failed: no vault");
    const silent = open({
      sentinel: { name, nodes: sentinels },
      password: () => new Promise(() => {}),
      connectTimeout: 50,
      commandTimeout: 400,
    });
    expect((await failure(silent.get("a"))).message).toContain(
      "the function given as password gave no answer within 50 ms",
    );
  }, 60_000);

  test("share a password, also if a function returns it", async () => {
    const environment = await startRedisSentinel({
      replicas: 0,
      count: 1,
      args: ["--requirepass", "same"],
      config: "sentinel auth-pass mymaster same",
      sentinelArgs: ["--requirepass", "same"],
    });
    stopping.push(environment.stop);
    const { name, sentinels: nodes } = environment;
    const store = open({ sentinel: { name, nodes, password: async () => "same" } });
    expect(await store.set("a", {})).toBeNull();
  }, 60_000);
});
