"use strict";

// `npx connect-redis-rs sessions …`, started as its user would.

const { spawn } = require("node:child_process");
const { once } = require("node:events");
const { existsSync, readFileSync } = require("node:fs");
const path = require("node:path");
const { RedisStore } = require("connect-redis-rs");
const { startRedisServer } = require("../scripts/redis-server.js");
const { start } = require("./support/run.js");
const { bin, version } = require("../package.json");

const SID = "planted-sid-0123456789";
const SECRET = "planted-secret";
const COMMAND = path.join(__dirname, "..", bin["connect-redis-rs"]);

let server;
let store;

beforeAll(async () => {
  server = await startRedisServer({ args: ["--requirepass", "sesame"] });
  store = new RedisStore({ url: server.url, password: "sesame", user: "user" });
});

afterAll(async () => {
  await store?.close();
  await server?.stop();
});

beforeEach(() => store.clear());

/** Runs the command. Whatever it prints, no session is in it. */
async function run(args, env = {}) {
  const words = args.split(" ").filter((word) => word !== "");
  const own = { REDISCLI_AUTH: "sesame", REDIS_URL: "", ...env };
  const ended = await start([COMMAND, ...words], own);
  for (const text of [ended.stdout, ended.stderr]) {
    expect(text).not.toContain(SID);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain("sesame");
  }
  return ended;
}

/** Runs it on this file's Redis with --json, and reads the lines. */
async function json(args) {
  const { code, stdout, stderr } = await run(`${args} --json -p ${server.port}`);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

function newSession(more) {
  const expires = new Date(Date.now() + 3_600_000);
  return { secret: SECRET, ...more, cookie: { originalMaxAge: 3_600_000, expires } };
}

async function fill(count, more = (_n) => ({})) {
  const all = Array.from({ length: count }, (_, n) => store.set(`${SID}${n}`, newSession(more(n))));
  await Promise.all(all);
}

test("count counts, all and those of a user", async () => {
  await fill(5, (n) => ({ user: n < 2 ? "Ada" : "Grace" }));
  expect(await json("sessions count")).toEqual([{ count: 5 }]);
  expect(await json("sessions count --user Ada")).toEqual([{ count: 2 }]);
  expect(await json("sessions count --prefix other:")).toEqual([{ count: 0 }]);
  expect((await run(`sessions count -p ${server.port}`)).stdout).toBe("5\n");
});

test("list has each session once, with its end, its size, and its members' names and types", async () => {
  await fill(1000, (n) => ({ n, list: [1], nothing: null }));
  const listed = await json("sessions list");
  expect(listed).toHaveLength(1000);
  expect(new Set(listed.map(({ handle }) => handle)).size).toBe(1000);
  const { handle, expires, size, members } = listed[0];
  expect(handle).toMatch(/^[0-9a-f]{24}$/);
  expect(Date.parse(expires) - Date.now()).toBeGreaterThan(3_000_000);
  expect(size).toBeGreaterThan(100);
  expect(members.map(({ name, type, value }) => [name, type, value])).toEqual([
    ["secret", "string", undefined],
    ["n", "number", undefined],
    ["list", "array", undefined],
    ["nothing", "null", undefined],
  ]);
});

test("list shows the values that it is told to, and ends at its limit", async () => {
  await fill(20, () => ({ user: "Ada", theme: "\u001b[31mred" }));
  const listed = await json("sessions list --limit 3 --show user,theme");
  expect(listed).toHaveLength(3);
  expect(listed[0].members.find(({ name }) => name === "user").value).toBe("Ada");
  const { stdout } = await run(`sessions list --limit 1 --show user,theme -p ${server.port}`);
  expect(stdout).toContain('user="Ada"');
  expect(stdout).not.toContain("\u001b");
});

test("list goes on with a record that is no session", async () => {
  await fill(1);
  const raw = new RedisStore({
    url: server.url,
    password: "sesame",
    serializer: { parse: String, stringify: () => `{"${SECRET}` },
  });
  await raw.set(`${SID}broken`, newSession());
  await raw.close();
  const listed = await json("sessions list");
  expect(listed.map(({ members }) => members === null).sort()).toEqual([false, true]);
});

test("show takes a handle of list, in another process, and hides values", async () => {
  await fill(30, (n) => ({ user: n === 7 ? "Ada" : "Grace" }));
  const listed = await json("sessions list --show user");
  const { handle } = listed.find(({ members }) => members.some(({ value }) => value === "Ada"));
  const [shown] = await json(`sessions show ${handle} --show user`);
  expect(shown.handle).toBe(handle);
  expect(shown.members).toContainEqual({ name: "user", type: "string", size: 5, value: "Ada" });
  const { stdout } = await run(`sessions show ${handle} -p ${server.port}`);
  expect(stdout).toContain(`handle   ${handle}\n`);
  expect(stdout).not.toContain("Ada");
});

test("destroy ends those whose handles it gets, and says which there are not", async () => {
  await fill(3);
  const handles = (await json("sessions list")).map(({ handle }) => handle);
  const gone = "0".repeat(24);
  const { code, stdout, stderr } = await run(
    `sessions destroy ${handles[0]} ${gone} ${handles[1]} --yes -p ${server.port}`,
  );
  expect(code).toBe(1);
  expect(stdout).toBe(`${handles[0]} destroyed\n${handles[1]} destroyed\n`);
  expect(stderr).toBe(`${gone}: no such session\n`);
  expect(await json("sessions list")).toHaveLength(1);
});

test("destroy ends those of a user, or all", async () => {
  await fill(6, (n) => ({ user: n < 2 ? "Ada" : "Grace" }));
  expect(await json("sessions destroy --user Ada --yes")).toEqual([{ destroyed: 2 }]);
  expect(await store.length()).toBe(4);
  expect(await json("sessions destroy --all --yes")).toEqual([{ destroyed: 4 }]);
  expect(await store.length()).toBe(0);
});

test("destroy looks at all handles before it ends a session, and takes one that comes twice once", async () => {
  await fill(2);
  const [handle] = (await json("sessions list")).map(({ handle }) => handle);
  const wrong = await run(`sessions destroy ${handle} nonsense --yes -p ${server.port}`);
  expect(wrong).toMatchObject({ code: 2, stdout: "" });
  expect(await store.length()).toBe(2);
  expect(await json(`sessions destroy ${handle} ${handle} --yes`)).toEqual([
    { handle, destroyed: 1 },
  ]);
});

/** Runs the command by a shell, in which `$COMMAND` stands for it and `$PORT` for the port of Redis. */
async function shell(script) {
  const child = spawn("bash", ["-c", script], {
    env: {
      ...process.env,
      REDISCLI_AUTH: "sesame",
      PORT: `${server.port}`,
      COMMAND: `${process.execPath} ${COMMAND}`,
    },
  });
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"]) {
    child[name].setEncoding("utf8").on("data", (text) => {
      output[name] += text;
    });
  }
  const [code] = await once(child, "close");
  return { code, ...output };
}

describe("a reader of the output that has enough", () => {
  test("ends a list, as one that is done", async () => {
    await fill(3000);
    const script = 'set -o pipefail; $COMMAND sessions list -p "$PORT" | head -1 | wc -l';
    const { code, stdout, stderr } = await shell(script);
    expect({ code, stdout: stdout.trim(), stderr }).toEqual({ code: 0, stdout: "1", stderr: "" });
  });

  test("ends no destroy: all sessions that were named are gone", async () => {
    await fill(20);
    const handles = (await json("sessions list")).map(({ handle }) => handle);
    const destroy = `$COMMAND sessions destroy ${handles.join(" ")} --yes -p "$PORT"`;
    const { code, stderr } = await shell(`set -o pipefail; ${destroy} | true`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(await store.length()).toBe(0);
  });

  test("of the errors leaves the exit code as it is", async () => {
    const { stdout } = await shell(
      '{ sleep 0.2; $COMMAND sessions frob; echo "code $?" >&3; } 3>&1 2> >(true)',
    );
    expect(stdout).toBe("code 2\n");
  });
});

const onLinux = process.platform === "linux" ? test : test.skip;

onLinux("what cannot be written is an error, and no missing session", async () => {
  await fill(3);
  for (const words of ["--help", 'sessions list -p "$PORT"']) {
    const { code, stderr } = await shell(`$COMMAND ${words} > /dev/full`);
    expect(code).toBe(3);
    expect(stderr).toMatch(/^connect-redis-rs: ENOSPC: no space left on device, write\n$/);
  }
});

/** `script` makes a terminal. */
const withTerminal = existsSync("/usr/bin/script") ? onLinux : test.skip;

withTerminal("who ends the input at the question has not agreed", async () => {
  await fill(2);
  const { stdout } = await shell(
    `(sleep 1; printf '\\004'; sleep 1) | script -qec '$COMMAND sessions destroy --all -p "$PORT"; echo "code $?"' /dev/null`,
  );
  expect(stdout).toContain("nothing was destroyed");
  expect(stdout).toContain("code 1");
  expect(await store.length()).toBe(2);
});

test("destroy does nothing if nobody has agreed", async () => {
  await fill(2);
  const { code, stderr } = await run(`sessions destroy --all -p ${server.port}`);
  expect(code).toBe(2);
  expect(stderr).toContain("add --yes");
  expect(await store.length()).toBe(2);
});

describe("of an app with encryption and compression", () => {
  const OLDER = "o".repeat(48);
  const NEWEST = Buffer.alloc(40, 7);
  const KEYS = `20260801:base64:${NEWEST.toString("base64")}, 20260201:${OLDER}`;
  const ENV = { CONNECT_REDIS_RS_ENCRYPTION_KEYS: KEYS };

  /** Stores a session sealed with each of the keys. */
  async function seal(count, more = {}) {
    for (const [n, { id, secret }] of [
      { id: 20260201, secret: OLDER },
      { id: 20260801, secret: NEWEST },
    ].entries()) {
      const sealing = new RedisStore({
        url: server.url,
        password: "sesame",
        user: "user",
        encryption: { keys: [{ id, secret }] },
        compression: { threshold: 100 },
        ...more,
      });
      for (let m = 0; m < count; m += 1) {
        const words = "to be or not to be, ".repeat(20);
        await sealing.set(`${SID}-${n}-${m}`, newSession({ user: "Ada", words }));
      }
      await sealing.close();
    }
  }

  async function runOnServer(args, env) {
    const ended = await run(`${args} -p ${server.port}`, env);
    for (const key of [OLDER, NEWEST.toString("base64")]) {
      expect(ended.stdout + ended.stderr).not.toContain(key);
    }
    return ended;
  }

  test("the keys come from the environment, and open each session", async () => {
    await seal(1);
    const { code, stdout, stderr } = await runOnServer("sessions list --json --show user", ENV);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const listed = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(listed).toHaveLength(2);
    for (const { handle, members, sealed } of listed) {
      expect(sealed).toBeUndefined();
      expect(members).toContainEqual({ name: "user", type: "string", size: 5, value: "Ada" });
      const shown = await runOnServer(`sessions show ${handle} --show user`, ENV);
      expect(shown.stdout).toContain("Ada");
    }
    expect((await runOnServer("sessions count --user Ada", ENV)).stdout).toBe("2\n");
  });

  test("without keys it says that sessions are sealed, and what to do", async () => {
    await seal(1);
    await store.set(`${SID}-plain`, newSession());
    const listed = await runOnServer("sessions list");
    expect(listed.code).toBe(0);
    expect(listed.stdout.match(/ {2}sealed$/gm)).toHaveLength(2);
    expect(listed.stderr).toBe(
      "2 sessions are sealed, and cannot be opened: put the app's keys into CONNECT_REDIS_RS_ENCRYPTION_KEYS\n",
    );
    const lines = (await runOnServer("sessions list --json")).stdout.trim().split("\n");
    const sealed = lines.map((line) => JSON.parse(line)).filter((one) => one.sealed);
    expect(sealed.map(({ members }) => members)).toEqual([null, null]);
    const shown = await runOnServer(`sessions show ${sealed[0].handle}`);
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain("its text is sealed");
    expect(shown.stderr).toContain("CONNECT_REDIS_RS_ENCRYPTION_KEYS");
    const users = await runOnServer("sessions list --user Ada");
    expect(users.code).toBe(3);
    expect(users.stderr).toContain("CONNECT_REDIS_RS_ENCRYPTION_KEYS");
    expect((await runOnServer("sessions count --user Ada", ENV)).stdout).toBe("2\n");
    // To end a session no key is needed.
    expect((await runOnServer(`sessions destroy ${sealed[0].handle} --yes`)).code).toBe(0);
    expect((await runOnServer("sessions count")).stdout).toBe("2\n");
  });

  test.each([
    ["secret", /must be ID:SECRET/],
    [`1:${OLDER},`, /number 2 is not/],
    ["1:short", /32 to 1024 bytes/],
    ["1:base64:!!", /number 1 is not in base64/],
    [`1:${OLDER},1:${OLDER}x`, /id 1 twice/],
    [`4294967296:${OLDER}`, /4294967295/],
  ])("keys that are none are wrong usage: %s", async (keys, why) => {
    const { code, stdout, stderr } = await runOnServer("sessions list", {
      CONNECT_REDIS_RS_ENCRYPTION_KEYS: keys,
    });
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(why);
  });

  test("with hashed ids a session has one handle, however it was found", async () => {
    await seal(1, { hashIds: true });
    const handlesOf = async (args) => {
      const { code, stdout, stderr } = await runOnServer(`sessions list --json ${args}`, ENV);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).handle)
        .sort();
    };
    const listed = await handlesOf("");
    expect(listed).toHaveLength(2);
    expect(await handlesOf("--hash-ids true")).toEqual(listed);
    expect(await handlesOf("--user Ada --hash-ids true")).toEqual(listed);
    const [handle] = listed;
    expect((await runOnServer(`sessions show ${handle}`, ENV)).stdout).toContain("user");
    expect((await runOnServer(`sessions destroy ${handle} --yes`)).code).toBe(0);
    expect(
      (await runOnServer("sessions destroy --user Ada --hash-ids true --yes", ENV)).stdout,
    ).toBe("1 destroyed\n");
  });

  test("destroy ends a session at a key from before hashIds, by its handle", async () => {
    await seal(1, { hashIds: true });
    await seal(1, { prefix: "sess:old" });
    const listed = (await runOnServer("sessions list --json --hash-ids true", ENV)).stdout;
    const handles = [...listed.matchAll(/"handle":"(\w+)"/g)].map(([, handle]) => handle);
    expect(handles).toHaveLength(4);
    const args = `sessions destroy ${handles.join(" ")} --yes --hash-ids true`;
    expect((await runOnServer(args, ENV)).code).toBe(0);
    expect((await runOnServer("sessions count", ENV)).stdout).toBe("0\n");
  });

  test.each([
    ["count --user Ada", { hashIds: true }],
    ["list --user Ada", { hashIds: true }],
    ["destroy --user Ada --yes", { hashIds: true }],
    ["count --user Ada --hash-ids true", {}],
  ])(
    "%s is refused with %j in the app, and takes nothing out of the user's list",
    async (args, app) => {
      await seal(1, app);
      const { code, stdout, stderr } = await runOnServer(`sessions ${args}`, ENV);
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toContain("--hash-ids");
      const right = app.hashIds ? "--hash-ids true" : "";
      expect((await runOnServer(`sessions count --user Ada ${right}`, ENV)).stdout).toBe("2\n");
    },
  );
});

test("it takes an address as every tool does", async () => {
  await fill(1);
  const { port, socket } = server;
  const ways = [
    `-u redis://127.0.0.1:${port}`,
    `--url 127.0.0.1:${port}/0`,
    `-u redis://:sesame@127.0.0.1:${port}`,
    `-h 127.0.0.1 -p ${port}`,
    `-s ${socket}`,
    `-u unix://${socket}`,
    `-u ${socket}`,
    `-p ${port} -n 0`,
  ];
  const counts = await Promise.all(
    ways.map(async (way) => (await run(`sessions count ${way}`)).stdout),
  );
  expect(counts).toEqual(ways.map(() => "1\n"));
  expect((await run(`sessions count -p ${port} -n 1`)).stdout).toBe("0\n");
  const env = { REDIS_URL: `redis://127.0.0.1:${port}` };
  expect((await run("sessions count", env)).stdout).toBe("1\n");
});

test("a password in the url comes before that of the environment", async () => {
  const { code } = await run(`sessions count -u redis://:sesame@127.0.0.1:${server.port}`, {
    REDISCLI_AUTH: "wrong",
  });
  expect(code).toBe(0);
});

test.each([
  ["no password", "sessions count", { REDISCLI_AUTH: "" }, "no connection"],
  ["no Redis", "sessions list -u redis://127.0.0.1:1", {}, "127.0.0.1:1"],
])("it exits with 3 and says why if Redis fails: %s", async (_name, args, env, why) => {
  const where = args.includes("-u") ? "" : `-p ${server.port}`;
  const { code, stdout, stderr } = await run(`${args} ${where}`, env);
  expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
  expect(stderr).toContain(why);
});

test.each([
  ["sessions", "count, list, show or destroy"],
  ["sessions frob", 'unknown action "frob"'],
  ["frob", 'unknown command "frob"'],
  ["sessions count --frob", "--frob"],
  ["sessions count extra", "takes no handle"],
  ["sessions show", "takes one handle"],
  ["sessions show nonsense", "is no handle"],
  ["sessions destroy", "takes handles"],
  ["sessions destroy --all --user Ada", "takes handles"],
  ["sessions count --yes", "not an option of count"],
  ["sessions list --limit 0", "--limit"],
  ["sessions count --db x", "--db"],
  ["sessions count --hash-ids yes", "true, migrate or read"],
  ["sessions count -u redis://a -h b", "give one of"],
  ["sessions count -u redis://a -u redis://b", "add --cluster"],
  ["sessions count --sentinel a:1", "--master"],
  ["sessions count --cluster -n 5", "no databases"],
  ["sessions count --cluster --sentinel a:1 --master m", "--cluster"],
  ["sessions count --user-in passport.user", "--user-in goes with --user"],
  ["sessions count --cacert /nowhere", "cannot read"],
  ["sessions count -u http://localhost", "http"],
])("%s is wrong usage: exit 2, and what is wrong", async (args, why) => {
  const { code, stdout, stderr } = await run(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain(why);
});

test("its help tells of each option, and its version is the package's", async () => {
  const { code, stdout } = await run("--help");
  expect(code).toBe(0);
  const source = readFileSync(path.join(path.dirname(COMMAND), "arguments.js"), "utf8");
  const [, options] = /const OPTIONS = [^\n]*\n([\s\S]*?)\n\}\)/.exec(source);
  const names = [...options.matchAll(/^ {2}"?([\w-]+)"?:/gm)].map(([, name]) => name);
  expect(names.length).toBeGreaterThan(20);
  const untold = names.filter((name) => !stdout.includes(`--${name}`));
  expect(untold).toEqual(["help", "version"]);
  expect((await run("--version")).stdout).toBe(`${version}\n`);
});

test("it tells on stderr that a long scan goes on", async () => {
  const own = await startRedisServer();
  try {
    const args = [COMMAND, "sessions", "count", "-p", `${own.port}`];
    process.kill(own.pid, "SIGSTOP");
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
    const ended = once(child, "close");
    const [told] = await once(child.stderr.setEncoding("utf8"), "data");
    expect(told).toBe("counting …\n");
    process.kill(own.pid, "SIGCONT");
    expect((await ended)[0]).toBe(0);
  } finally {
    await own.stop();
  }
});
