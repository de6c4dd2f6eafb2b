// What an app with ES modules imports.
import * as all from "connect-redis-rs";
import byDefault, {
  type AnyClient,
  type AsJson,
  type Callback,
  type ExpressSession,
  type IoredisLike,
  type NodeRedisLike,
  type Pem,
  type RedisClient,
  RedisStore,
  RedisStoreError,
  type RedisStoreOptions,
  type RotateOptions,
  type SentinelOptions,
  type Serializer,
  type Server,
  type StoredSession,
  type TlsOptions,
  type Ttl,
} from "connect-redis-rs";
import * as session from "express-session";

const options: RedisStoreOptions = { prefix: "sess:" };
const stores: RedisStore[] = [
  new RedisStore(options),
  new byDefault(options),
  new all.RedisStore(options),
  new all.default(options),
];
const Old: typeof RedisStore = byDefault(session);
const old: RedisStore = new Old(options);
const other: RedisStore = new (all.default(session))();
const code: string = new RedisStoreError("x").code;
const error: Error = new all.RedisStoreError("x");
const known: all.RedisStoreOptions = options;

export async function use(): Promise<void> {
  const store = new RedisStore();
  store.on("discarded", (sid) => sid.length).on("corrupt", (sid, error) => sid + error.message);
  store.on("merged", (sid) => sid.length).on("unmerged", (sid) => sid.length);
  store.on("overwritten", (sid, names) => names.map((name) => sid + name.length));
  store.once("ready", () => {});
  const status: "connecting" | "ready" | "reconnecting" | "closed" = store.status;
  const transport: "native" | "client" = store.transport;
  // @ts-expect-error: status is the store's
  store.status = "ready";
  // @ts-expect-error: there is no such method
  store.getTTL();
  await store.close();
  console.log(status, transport);
}

/** A login, as a route handler makes it. */
export const logIn = async (req: Parameters<RedisStore["createSession"]>[0]): Promise<boolean> => {
  const store = new RedisStore({ concurrency: "merge" });
  const isRotated: boolean = await store.rotate(req);
  await store.rotate(req, { grace: 5000 });
  store.rotate(req, (error, isRotated) => console.log(error, isRotated === true));
  store.rotate(req, { grace: 5000 }, (error, isRotated) => console.log(error, isRotated === true));
  // @ts-expect-error: it is a request's session
  await store.rotate("sid");
  // @ts-expect-error: a time is a number
  await store.rotate(req, { grace: "5s" });
  return isRotated;
};

export type {
  AnyClient,
  AsJson,
  Callback,
  ExpressSession,
  IoredisLike,
  NodeRedisLike,
  Pem,
  RedisClient,
  RotateOptions,
  SentinelOptions,
  Serializer,
  Server,
  StoredSession,
  TlsOptions,
  Ttl,
};
export { code, error, known, old, other, stores };
