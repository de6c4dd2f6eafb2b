"use strict";

// The documents are correct: their links resolve, their commands exist, their samples run.

const { existsSync, readdirSync, readFileSync } = require("node:fs");
const path = require("node:path");
const { RedisStore } = require("connect-redis-rs");
const { createClient } = require("redis");
const { send, startRedisServer, waitUntil } = require("../../scripts/redis-server.js");
const { scripts } = require("../../package.json");
const { run } = require("../support/run.js");

const ROOT = path.join(__dirname, "..", "..");
const DOCUMENTS = ["", "docs", "bench", "fuzz"].flatMap((folder) =>
  readdirSync(path.join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => path.join(folder, name)),
);
/** Blocks of code; a blank line or indentation does not end them. */
const BLOCK = /^```(\w*)\n([\s\S]*?)^```$/gm;
/** Placeholders for a server in the samples: no name is looked up. */
const ELSEWHERE = /\b10\.0\.0\.\d\b|\b[\w.]+\.example\.com\b/g;

const read = (file) => readFileSync(path.join(ROOT, file), "utf8");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

test.each(DOCUMENTS)("the links of %s lead somewhere", (document) => {
  const text = read(document).replace(BLOCK, "");
  const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link)
    .filter((link) => !/^https?:/.test(link))
    .filter((link) => {
      const [file, anchor] = link.split("#");
      const target = file ? path.join(path.dirname(document), file) : document;
      if (!existsSync(path.join(ROOT, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
  expect(broken).toEqual([]);
});

test.each([...DOCUMENTS, ".github/workflows/ci.yml", ".github/workflows/release.yml"])(
  "the commands of %s exist",
  (document) => {
    const named = [...read(document).matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)];
    expect(named.map(([, name]) => name).filter((name) => !(name in scripts))).toEqual([]);
  },
);

test.each(
  DOCUMENTS.flatMap((document) =>
    [...read(document).matchAll(BLOCK)]
      .filter(([, language]) => language === "js")
      .map(([, , code], index) => [document, index + 1, code]),
  ),
)("%s: sample %i runs", async (_document, _number, code) => {
  const sample = code
    .replaceAll("redis://localhost:6379", server.url)
    .replaceAll(ELSEWHERE, "127.0.0.1")
    .replaceAll("listen(3000)", "listen(0)")
    .replaceAll("port: 3000", "port: 0");
  const has = /^import .*\bRedisStore\b/m.test(sample);
  const { code: status, stderr } = await run(
    `${has ? "" : 'import { RedisStore } from "connect-redis-rs";'}
     ${sample}
     // An error in the background must not happen, so there is nothing to wait for.
     setTimeout(() => process.exit(0), 200);`,
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test.each([
  ["keeps what twenty requests at once have set", (app) => app, true],
  ["loses it without the option", (app) => app.replace(', concurrency: "merge"', ""), false],
])("the app of README.md's Two requests at once %s", async (_claim, edit, isAllThere) => {
  const app = sampleOf("README.md", "concurrency");
  await served(edit(app), async (ask) => {
    await ask("/set/first");
    const names = Array.from({ length: 20 }, (_, n) => `key${n + 1}`);
    await Promise.all(names.map((name) => ask(`/set/${name}`)));
    const found = await (await ask("/set/end")).json();
    expect(found).toEqual(expect.arrayContaining(["cookie", "first", "end"]));
    expect(names.every((name) => found.includes(name))).toBe(isAllThere);
  });
});

test("the login of docs/recipes.md gives the session a new id, and the old one ends", async () => {
  await served(sampleOf("docs/recipes.md", "store.rotate"), async (ask, jar) => {
    const body = (password) => new URLSearchParams({ name: "Ada", password });
    expect((await ask("/login", { method: "POST", body: body("wrong") })).status).toBe(401);
    const login = { method: "POST", body: body("a password") };
    expect((await ask("/login", login)).status).toBe(302);
    const first = jar.cookie;
    expect((await ask("/login", login)).status).toBe(302);
    expect(jar.cookie).not.toBe(first);
    const stored = async (cookie) => {
      const [, sid] = /=s:([^.]+)/.exec(decodeURIComponent(cookie));
      return send(server.port, "GET", `sess:${sid}`);
    };
    expect(await stored(first)).toBe("$-1\r\n");
    expect(await stored(jar.cookie)).toContain('"user":{"name":"Ada"}');
  });
});

test("the user of docs/operating.md may do all that a store does", async () => {
  const [, rules] = /ACL SETUSER sessions ([\s\S]*?)```/.exec(read("docs/operating.md"));
  const words = rules.replaceAll("\\\n", " ").replaceAll("'>a password'", ">sesame");
  const { port } = server;
  await send(port, "ACL", "SETUSER", "sessions", ...words.replaceAll("'", "").trim().split(/ +/));
  const url = `redis://sessions:sesame@127.0.0.1:${port}/1`;
  const store = new RedisStore({ url });
  const session = { cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000) } };
  await store.set("a", session);
  await store.touch("a", session);
  await store.get("a");
  expect(await store.length()).toBe(1);
  expect(await store.ids()).toEqual(["a"]);
  await store.all();
  // As two requests at once.
  const merging = new RedisStore({ url, concurrency: "merge" });
  const [one, other] = [await merging.get("a"), await merging.get("a")].map((data) =>
    merging.createSession({}, data),
  );
  await merging.set("a", Object.assign(one, { one: 1 }));
  await merging.set("a", Object.assign(other, { other: 2 }));
  expect(await merging.get("a")).toMatchObject({ one: 1, other: 2 });
  expect(await merging.update("a", () => {})).toBe(true);
  await merging.close();
  // The sessions of a user.
  await store.set("before", { ...session, userId: "ada" });
  const knowing = new RedisStore({ url, user: "userId", maxSessions: 2, events: { interval: 10 } });
  const expired = new Promise((resolve) => knowing.once("expired", resolve));
  expect(await knowing.reindex()).toBe(1);
  for (const sid of ["b", "c"]) await knowing.set(sid, { ...session, userId: "ada" });
  expect(await knowing.countOf("ada")).toBe(2);
  expect(await knowing.sessionsOf("ada")).toHaveLength(2);
  expect(await knowing.destroyAllOf("ada", { except: "c" })).toBe(1);
  await knowing.set("for ever", { cookie: { originalMaxAge: null }, userId: "eve" });
  knowing.disableTTL = true;
  await knowing.set("for ever", { cookie: { originalMaxAge: null }, userId: "eve" });
  knowing.disableTTL = false;
  const soon = { originalMaxAge: 20, expires: new Date(Date.now() + 20) };
  await knowing.set("short", { cookie: soon, userId: "eve" });
  expect(await expired).toBe("short");
  const signedIn = await knowing.get("c");
  delete signedIn.userId;
  await knowing.set("c", signedIn);
  expect(await knowing.countOf("ada")).toBe(0);
  await knowing.destroy("c");
  await knowing.clear();
  await knowing.close();
  // A list whose entries are old enough to be looked at.
  const hasty = new RedisStore({ url, user: "userId", commandTimeout: 1000 });
  await hasty.set("b", { ...session, userId: "ada" });
  await store.destroy("b");
  await new Promise((resolve) => setTimeout(resolve, 4500));
  expect(await hasty.sessionsOf("ada")).toEqual([]);
  await hasty.close();
  // The near cache, and a client.
  const client = createClient({ url });
  await client.connect();
  const near = new RedisStore({ client, cache: true, touchAfter: 60 });
  await near.set("a", session);
  await waitUntil("it has copies", async () => {
    await near.get("a");
    return near.metrics().cache.hits > 0;
  });
  expect(near.transport).toBe("native");
  await near.close();
  client.destroy();
  await store.set("a", session);
  await store.destroy("a");
  await store.clear();
  await store.close();
  expect(await send(port, "ACL", "LOG")).toBe("*0\r\n");
});

test.each([
  ["user", { user: "userId" }],
  ["events", { events: true }],
])("without the rights for %s a sign-in is refused, and nothing is stored", async (_, options) => {
  const { port } = server;
  const rights = ["+get", "+set", "+del", "+pexpire", "+persist", "+pttl", "+ping"];
  await send(port, "ACL", "SETUSER", "few", "on", ">sesame", "~sess:*", "~idx:*", ...rights);
  const store = new RedisStore({ url: `redis://few:sesame@127.0.0.1:${port}`, ...options });
  const signIn = store.set("refused", { cookie: { originalMaxAge: null }, userId: "ada" });
  await expect(signIn).rejects.toMatchObject({ code: "NOPERM" });
  expect(await store.get("refused")).toBeNull();
  await store.close();
});

test("without the right to look for sessions that have ended one warning says so", async () => {
  const { port } = server;
  const rules = ["on", ">sesame", "allkeys", "+@all", "-zrangebyscore"];
  await send(port, "ACL", "SETUSER", "blind", ...rules);
  const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
  const url = `redis://blind:sesame@127.0.0.1:${port}`;
  const store = new RedisStore({ url, events: { interval: 10 } });
  await store.set("the-sid", { cookie: { originalMaxAge: null } });
  await waitUntil("it warns", () => warn.mock.calls.length > 0);
  // A second warning must not come, so there is nothing to wait for.
  await new Promise((resolve) => setTimeout(resolve, 100));
  await store.close();
  const warnings = warn.mock.calls;
  warn.mockRestore();
  expect(warnings).toEqual([
    [
      expect.stringMatching(/the event expired does not come: .* NOPERM .*docs\/operating\.md/),
      { code: "CONNECT_REDIS_RS_NO_EXPIRED" },
    ],
  ]);
});

test("the page of devices in docs/sessions-of-a-user.md ends one of them, and a fourth", async () => {
  const sample = sampleOf("docs/sessions-of-a-user.md", "/devices");
  await served(sample, async (ask, jar) => {
    const body = new URLSearchParams({ name: "Ada", password: "a password" });
    const cookies = [];
    for (const device of ["one", "two", "three", "four"]) {
      delete jar.cookie;
      await ask("/login", { method: "POST", body, headers: { "user-agent": device } });
      cookies.push(jar.cookie);
    }
    const devices = async () => (await ask("/devices")).json();
    const listed = await devices();
    expect(listed.map(({ device }) => device).sort()).toEqual(["four", "three", "two"]);
    expect(listed.find(({ isThisOne }) => isThisOne).device).toBe("four");
    for (const cookie of cookies) {
      const [, sid] = /=s:([^.]+)/.exec(decodeURIComponent(cookie));
      expect(JSON.stringify(listed)).not.toContain(sid);
    }
    const { handle } = listed.find(({ device }) => device === "two");
    const end = () => ask(`/devices/${handle}/end`, { method: "POST" });
    expect((await end()).status).toBe(302);
    expect((await end()).status).toBe(404);
    expect((await devices()).map(({ device }) => device).sort()).toEqual(["four", "three"]);
    jar.cookie = cookies[1];
    expect((await ask("/devices")).status).toBe(401);
  });
});

test("the audit log of docs/sessions-of-a-user.md names who came, and no sid", async () => {
  const [, , sample] = [...read("docs/sessions-of-a-user.md").matchAll(BLOCK)].find(([, , code]) =>
    code.includes('"expired"'),
  );
  const { stdout, stderr } = await run(
    `${sample.replace("redis://localhost:6379", server.url).replace("events: true", "events: { interval: 10 }")}
     const session = (ms) => ({ userId: "Ada", cookie: { expires: new Date(Date.now() + ms) } });
     const expired = new Promise((resolve) => store.once("expired", resolve));
     await store.set("one secret", session(60_000));
     await store.set("another secret", session(300));
     await store.destroyAllOf("Ada", { except: "another secret" });
     const awake = setInterval(() => {}, 1000); // the store does not keep a process alive
     await expired;
     clearInterval(awake);
     await store.close();`,
  );
  expect(stderr).toBe("");
  expect(stdout).not.toContain("secret");
  const lines = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const of = (event) => lines.filter((line) => line.event === event);
  expect(of("created").map(({ user }) => user)).toEqual(["Ada", "Ada"]);
  expect(of("destroyed").map(({ session }) => session)).toEqual([of("created")[0].session]);
  expect(of("expired").map(({ session }) => session)).toEqual([of("created")[1].session]);
  expect(lines).toHaveLength(4);
});

test("without EVAL a save is unmerged and an update refused, if the server has no IFEQ", async () => {
  const { port } = server;
  const hasIfEq = !(await send(port, "SET", "a", "b", "IFEQ", "c")).startsWith("-");
  const rights = ["+get", "+set", "+del", "+pexpire", "+persist", "+pttl", "+ping"];
  await send(port, "ACL", "SETUSER", "few", "on", ">sesame", "~sess:*", ...rights);
  const url = `redis://few:sesame@127.0.0.1:${port}`;
  const store = new RedisStore({ url, concurrency: "merge" });
  const warn = jest.spyOn(process, "emitWarning").mockImplementation(() => {});
  const unmerged = [];
  store.on("unmerged", (sid) => unmerged.push(sid));
  await store.set("few", { cookie: { originalMaxAge: null } });
  const session = store.createSession({}, await store.get("few"));
  await store.set("few", Object.assign(session, { user: "Ada" }));
  const updated = store.update("few", (stored) => {
    stored.user = "Eve";
  });
  if (hasIfEq) expect(await updated).toBe(true);
  else await expect(updated).rejects.toMatchObject({ code: "NOPERM" });
  expect(unmerged).toEqual(hasIfEq ? [] : ["few"]);
  const warned = [[expect.any(String), { code: "CONNECT_REDIS_RS_UNMERGED" }]];
  expect(warn.mock.calls).toEqual(hasIfEq ? [] : warned);
  warn.mockRestore();
  expect(await store.get("few")).toMatchObject({ user: hasIfEq ? "Eve" : "Ada" });
  await store.close();
});

test("docs/options.md has each option", () => {
  const [, names] = /const KNOWN: [^=]*= \[([^\]]*)\]/.exec(read("src/napi/options/names.rs"));
  const known = names.match(/\w+/g);
  expect(known).toContain("url");
  const rows = read("docs/options.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|")[1])
    .join();
  expect(known.filter((name) => !rows.includes(`\`${name}\``))).toEqual([]);
});

/** The sample of a document that has an `express()` app and this word in it. */
function sampleOf(document, word) {
  const samples = [...read(document).matchAll(BLOCK)].map(([, , code]) => code);
  return samples.find((code) => code.includes(word) && code.includes("express()"));
}

/**
 * Runs the app of a sample while `visit` asks it, as a browser does that keeps its cookie in `jar`.
 * @param {string} sample
 * @param {(ask: (path: string, options?: object) => Promise<Response>, jar: {cookie?: string}) =>
 *   Promise<void>} visit
 */
async function served(sample, visit) {
  const code = sample
    .replace("redis://localhost:6379", server.url)
    .replace("app.listen(3000)", "app.listen(0, function () { console.log(this.address().port) })");
  let visited;
  const { stderr } = await run(code, {}, (stdout, child) => {
    if (visited !== undefined || !stdout.includes("\n")) return;
    const jar = {};
    const ask = async (path, options) => {
      const headers = jar.cookie === undefined ? {} : { cookie: jar.cookie };
      const address = `http://localhost:${stdout.trim()}${path}`;
      const response = await fetch(address, { redirect: "manual", headers, ...options });
      jar.cookie = response.headers.get("set-cookie")?.split(";")[0] ?? jar.cookie;
      return response;
    };
    visited = visit(ask, jar).finally(() => child.kill());
  });
  await visited;
  expect(stderr).toBe("");
}

/** The anchors that GitHub makes of a document's headings. */
function anchorsOf(document) {
  return [...read(document).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}
