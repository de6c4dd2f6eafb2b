// What apps have written for connect-redis 10. This and subclass.test.ts are checked against
// connect-redis 10 itself, too, and against this package in its place (`npm:connect-redis-rs`).
import { promisify } from "node:util";
import { RedisStore } from "connect-redis";
import type { SessionData, SessionOptions, Store } from "express-session";
import { createClient, createCluster, type RedisClientType } from "redis";

type Options = ConstructorParameters<typeof RedisStore>[0];
type Callback = (_err?: unknown, _data?: any) => any;
interface Mine extends SessionData {
  user: string;
}

declare const untyped: any;
declare const data: SessionData;

const client = createClient();
const store = new RedisStore({ client, prefix: "myapp:" });
new RedisStore({ client: createCluster({ rootNodes: [] }) });
new RedisStore({ client: untyped });
new RedisStore({
  client,
  prefix: "p",
  scanCount: 10,
  serializer: {
    parse: (text: string) => JSON.parse(text),
    stringify: (sess: SessionData) => JSON.stringify(sess),
  },
  ttl: (sess: any) => sess.user.ttl,
  disableTTL: false,
  disableTouch: true,
});
new RedisStore({
  client,
  ttl: (sess) => (sess.cookie.originalMaxAge ?? 0) / 1000,
  serializer: JSON,
});
new RedisStore({ client, serializer: { parse: async () => data, stringify: () => "" } });
declare const late: RedisClientType | undefined;
new RedisStore({ client: late });

// Options and stores in places of their own.
const options: Options = { client, ttl: 60 };
options.prefix = "q:";
const others: Omit<Options, "client"> = { scanCount: 5 };
const some: Partial<Options> = { ttl: 5 };
export const make = (given: Options): RedisStore =>
  new RedisStore({ ...some, ...others, ...given });
export const makeOf = (Class: typeof RedisStore, given: Options) => new Class(given);
const asStore: Store = store;
const given: SessionOptions = { store, secret: "x" };
let current: RedisStore | null = null;
current = store;
export class Sessions {
  private readonly store: RedisStore;
  constructor(private readonly redis: RedisClientType) {
    this.store = new RedisStore({ client: this.redis });
  }
  find(sid: string): Promise<Mine> {
    return this.store.get(sid);
  }
  async maybe(sid: string): Promise<SessionData | undefined> {
    return (await this.store.get(sid)) ?? undefined;
  }
  save(sid: string, sess: SessionData): Promise<void> {
    return this.store.set(sid, sess);
  }
  touch(sid: string, sess: SessionData): Promise<null> {
    return this.store.touch(sid, sess);
  }
  async remove(sid: string): Promise<void> {
    await this.store.destroy(sid);
  }
  wipe(): Promise<boolean> {
    return this.store.clear().then(() => true);
  }
}

// Fields.
const text: string = store.serializer.stringify(data);
const parsed: SessionData | Promise<SessionData> = store.serializer.parse(text);
const seconds: number = typeof store.ttl === "function" ? store.ttl(data) : store.ttl;
store.ttl = (sess: SessionData) => sess.cookie.maxAge ?? 1;
store.prefix = store.prefix.toUpperCase();
store.serializer = JSON;
store.scanCount += 1;
store.disableTTL = !store.disableTouch;

// The client of a store.
store.client = client;
export async function useClient(): Promise<void> {
  store.client.on("error", (error) => console.error(error));
  const value = await store.client.get(`${store.prefix}sid`);
  console.log(
    (value ?? "").length,
    (await store.client.mGet(["a"])).map((text) => text?.length),
  );
  await store.client.set("key", "value", { expiration: { type: "EX", value: 5 } });
  if ("scanIterator" in store.client) {
    for await (const keys of store.client.scanIterator({ MATCH: "*" }))
      keys.map((key) => key.length);
  }
  await (store.client as RedisClientType).quit();
}

// Promises.
export async function usePromises(): Promise<void> {
  const sess = await store.get("sid");
  if (!sess) return;
  console.log(sess.cookie, (sess as Mine).user, (sess as any).user);
  const mine: Mine = await store.get("sid");
  const maybe: Mine | null = await store.get("sid");
  const perhaps: SessionData | undefined = await store.get("sid");
  const either: Mine | null | undefined = await store.get("sid");
  const anything: any = await store.get("sid");
  const { user } = (await store.get("sid")) as Mine;
  const nothing: undefined = await store.set("sid", { cookie: { originalMaxAge: null } });
  const isNull: null = await store.destroy("sid");
  const count: number = await store.length();
  const ids: string[] = await store.ids();
  const sessions: SessionData[] = await store.all();
  const mines: Mine[] = await store.all();
  const untypeds: any[] = await store.all();
  const cast = (await store.all()) as (Mine & { id: string })[];
  const users = (await store.all()).filter((sess: any) => sess.user === "ada");
  for (const sid of await store.ids()) await store.destroy(sid);
  (await store.ids()).sort();
  if ((await store.length()) > 5) await store.clear();
  store.get("sid").then((sess: any) => sess.user, console.error);
  console.log(mine, maybe, perhaps, either, anything.user, user, nothing, isNull, count, ids);
  console.log(sessions, mines, untypeds, cast, users);
  let res = await store.clear();
  res = await store.get("sid");
  res = await store.all();
  res.sort((a: any, b: any) => (a.id > b.id ? 1 : -1));
}

// Callbacks.
store.get("sid", (_err, sess) => sess.user);
store.get("sid", (err, sess) => (err ? console.error(err) : console.log(sess?.user.name)));
store.get("sid", (_err: any, sess: SessionData | null) => sess?.cookie);
store.get("sid", (_err: any, sess?: SessionData | null) => sess?.cookie);
store.get("sid", (_err: unknown, sess: Mine) => sess.user);
store.get("sid", async (err) => {
  if (err instanceof Error) console.error(err.message);
});
store.get("sid", (err: any) => err?.code);
store.get("sid", () => {});
store.set("sid", data, (err) => console.error(err));
store.set("sid", data, (err: any) => err?.message);
store.touch("sid", data, () => {});
store.destroy("sid", (err) => err && console.error(err));
store.clear((err) => console.error(err));
store.length((_err, count) => console.log(count + 1));
store.length((_err: unknown, count: number) => count);
store.length((_err: unknown, count?: number) => count ?? 0);
store.ids((_err, ids: string[]) => ids.join());
store.all((_err, sessions) => {
  for (const sess of sessions) console.log(sess.user, sess.id);
});
store.all((_err: any, sessions: Mine[]) => sessions.map((sess) => sess.user));
store.all((_err: any, sessions?: SessionData[]) => sessions?.length);
export function handOn(sid: string, cb?: Callback): Promise<any> {
  store.all(cb);
  store.length(cb);
  store.ids(cb);
  store.clear(cb);
  store.set(sid, data, cb);
  store.touch(sid, data, cb);
  store.destroy(sid, cb);
  return store.get(sid, cb);
}
export const handOnVoid = (sid: string, cb: () => void): Promise<void> => store.get(sid, cb);

// Promises of callbacks.
export const get = promisify(store.get).bind(store);
export const getBound: (sid: string) => Promise<any> = promisify(store.get.bind(store));
export const byCallback = new Promise<Mine>((resolve, reject) => {
  store.get("sid", (err, sess) => (err ? reject(err) : resolve(sess)));
});
export const retried = async <T>(call: () => Promise<T>): Promise<T> => call();
export const sessOnce: Promise<Mine> = retried(() => store.get("sid"));

// Events and what comes from express-session.
store.on("disconnect", () => {}).on("connect", () => {});
store.once("error", (error) => console.error(error));
store.emit("disconnect");
store.removeAllListeners();
console.log(asStore, given, current, text, parsed, seconds);
