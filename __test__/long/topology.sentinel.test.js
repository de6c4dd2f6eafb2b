"use strict";

// A master behind sentinels: after a failover, calls go to the new master.

const { once } = require("node:events");
const { freePort, send, waitUntil } = require("../../scripts/redis-server.js");
const { startRedisSentinel } = require("../../scripts/redis-topologies.js");
const { failure } = require("../support/calls.js");
const {
  failures,
  fake,
  open,
  start,
  stopwatch,
  untilWorks,
  watch,
} = require("../support/faults.js");
const { startLoad } = require("../support/load.js");
const { measured } = require("../support/measured.js");
const { run } = require("../support/run.js");
const { countClients } = require("../support/inspector.js");

/** A call may take this much longer than commandTimeout, on a busy machine. */
const NOISE_MS = 1500;

const stopping = [];
afterEach(async () => {
  for (const stop of stopping.splice(0)) await stop();
});

async function startAll(options) {
  const environment = await startRedisSentinel({ replicas: 2, count: 3, ...options });
  stopping.push(environment.stop);
  return environment;
}

const to = ({ name, sentinels }, more) => ({ sentinel: { name, nodes: sentinels, ...more } });

/** Waits until the sentinels name another master than `old`; resolves to its server. */
async function newMaster({ name, sentinels, replicas }, old) {
  let found;
  await waitUntil("the sentinels name another master", async () => {
    const [{ port }] = sentinels;
    const said = await send(port, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name);
    found = replicas.find((replica) => said.includes(`${replica.port}`));
    return found !== undefined && found !== old;
  });
  return found;
}

/** Resolves to the reply of a server whose role changes; "" if a sentinel closes the connection. */
const replyOf = (server, ...words) => send(server.port, ...words).catch(() => "");

const isReplicated = ({ master, replicas }) =>
  waitUntil("all is replicated", async () => {
    const said = await send(master.port, "INFO", "replication");
    const offset = /master_repl_offset:(\d+)/.exec(said)[1];
    return said.split(`state=online,offset=${offset},`).length === 1 + replicas.length;
  });

test("when the master is killed calls wait for the one that takes its place, and what was replicated is there", async () => {
  const environment = await startAll();
  const store = open({ ...to(environment), commandTimeout: 25_000 });
  const sids = Array.from({ length: 200 }, (_, n) => `s${n}`);
  await Promise.all(sids.map((sid) => store.set(sid, { sid })));
  await isReplicated(environment);
  const load = startLoad(store);
  await load.more(500);
  await environment.master.kill();
  const ms = stopwatch();
  await store.get("s0");
  const works = ms();
  const master = await newMaster(environment, environment.master);
  await load.more(500);
  const { calls, errors, wrong, longest } = await load.stop();
  expect(errors.map(({ message }) => message)).toEqual([]);
  for (const sid of sids) expect(await store.get(sid)).toEqual({ sid });
  await store.set("new", { n: 1 });
  expect(await send(master.port, "EXISTS", "sess:new")).toBe(":1\r\n");
  measured(
    "the master is killed (down-after-milliseconds 1 s)",
    `works ${works} ms after; ${calls} calls, none rejected (the longest ${longest} ms), ` +
      `${wrong.length} reads without the last write`,
  );
}, 60_000);

test("SENTINEL FAILOVER under load loses no call, and afterwards nothing is written to the old master", async () => {
  const environment = await startAll();
  const store = open({ ...to(environment), commandTimeout: 25_000 });
  const load = startLoad(store);
  await load.more(500);
  const said = await send(environment.sentinels[1].port, "SENTINEL", "FAILOVER", environment.name);
  expect(said).toBe("+OK\r\n");
  const master = await newMaster(environment, environment.master);
  await untilWorks(() => store.set("new", { n: 1 }));
  await waitUntil("the store is at the new master", async () => {
    await store.set("new", { n: 1 });
    return (await replyOf(master, "EXISTS", "sess:new")) === ":1\r\n";
  });
  await load.more(500);
  // The sentinels wait for eight seconds before they reconfigure the old master.
  const follows = async () =>
    (await replyOf(environment.master, "INFO", "replication")).includes("master_link_status:up");
  await waitUntil("the old master follows the new one", follows, 40_000);
  const inspector = await watch(environment.master);
  await inspector.configResetStat();
  await load.more(500);
  const { calls, errors, wrong, longest } = await load.stop();
  expect(errors.map(({ message }) => message)).toEqual([]);
  // A replica rejects the writes of a store, but not those of replication.
  expect(await inspector.info("errorstats")).not.toContain("READONLY");
  measured(
    "SENTINEL FAILOVER under load",
    `${calls} calls, none rejected; the longest took ${longest} ms; ${wrong.length} reads without ` +
      "the last write",
  );
}, 120_000);

test("when the master hangs calls end within commandTimeout, and go on with the one that takes its place", async () => {
  const commandTimeout = 1000;
  const environment = await startAll();
  const store = open({ ...to(environment), commandTimeout });
  await store.set("a", { n: 1 });
  await isReplicated(environment);
  process.kill(environment.master.pid, "SIGSTOP");
  const ms = stopwatch();
  let longest = 0;
  for (;;) {
    const failed = await failures([store.get("a"), store.set("b", {})]);
    longest = Math.max(longest, failed.longest);
    if (failed.errors.every((error) => error === undefined)) break;
    expect(ms()).toBeLessThan(20_000);
  }
  const works = ms();
  expect(longest).toBeLessThan(commandTimeout + NOISE_MS);
  expect(await store.get("a")).toEqual({ n: 1 });
  // The old master acts as a master until a sentinel reconfigures it.
  process.kill(environment.master.pid, "SIGCONT");
  const master = await newMaster(environment, environment.master);
  for (let n = 0; n < 100; n += 1) {
    await store.set(`after-${n}`, {});
    expect(await send(master.port, "EXISTS", `sess:after-${n}`)).toBe(":1\r\n");
  }
  measured(
    "the master hangs (SIGSTOP)",
    `commandTimeout ${commandTimeout} ms: the longest call took ${longest} ms; works ${works} ms after`,
  );
}, 60_000);

test("a sentinel that is down, or hangs, does no harm wherever it stands in the list", async () => {
  const environment = await startAll({ replicas: 0 });
  const down = { host: "127.0.0.1", port: await freePort() };
  const hanging = await fake(() => {});
  let longest = 0;
  for (const nodes of [
    [down, ...environment.sentinels],
    [...environment.sentinels, down],
    [hanging, environment.sentinels[0]],
  ]) {
    const store = open({ sentinel: { name: environment.name, nodes } });
    const ms = stopwatch();
    expect(await store.set("a", {})).toBeNull();
    longest = Math.max(longest, ms());
    await store.close();
  }
  expect(longest).toBeLessThan(NOISE_MS);
  measured(
    "one sentinel is down or hangs",
    `the first call is answered after ${longest} ms at most`,
  );
}, 60_000);

test("the sentinel to which the store is subscribed may end: another announces the failover", async () => {
  const environment = await startAll();
  const store = open({ ...to(environment), commandTimeout: 25_000 });
  await store.set("a", {});
  await environment.stopSentinel(0);
  expect(await store.set("a", {})).toBeNull();
  const [, { port }] = environment.sentinels;
  await waitUntil("the others may fail over", async () =>
    (await send(port, "SENTINEL", "FAILOVER", environment.name)).startsWith("+OK"),
  );
  const rest = { ...environment, sentinels: environment.sentinels.slice(1) };
  const master = await newMaster(rest, environment.master);
  await waitUntil("the store is at the new master", async () => {
    await store.set("b", {});
    return (await replyOf(master, "EXISTS", "sess:b")) === ":1\r\n";
  });
}, 60_000);

test("while no sentinel is there the connection to the master goes on, without spinning", async () => {
  const environment = await startAll({ replicas: 0, count: 1 });
  const result = await run(
    `import { RedisStore } from "connect-redis-rs";
     const { NAME, PORT } = process.env;
     const store = new RedisStore({ sentinel: { name: NAME, nodes: ["127.0.0.1:" + PORT] } });
     await store.set("a", { n: 1 });
     console.log("up");
     process.stdin.once("data", async () => {
       console.log((await store.get("a")).n, await store.length());
       const from = process.cpuUsage();
       // The CPU time of three seconds: nothing may happen, so there is nothing to wait for.
       await new Promise((resolve) => setTimeout(resolve, 3000));
       const { user, system } = process.cpuUsage(from);
       console.log((user + system) / 1000);
       await store.close();
       process.exit();
     });`,
    { NAME: environment.name, PORT: `${environment.sentinels[0].port}` },
    async (stdout, child) => {
      if (stdout !== "up\n") return;
      await environment.stopSentinel(0);
      child.stdin.write("\n");
    },
  );
  expect(result.stderr).toBe("");
  const [, found, cpu] = result.stdout.split("\n");
  expect(found).toBe("1 1");
  expect(Number(cpu)).toBeLessThan(600);
  measured("all sentinels are down", `calls go on; ${Math.round(cpu)} ms of CPU in 3 s`);
}, 60_000);

test("the error names each sentinel if no sentinel answers", async () => {
  const ports = [await freePort(), await freePort()];
  const nodes = ports.map((port) => `127.0.0.1:${port}`);
  const store = open({ sentinel: { name: "mymaster", nodes }, commandTimeout: 300 });
  const { errors, longest } = await failures([store.get("a"), store.length()]);
  for (const error of errors) {
    expect(error.code).toBe("ECONNREFUSED");
    expect(error.message).toContain(`the sentinels ${nodes.join(", ")}`);
    expect(error.message).toMatch(/sentinel 127\.0\.0\.1:\d+: .*refused/);
  }
  measured("no sentinel answers", `commandTimeout 300 ms: the longest call took ${longest} ms`);
});

test("the error says that no sentinel knows the name, also if one of them is down", async () => {
  const environment = await startAll({ replicas: 0, count: 1 });
  for (const nodes of [
    environment.sentinels,
    [...environment.sentinels, `127.0.0.1:${await freePort()}`],
  ]) {
    const store = open({ sentinel: { name: "another", nodes }, commandTimeout: 300 });
    const error = await failure(store.get("a"));
    expect(error.message).toContain('it knows no master "another"');
    expect(error.code).toBe("ENOTFOUND");
    await store.close();
  }
}, 60_000);

test("a server that is no sentinel says so", async () => {
  const server = await start();
  const store = open({
    sentinel: { name: "mymaster", nodes: [`127.0.0.1:${server.port}`] },
    commandTimeout: 300,
  });
  expect((await failure(store.get("a"))).message).toMatch(/sentinel.*unknown command/i);
});

describe("passwords", () => {
  test("of the sentinels and of a user of the master, each its own", async () => {
    const environment = await startAll({
      replicas: 0,
      count: 1,
      args: "--user ada on >sesame ~* &* +@all --user default off".split(" "),
      config: "sentinel auth-user mymaster ada\nsentinel auth-pass mymaster sesame",
      sentinelArgs: ["--requirepass", "theirs"],
    });
    const store = open({
      ...to(environment, { password: "theirs" }),
      username: "ada",
      password: "sesame",
      commandTimeout: 2000,
    });
    expect(await store.set("a", {})).toBeNull();
    const wrong = open({
      ...to(environment, { password: "mistaken" }),
      username: "ada",
      password: "sesame",
      commandTimeout: 500,
    });
    const error = await failure(wrong.get("a"));
    expect(error.code).toBe("WRONGPASS");
    expect(error.message).toMatch(/sentinel 127/);
    expect(error.message).not.toMatch(/mistaken|sesame/);
    const wrongToMaster = open({
      ...to(environment, { password: "theirs" }),
      username: "ada",
      password: "mistaken",
      commandTimeout: 500,
    });
    expect((await failure(wrongToMaster.get("a"))).code).toBe("WRONGPASS");
  }, 60_000);

  test.each([
    ["the README names", "+sentinel|get-master-addr-by-name +subscribe +ping &+switch-master"],
    ["it cannot do without", "+sentinel|get-master-addr-by-name +subscribe &+switch-master"],
  ])(
    "the rights that %s let the store subscribe to a switch",
    async (_, rights) => {
      const environment = await startAll({
        replicas: 0,
        count: 1,
        config: `user sam on >sesame resetchannels ${rights}`,
      });
      const store = open({
        ...to(environment, { username: "sam", password: "sesame" }),
        username: "default",
        password: null,
        commandTimeout: 2000,
      });
      expect(await store.set("a", {})).toBeNull();
      // The store closes a connection at once if it cannot subscribe.
      const [{ port }] = environment.sentinels;
      await waitUntil("a connection has been listening for a while", async () =>
        /user=sam/.test(
          (await send(port, "CLIENT", "LIST"))
            .split("\n")
            .find((line) => / age=[1-9]/.test(line) && / sub=1 /.test(line)) ?? "",
        ),
      );
    },
    60_000,
  );

  test("given for the sentinels alone, they are the master's, too", async () => {
    const environment = await startAll({
      replicas: 0,
      count: 1,
      args: ["--requirepass", "same"],
      config: "sentinel auth-pass mymaster same",
      sentinelArgs: ["--requirepass", "same"],
    });
    const store = open({ ...to(environment, { password: "same" }), commandTimeout: 2000 });
    expect(await store.set("a", {})).toBeNull();
  }, 60_000);

  test("given for the sentinels alone, a master without any is used all the same", async () => {
    const environment = await startAll({
      replicas: 0,
      count: 1,
      sentinelArgs: ["--requirepass", "theirs"],
    });
    const store = open({ ...to(environment, { password: "theirs" }), commandTimeout: 2000 });
    expect(await store.set("a", {})).toBeNull();
  }, 60_000);
});

test("a sentinel that names a replica as the master is not believed", async () => {
  const environment = await startAll({ replicas: 1, count: 1 });
  const { port } = environment.replicas[0];
  const liar = await fake((socket) => {
    socket.on("data", (data) => {
      const said = data.toString();
      const isQuestion = /GET-MASTER-ADDR/i.test(said);
      const commands = said.match(/^\*\d+\r$/gm)?.length ?? 1;
      if (isQuestion) socket.write(`*2\r\n$9\r\n127.0.0.1\r\n$${`${port}`.length}\r\n${port}\r\n`);
      else if (/HELLO/.test(said))
        socket.write(`%1\r\n+proto\r\n:3\r\n${"+OK\r\n".repeat(commands - 1)}`);
      else socket.write("+OK\r\n".repeat(commands));
    });
  });
  const misled = open({ sentinel: { name: environment.name, nodes: [liar] }, commandTimeout: 500 });
  const error = await failure(misled.set("a", {}));
  expect(error.code).toBe("READONLY");
  expect(error.message).toContain(`127.0.0.1:${port} is a slave`);
  const nodes = [liar, ...environment.sentinels];
  const store = open({ sentinel: { name: environment.name, nodes } });
  expect(await store.set("a", {})).toBeNull();
}, 60_000);

test("close() leaves no connection, neither to the master nor to a sentinel", async () => {
  const environment = await startAll({ replicas: 0, count: 1 });
  const inspectors = [await watch(environment.master), await watch(environment.sentinelServers[0])];
  const before = await Promise.all(inspectors.map(countClients));
  const store = open(to(environment));
  await store.set("a", {});
  const ended = once(store, "end");
  await store.close();
  await ended;
  for (const [n, inspector] of inspectors.entries()) {
    await waitUntil(
      "no connection is left",
      async () => (await countClients(inspector)) <= before[n],
    );
  }
}, 60_000);
