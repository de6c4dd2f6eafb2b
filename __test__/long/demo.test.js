"use strict";

// The demo, started as `npm start` starts it.

const { startRedisServer } = require("../../scripts/redis-server.js");
const { start } = require("../support/run.js");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

test("npm start proves that sessions live in Redis, and serves its pages", async () => {
  let page;
  let race;
  let users;
  let sessions;
  const result = await start(["demo/server.js"], { PORT: "0", REDIS_URL: "" }, (stdout, child) => {
    const address = /in a browser: (\S+)/.exec(stdout)?.[1];
    if (address && !page) {
      const read = async (response) => ({ status: response.status, text: await response.text() });
      page = fetch(address).then(read);
      race = fetch(`${address}/race`, { method: "POST" }).then(read);
      sessions = fetch(`${address}/sessions`).then(read);
      users = sessions.then(() => signInAndOut(address));
      Promise.allSettled([page, race, users]).then(() => child.kill("SIGTERM"));
    }
  });
  expect(result).toMatchObject({ code: 0, signal: null, stderr: "" });
  expect(result.stdout.match(/✓/g)).toHaveLength(16);
  expect(result.stdout).toContain('"user":"Ada"');
  expect((await page).status).toBe(200);
  expect((await page).text).toContain("Nobody is signed in");
  expect((await page).text).toContain("Send twenty requests");
  const { stranger, before, after, grace } = await users;
  expect(stranger).toBe(400);
  expect(before).toContain("Ada: 2, Grace: 1");
  expect(before.match(/class="device"/g)).toHaveLength(2);
  expect(before.match(/this one/g)).toHaveLength(1);
  expect(after).toContain("Ada: 1, Grace: 1");
  expect(after.match(/class="device"/g)).toHaveLength(1);
  expect(after).toContain("this one");
  expect(grace).toContain('id="user">Grace<');
  expect((await sessions).status).toBe(200);
  expect((await sessions).text).toContain("There is no session here.");
  expect((await race).status).toBe(200);
  const { text } = await race;
  const [, last] = /id="last">(\d+) of 20</.exec(text);
  expect(Number(last)).toBeGreaterThanOrEqual(1);
  expect(Number(last)).toBeLessThan(20);
  expect(text).toContain('id="merge">20 of 20<');
  expect(text.match(/class="kept"/g)).toHaveLength(Number(last) + 20);
});

/** Signs two users in, and one of them out everywhere else. */
async function signInAndOut(address) {
  const ask = (path, { cookie, user } = {}) =>
    fetch(address + path, {
      method: path === "/" ? "GET" : "POST",
      headers: cookie ? { cookie } : {},
      body: user && new URLSearchParams({ user }),
      redirect: "manual",
    });
  const signIn = async (user) => {
    const response = await ask("/login", { user });
    return response.headers.get("set-cookie").split(";")[0];
  };
  const home = async (cookie) => (await ask("/", { cookie })).text();
  const { status: stranger } = await ask("/login", { user: "Eve" });
  const [ada, grace] = [await signIn("Ada"), await signIn("Grace")];
  await ask("/login-elsewhere", { cookie: ada });
  const before = await home(ada);
  await ask("/logout-elsewhere", { cookie: ada });
  return { stranger, before, after: await home(ada), grace: await home(grace) };
}

test("the demo says what is wrong with its environment", async () => {
  for (const [env, said] of [
    [{ PORT: "abc" }, 'PORT must be a number from 0 to 65535, got "abc"'],
    [{ PORT: String(server.port), REDIS_URL: server.url }, `Port ${server.port} is in use`],
    [{ PORT: "0", REDIS_URL: "redis://127.0.0.1:1" }, "Redis cannot be reached"],
  ]) {
    const { code, stderr } = await start(["demo/server.js"], env);
    expect(code).toBe(1);
    expect(stderr).toContain(said);
  }
});
