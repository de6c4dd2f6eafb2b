"use strict";

// A Fastify app with @fastify/session, in a process of its own: the plugin imports ES modules, which jest
// does not. Its options come as JSON by OPTIONS: those of the store and of the plugin, and whether the
// store is given without the adapter.

const cookies = require("@fastify/cookie");
const sessions = require("@fastify/session");
const fastify = require("fastify");
const { RedisStore } = require("connect-redis-rs");
const { fastifyStore } = require("connect-redis-rs/fastify");

const { store: storeOptions, session: sessionOptions, isPlain } = JSON.parse(process.env.OPTIONS);

const store = new RedisStore(storeOptions);
const discarded = [];
store.on("discarded", (sid) => discarded.push(sid));

const app = fastify();
app.register(cookies);
app.register(sessions, {
  store: isPlain ? store : fastifyStore(store),
  secret: "a secret of 32 characters or more",
  saveUninitialized: false,
  cookie: { secure: false, maxAge: 60_000 },
  ...sessionOptions,
});

let letSlowGoOn;
const slowMayGoOn = new Promise((resolve) => {
  letSlowGoOn = resolve;
});

app.get("/set", async ({ session, query }) => {
  Object.assign(session, query);
  return { ...query };
});
app.get("/look", async ({ session }) => ({ ...session, cookie: undefined }));
app.get("/logout", async ({ session }) => session.destroy().then(() => ({})));
app.get("/forget", async ({ session }) => {
  delete session.user;
  return {};
});
app.get("/slow", async ({ session }) => {
  session.slow = "1";
  console.log("slow");
  await slowMayGoOn;
  return {};
});
app.get("/twice", async ({ session }) => {
  session.one = 1;
  await session.save();
  session.two = 2;
  return {};
});
app.get("/login", async (request) => {
  // Not with a spread: that takes over the plugin's own symbols, too.
  const members = Object.entries(request.session).filter(([name]) => name !== "cookie");
  await request.session.regenerate();
  Object.assign(request.session, Object.fromEntries(members), { login: "yes" });
  return {};
});
// These have no session: nobody sends a cookie there.
app.get("/go-on", async () => letSlowGoOn());
app.get("/told", async () => ({ discarded: discarded.length, calls: store.metrics().calls }));

app.listen({ port: 0, host: "127.0.0.1" }).then((address) => console.log(`at ${address}`));
process.once("SIGTERM", async () => {
  await app.close();
  await store.close();
});
