"use strict";

// The demo, started as `npm start` starts it.

const { startRedisServer } = require("../../scripts/redis-server.js");
const { start } = require("../support/run.js");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

test("npm start proves that sessions live in Redis, and serves its page", async () => {
  let page;
  const result = await start(["demo/server.js"], { PORT: "0", REDIS_URL: "" }, (stdout, child) => {
    const address = /in a browser: (\S+)/.exec(stdout)?.[1];
    if (address && !page) {
      page = fetch(address).then(async (response) => {
        const answer = { status: response.status, text: await response.text() };
        child.kill("SIGTERM");
        return answer;
      });
    }
  });
  expect(result).toMatchObject({ code: 0, signal: null, stderr: "" });
  expect(result.stdout.match(/✓/g)).toHaveLength(9);
  expect(result.stdout).toContain('"user":"Ada"');
  expect((await page).status).toBe(200);
  expect((await page).text).toContain("Nobody is signed in");
});

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
