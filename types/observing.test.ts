// What a store tells of itself, the admin page, and the adapter for Fastify.
import { tracingChannel } from "node:diagnostics_channel";
import {
  type CallMessage,
  type ConflictMessage,
  type ConnectMessage,
  type Histogram,
  type Metrics,
  RedisStore,
} from "connect-redis-rs";
import { type AdminOptions, type AuditEntry, admin } from "connect-redis-rs/admin";
import { type FastifyStore, fastifyStore } from "connect-redis-rs/fastify";

const store = new RedisStore();

const metrics: Metrics = store.metrics();
export const numbers: number[] = [
  metrics.calls.get.hit,
  metrics.calls.set.merged,
  metrics.calls.touch.skipped,
  metrics.calls.destroy.ok,
  metrics.calls.update.error,
  metrics.waiting.bytes,
  metrics.batches,
  metrics.errors.ETIMEDOUT ?? 0,
];
export const histogram: Histogram = metrics.latency.redis;
// @ts-expect-error: get has no such outcome
export const none = metrics.calls.get.discarded;

export const took: Promise<number> = store.ping();
store.ping((error, ms) => error ?? ms.toFixed());

tracingChannel<CallMessage>("connect-redis-rs:call").subscribe({
  start: ({ operation, serverAddress }) => [operation.length, serverAddress?.length],
  end() {},
  asyncStart() {},
  asyncEnd: ({ outcome, bytes, statusCode, error }) => [outcome, bytes, statusCode, error?.message],
  error() {},
});
export const connecting = ({ serverPort, error }: ConnectMessage) => [serverPort, error];
export const conflicting = ({ operation, outcome }: ConflictMessage) => [operation, outcome];

const options: AdminOptions = {
  authorize: async (req) => req.session?.user === "root",
  write: (req) => req.session?.user === "root",
  show: ["user"],
  secret: new Uint8Array(32),
};
export const middleware = admin(store, options);
admin(store, { authorize: () => true, write: true, secret: "sixteen or more bytes" });
// @ts-expect-error: who may see it must be said
admin(store, {});
// @ts-expect-error: there is no such option
admin(store, { authorize: () => true, authorise: true });
// @ts-expect-error: a store must be given
admin({}, { authorize: () => true });
store.on("audit", ({ action, handle, user, destroyed, reason }: AuditEntry, req) => {
  console.log(action, handle, user, destroyed, reason, req.url);
});

const adapter: FastifyStore = fastifyStore(store);
adapter.get("sid", (_error, session) => session?.user);
adapter.set("sid", { user: "Ada" }, (_error) => {});
adapter.destroy("sid", () => {});
export const found: Promise<unknown> = adapter.get("sid");
export const same: RedisStore = adapter.store;
// @ts-expect-error: it takes a RedisStore
fastifyStore({ get() {} });
