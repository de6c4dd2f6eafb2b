// What a TypeScript app with CommonJS writes; checked by tsc, not run.
import RedisStore = require("connect-redis-rs");
import session = require("express-session");

const store = new RedisStore({ url: "redis://localhost", ttl: 5 });
const named: RedisStore = new RedisStore.RedisStore();
const byDefault: RedisStore = new RedisStore.default();
const options: RedisStore.RedisStoreOptions = { prefix: null };
session({ store, secret: "x" });
session({ store: named, secret: "x" });
session({ store: byDefault, secret: "x" });
const error: Error = new RedisStore.RedisStoreError("x");

export { error, options };
