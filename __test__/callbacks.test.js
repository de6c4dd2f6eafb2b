"use strict";

// A callback that throws must not end the process: with connect-redis, the app keeps running.

const ConnectRedis = require("connect-redis");
const { startRedisServer } = require("../scripts/redis-server.js");
const { run } = require("./support/run.js");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

/** An Express app that sends its response twice in a session callback; logs the responses. */
const APP = `
  import express from "express";
  import session from "express-session";
  import { createClient } from "redis";
  const { RedisStore } = await import(process.env.STORE);
  const url = process.env.URL_OF_REDIS;
  const client = await createClient({ url }).connect();
  const store = new RedisStore(process.env.BY === "url" ? { url } : { client });
  const app = express();
  app.use(session({ store, secret: "s", resave: false, saveUninitialized: false }));
  app.get("/save", (req, res) => {
    req.session.n = 1;
    req.session.save(() => {
      res.json({});
      res.json({ again: true });
    });
  });
  app.get("/once", (req, res) => {
    req.session.n = 1;
    let times = 0;
    req.session.save((error) => {
      times += 1;
      if (times === 1) throw new Error("mine");
      res.json({ times, error: error.message });
    });
  });
  const listening = app.listen(0, "127.0.0.1", async () => {
    const ask = async (path) =>
      (await fetch("http://127.0.0.1:" + listening.address().port + path)).text();
    console.log(await ask("/once"));
    console.log(await ask("/save").catch((error) => error.message));
    await new Promise((resolve) => setImmediate(resolve));
    console.log("lives");
    process.exit(0);
  });
`;

const STORES = [
  ["connect-redis", "connect-redis", "client"],
  ["by url", "connect-redis-rs", "url"],
  ["beside a client", "connect-redis-rs", "client"],
];

test.each(STORES)(
  "a callback that throws is called again with its error (%s)",
  async (_name, store, by) => {
    expect(ConnectRedis.RedisStore).toBeDefined();
    const env = { STORE: store, BY: by, URL_OF_REDIS: server.url };
    const { stdout } = await run(APP, env);
    expect(stdout.split("\n")[0]).toBe('{"times":2,"error":"mine"}');
  },
);

test("a response that is sent twice ends the process no sooner than with connect-redis", async () => {
  const ends = [];
  for (const [, store, by] of STORES) {
    const { code, stdout } = await run(APP, { STORE: store, BY: by, URL_OF_REDIS: server.url });
    ends.push({ code, stdout });
  }
  expect(ends[1]).toEqual(ends[0]);
  expect(ends[2]).toEqual(ends[0]);
});
