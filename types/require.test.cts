// What an app with CommonJS imports.
import RedisStore = require("connect-redis-rs");
import session = require("express-session");

import { RedisStore as byName, RedisStoreError, type RedisStoreOptions } from "connect-redis-rs";

const options: RedisStore.RedisStoreOptions = { prefix: null };
const known: RedisStoreOptions = options;
const server: RedisStore.Server = "localhost:6379";
const stores: RedisStore[] = [
  new RedisStore({ url: "redis://localhost", ttl: 5 }),
  new RedisStore.RedisStore(),
  new RedisStore.default(),
  new byName(),
];

// As code for connect-redis 6 and older has the class.
const Old = RedisStore(session);
const old: RedisStore = new Old({ url: "redis://localhost" });
const oldest: typeof RedisStore = RedisStore({ session });
class Mine extends RedisStore.default(session) {
  override prefix = "mine:";
}
// @ts-expect-error: a store is made by new
RedisStore({ url: "redis://localhost" });
// @ts-expect-error: it has to be given
RedisStore();

const error: Error = new RedisStore.RedisStoreError("x");
const alike: RedisStore.RedisStoreError = new RedisStoreError("x");

export { alike, error, known, Mine, old, oldest, server, stores };
