// What the options of a store may be, and what not.
import {
  type CompressionOptions,
  type Credential,
  type EncryptionKey,
  type EncryptionOptions,
  RedisStore,
  type RedisStoreOptions,
  type Serializer,
  type Ttl,
} from "connect-redis-rs";
import type { SessionData } from "express-session";

declare const data: SessionData;

new RedisStore();
new RedisStore({});

const all: RedisStoreOptions = {
  url: new URL("redis://localhost"),
  prefix: "sess:",
  scanCount: 100,
  serializer: JSON,
  ttl: (sess) => (sess.cookie.maxAge ?? 0) / 1000,
  disableTTL: false,
  disableTouch: true,
  touchAfter: 60,
  touch: "background",
  lifetime: 3600,
  concurrency: "merge",
  user: "passport.user",
  maxSessions: 3,
  events: { interval: 500 },
  commandTimeout: 100,
  connectTimeout: 100,
  resurrect: true,
  transport: "auto",
  onUnavailable: "skip",
  commandsQueueMaxLength: 1000,
  commandsQueueMaxBytes: Number.POSITIVE_INFINITY,
};
new RedisStore(all);
export const make = (options?: RedisStoreOptions) => new RedisStore(options);
export const makeFor = (options: ConstructorParameters<typeof RedisStore>[0]) => options.client;

// null and undefined are an option that is not given, also under exactOptionalPropertyTypes.
const none: Required<{ [option in keyof RedisStoreOptions]: null }> = {
  url: null,
  cluster: null,
  sentinel: null,
  tls: null,
  username: null,
  password: null,
  database: null,
  client: null,
  clientType: null,
  transport: null,
  prefix: null,
  scanCount: null,
  serializer: null,
  ttl: null,
  disableTTL: null,
  disableTouch: null,
  touchAfter: null,
  touch: null,
  cache: null,
  lifetime: null,
  concurrency: null,
  encryption: null,
  compression: null,
  hashIds: null,
  user: null,
  maxSessions: null,
  events: null,
  commandTimeout: null,
  connectTimeout: null,
  onUnavailable: null,
  commandsQueueMaxLength: null,
  commandsQueueMaxBytes: null,
  resurrect: null,
};
new RedisStore(none);
const unset: { [option in keyof RedisStoreOptions]: undefined } = { prefix: undefined };
new RedisStore(unset);
new RedisStore({ url: process.env.REDIS_URL, password: process.env.REDIS_PASSWORD });

// Topologies.
new RedisStore({ url: "rediss://localhost", tls: { ca: "", rejectUnauthorized: true } });
new RedisStore({ cluster: ["redis://a", { host: "b", port: 7000 }], username: "u", tls: true });
new RedisStore({
  sentinel: { name: "mymaster", nodes: ["a:26379"], password: "p", tls: { cert: [""], key: "" } },
  database: 2,
});
const nodes = (process.env.NODES ?? "").split(",");
new RedisStore({ cluster: nodes });
new RedisStore({ tls: { ca: [Buffer.from(""), ""], key: Buffer.from(""), minVersion: "TLSv1.3" } });

// Who logs in may be asked for.
const token = async (): Promise<string | undefined> => undefined;
new RedisStore({ url: "redis://a", username: () => "ada", password: token });
new RedisStore({ sentinel: { name: "m", nodes: ["a"], username: token, password: () => null } });
export const credential: Credential = token;
// @ts-expect-error: a password is a string
new RedisStore({ url: "redis://a", password: () => 5 });

// Times to live and serializers.
const times: Ttl[] = [60, "60", BigInt(60), () => "60", (sess) => sess.cookie.maxAge ?? 60];
for (const ttl of times) new RedisStore({ ttl });
const bytes: Serializer = { parse: async () => data, stringify: () => new Uint8Array() };
new RedisStore({ serializer: bytes });
const read = (stored: Uint8Array): SessionData => JSON.parse(`${stored}`);
new RedisStore({ serializer: { parse: read, stringify: () => Buffer.from("") } });
new RedisStore({ serializer: { parse: (_stored: string | Buffer) => data, stringify: () => "" } });
new RedisStore({ serializer: { parse: (text) => JSON.parse(text), stringify: JSON.stringify } });

// Sessions at rest.
const key: EncryptionKey = { id: 1, secret: new Uint8Array(32) };
const encryption: EncryptionOptions = { keys: [key, { id: 2, secret: "" }], write: false };
new RedisStore({ encryption, compression: true, hashIds: true });
new RedisStore({ encryption: { keys: [key], plain: "refuse" }, hashIds: "migrate" });
const compression: CompressionOptions = { threshold: 0, level: 3, write: false };
new RedisStore({ encryption: null, compression, hashIds: "read" });
export const rewritten: Promise<number> = new RedisStore().rewrite();
new RedisStore().rewrite((error, count: number) => [error, count.toFixed()]);
// @ts-expect-error: a key has an id
new RedisStore({ encryption: { keys: [{ secret: "" }] } });
// @ts-expect-error: and no other than a number
new RedisStore({ encryption: { keys: [{ id: "1", secret: "" }] } });
// @ts-expect-error: plain records are read or refused
new RedisStore({ encryption: { keys: [key], plain: false } });
// @ts-expect-error: there is one algorithm
new RedisStore({ compression: "zstd" });
// @ts-expect-error: ids are hashed, migrated or read
new RedisStore({ hashIds: "sha256" });

// Whose a session is.
const users: RedisStoreOptions["user"][] = [
  "a.b",
  () => 7,
  () => BigInt(7),
  () => null,
  () => "ada",
];
for (const user of users) new RedisStore({ user, maxSessions: (user) => user.length });
new RedisStore({ user: (sess) => sess.cookie.domain, maxSessions: Number.POSITIVE_INFINITY });
new RedisStore({ events: true });
new RedisStore({ events: {} });
// @ts-expect-error: a user is a string or a number
new RedisStore({ user: () => ({ name: "ada" }) });
// @ts-expect-error: and it is known at once
new RedisStore({ user: async () => "ada" });
// @ts-expect-error: a path is a string
new RedisStore({ user: ["passport", "user"] });
// @ts-expect-error: so many sessions are a number
new RedisStore({ user: "userId", maxSessions: "3" });
// @ts-expect-error: an interval has a name
new RedisStore({ events: 1000 });

// @ts-expect-error: a prefix is a string
new RedisStore({ prefix: 5 });
// @ts-expect-error: there is no such option
new RedisStore({ tll: 5 });
// @ts-expect-error: nor is there beside a client
new RedisStore({ client: null, logErrors: true });
// @ts-expect-error: the options are an object
new RedisStore("redis://localhost");
// @ts-expect-error: null is no object
new RedisStore(null);
// @ts-expect-error: connections of the store's own know no pfx
new RedisStore({ tls: { pfx: "" } });
// @ts-expect-error: nor so old a version
new RedisStore({ tls: { minVersion: "TLSv1" } });
// @ts-expect-error: a ttl function returns a time
new RedisStore({ ttl: () => ({}) });
// @ts-expect-error: and it is not asynchronous
new RedisStore({ ttl: async () => 5 });
// @ts-expect-error: a time is no Date
new RedisStore({ ttl: new Date() });
// @ts-expect-error: a flag is no string
new RedisStore({ disableTTL: "false" });
// @ts-expect-error: a serializer has both methods
new RedisStore({ serializer: { parse: JSON.parse } });
// @ts-expect-error: and gives a session
new RedisStore({ serializer: { parse: () => 5, stringify: () => "" } });
// @ts-expect-error: a serializer makes text or bytes
new RedisStore({ serializer: { parse: JSON.parse, stringify: () => 5 } });
// @ts-expect-error: a time is a number
new RedisStore({ commandTimeout: "5000" });
// @ts-expect-error: it is "error" or "skip"
new RedisStore({ onUnavailable: "wait" });
// @ts-expect-error: it is "last", "detect" or "merge"
new RedisStore({ concurrency: "lock" });
// @ts-expect-error: a cluster is a list
new RedisStore({ cluster: "redis://a" });
// @ts-expect-error: a server has a host
new RedisStore({ cluster: [{ port: 6379 }] });
// @ts-expect-error: a sentinel has nodes
new RedisStore({ sentinel: { name: "mymaster" } });
// @ts-expect-error: a database is a number
new RedisStore({ database: "3" });
