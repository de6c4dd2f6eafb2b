// What an app with CommonJS imports.
import RedisStore = require("connect-redis-rs");

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
const error: Error = new RedisStore.RedisStoreError("x");
const alike: RedisStore.RedisStoreError = new RedisStoreError("x");

export { alike, error, known, server, stores };
