// What a TypeScript app with ES modules writes; checked by tsc, not run.
import byDefault, { RedisStore, RedisStoreError, type RedisStoreOptions } from "connect-redis-rs";
import session, { type SessionData } from "express-session";

declare const data: SessionData;

const options: RedisStoreOptions = {
  url: new URL("redis://localhost"),
  prefix: "sess:",
  scanCount: 100,
  serializer: JSON,
  ttl: (sess) => (sess.cookie.maxAge ?? 0) / 1000,
  disableTTL: false,
  disableTouch: true,
  commandTimeout: 100,
  connectTimeout: 100,
  resurrect: true,
  onUnavailable: "skip",
  commandsQueueMaxLength: 1000,
  commandsQueueMaxBytes: Number.POSITIVE_INFINITY,
};
new RedisStore({ url: "rediss://localhost", tls: { ca: "", rejectUnauthorized: true } });
new RedisStore({ cluster: ["redis://a", { host: "b", port: 7000 }], username: "u", tls: true });
new RedisStore({
  sentinel: { name: "mymaster", nodes: ["a:26379"], password: "p", tls: { cert: [""], key: "" } },
  database: 2,
});
const store: RedisStore = new RedisStore(options);
new byDefault();
new RedisStore({});
session({ store, secret: "x" });
const asStore: session.Store = store;

const got: SessionData | null = await store.get("sid");
const nothing: null = await store.set("sid", data);
const count: number = await store.length();
const ids: string[] = await store.ids();
const id: string = (await store.all())[0].id;
const returned: number = await store.get("sid", (_error, sess) => (sess ? 1 : 2));
store.touch("sid", data, (error: unknown) => error);
store.clear();
await store.destroy("sid");
await store.close();
store.on("discarded", (sid) => sid.length).on("corrupt", (sid, error) => sid + error.message);
store.once("ready", () => {});
const status: "connecting" | "ready" | "reconnecting" | "closed" = store.status;
const code: string = new RedisStoreError("x").code;

class Mine extends RedisStore {
  override prefix = "mine:";
}

{
  await using disposed = new Mine({
    serializer: { parse: async () => data, stringify: () => Buffer.from("") },
  });
  disposed.prefix = "other:";
}

// @ts-expect-error: a prefix is a string
new RedisStore({ prefix: 5 });
// @ts-expect-error: there is no such option
new RedisStore({ tll: 5 });
// @ts-expect-error: connections of the store's own know no pfx
new RedisStore({ tls: { pfx: "" } });
// @ts-expect-error: a ttl function returns a time
new RedisStore({ ttl: () => ({}) });
// @ts-expect-error: status is the store's
store.status = "ready";

export { asStore, code, count, got, id, ids, nothing, returned, status };
