"use strict";

// socket.io shares express-session's middleware with the app: io.engine.use.

const assert = require("node:assert/strict");
const express = require("express");
const session = require("express-session");
const { Server } = require("socket.io");
const { io: connect } = require("socket.io-client");
const { assertExpiry, browser, serve } = require("../kit.js");

/** An app with a session for HTTP and sockets; `dial` opens a socket with a browser's cookies. */
async function start(kit) {
  const store = kit.store();
  const middleware = session({
    store,
    secret: "secret",
    resave: false,
    saveUninitialized: false,
    cookie: { maxAge: 60_000 },
  });
  const app = express().use(middleware);
  app.get("/login", (req, res) => {
    Object.assign(req.session, { user: "Ada", n: 0 });
    res.json({});
  });
  app.get("/", (req, res) =>
    res.json({ user: req.session.user ?? null, n: req.session.n ?? null }),
  );
  app.get("/add", (req, res) => {
    req.session.n += 1;
    res.json({});
  });
  app.get("/logout", (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.json({})));
  });
  const { server, address } = await serve(kit, app);
  const io = new Server(server);
  kit.after(() => io.close());
  io.engine.use(middleware);
  io.on("connection", (socket) => {
    const { request } = socket;
    const answer = (reply) => (error) =>
      reply({ error: error?.message ?? null, user: request.session?.user, n: request.session?.n });
    socket.on("look", (reply) => answer(reply)());
    socket.on("add", (reply) => {
      request.session.n += 1;
      request.session.save(answer(reply));
    });
    socket.on("reload", (reply) => request.session.reload(answer(reply)));
  });

  async function dial({ cookie }, transports) {
    const socket = connect(address, {
      transports,
      extraHeaders: { cookie: cookie() },
      reconnection: false,
      forceNew: true,
    });
    kit.after(() => socket.close());
    await new Promise((resolve, reject) => {
      socket.once("connect", resolve).once("connect_error", reject);
    });
    return (event) => socket.timeout(10_000).emitWithAck(event);
  }
  return { store, dial, ...browser(address) };
}

async function loggedIn(kit, transports = ["polling", "websocket"]) {
  const app = await start(kit);
  await app.read("/login");
  return { ...app, ask: await app.dial(app, transports) };
}

module.exports = {
  title: "socket.io",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases: {
    async "a socket has the session of the page, by polling and by WebSocket"(kit) {
      for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
        const { ask } = await loggedIn(kit, transports);
        assert.deepEqual(await ask("look"), { error: null, user: "Ada", n: 0 });
      }
    },

    async "what a socket saves, the page sees"(kit) {
      const { ask, read } = await loggedIn(kit);
      assert.deepEqual(await ask("add"), { error: null, user: "Ada", n: 1 });
      assert.deepEqual(await ask("add"), { error: null, user: "Ada", n: 2 });
      assert.deepEqual(await read("/"), { user: "Ada", n: 2 });
      const [key] = await kit.redis.keys("sess:*");
      await assertExpiry(kit, key, 60);
    },

    async "what the page saves, a socket sees when it reloads"(kit) {
      const { ask, read } = await loggedIn(kit);
      await read("/add");
      assert.deepEqual(await ask("look"), { error: null, user: "Ada", n: 0 });
      assert.deepEqual(await ask("reload"), { error: null, user: "Ada", n: 1 });
      assert.deepEqual(await ask("add"), { error: null, user: "Ada", n: 2 });
    },

    async "a socket that reloads after a logout gets an error"(kit) {
      const { ask, read } = await loggedIn(kit);
      await read("/logout");
      assert.equal((await ask("reload")).error, "failed to load session");
    },

    async "a visitor without a session leaves nothing in Redis"(kit) {
      const { dial, cookie } = await start(kit);
      const ask = await dial({ cookie }, ["polling", "websocket"]);
      assert.deepEqual(await ask("look"), { error: null });
      assert.equal(await kit.redis.dbSize(), 0);
    },
  },
  ours: {
    async "a socket that saves after a logout does not bring the session back"(kit) {
      const { ask, read, store } = await loggedIn(kit);
      const discarded = [];
      store.on("discarded", (sid) => discarded.push(sid));
      await read("/logout");
      assert.equal((await ask("add")).error, null);
      assert.equal(await kit.redis.dbSize(), 0);
      assert.equal(discarded.length, 1);
      assert.deepEqual(await read("/"), { user: null, n: null });
    },
  },
};
