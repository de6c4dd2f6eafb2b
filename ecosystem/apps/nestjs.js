"use strict";

// NestJS: the store is a provider that is created and closed with the app, and express-session is a
// middleware. The decorators are called by hand, as TypeScript's output does.

const assert = require("node:assert/strict");
require("reflect-metadata");
const { Controller, Get, Inject, Module, Post, Req, Session } = require("@nestjs/common");
const { NestFactory } = require("@nestjs/core");
const session = require("express-session");
const { assertExpiry, browser } = require("../kit.js");

const STORE = "STORE";

class VisitsController {
  constructor(store) {
    this.store = store;
  }

  visit(visitor) {
    visitor.n = (visitor.n ?? 0) + 1;
    return { n: visitor.n };
  }

  async sessions() {
    return { count: await this.store.length() };
  }

  logout(request) {
    return new Promise((resolve, reject) => {
      request.session.destroy((error) => (error ? reject(error) : resolve({})));
    });
  }
}

decorate(VisitsController, "visit", [Get(), Session()]);
decorate(VisitsController, "sessions", [Get("sessions")]);
decorate(VisitsController, "logout", [Post("logout"), Req()]);
Inject(STORE)(VisitsController, undefined, 0);
Controller()(VisitsController);

function decorate({ prototype }, name, [route, parameter]) {
  if (parameter) parameter(prototype, name, 0);
  route(prototype, name, Object.getOwnPropertyDescriptor(prototype, name));
}

async function start(kit) {
  const closed = [];
  class AppModule {
    constructor(store) {
      this.store = store;
    }

    async onApplicationShutdown() {
      await this.store.close?.();
      closed.push(this.store.status);
    }
  }
  Inject(STORE)(AppModule, undefined, 0);
  Module({
    controllers: [VisitsController],
    providers: [{ provide: STORE, useFactory: async () => kit.store() }],
  })(AppModule);

  const app = await NestFactory.create(AppModule, { logger: ["error", "warn"] });
  const store = app.get(STORE);
  const options = { secret: "secret", resave: false, saveUninitialized: false };
  app.use(session({ store, cookie: { maxAge: 60_000 }, ...options }));
  await app.listen(0, "127.0.0.1");
  let isOpen = true;
  const close = async () => {
    if (isOpen) await app.close();
    isOpen = false;
  };
  kit.after(close);
  return { store, close, closed, ...browser(await app.getUrl()) };
}

module.exports = {
  title: "NestJS",
  connections: ["url", "ioredis 5", "node-redis 6", "connect-redis 10"],
  cases: {
    async "a session is stored, read and changed"(kit) {
      const { read } = await start(kit);
      for (const n of [1, 2, 3]) assert.deepEqual(await read("/"), { n });
      const [key, ...others] = await kit.redis.keys("sess:*");
      assert.deepEqual(others, []);
      await assertExpiry(kit, key, 60);
    },

    async "a controller gets the store by injection"(kit) {
      const { read } = await start(kit);
      await read("/");
      assert.deepEqual(await read("/sessions"), { count: 1 });
    },

    async "a logout removes the session"(kit) {
      const { go, read } = await start(kit);
      await read("/");
      assert.equal((await go("/logout", {})).status, 201);
      assert.equal(await kit.redis.dbSize(), 0);
      assert.deepEqual(await read("/"), { n: 1 });
    },

    async "the app closes after its requests"(kit) {
      const { read, close, closed } = await start(kit);
      await read("/");
      await close();
      assert.equal(closed.length, 1);
    },
  },
  ours: {
    async "the store closes with the app"(kit) {
      const { read, close, closed } = await start(kit);
      await read("/");
      await close();
      assert.deepEqual(closed, ["closed"]);
    },
  },
};
