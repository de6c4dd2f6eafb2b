// Which clients are accepted without a cast, and what is none.
import type { EventEmitter } from "node:events";
import type { Agent } from "node:http";
import { jest } from "@jest/globals";
import { RedisStore } from "connect-redis-rs";
import { Cluster, Redis } from "ioredis";
import { Cluster as Cluster6, Redis as Redis6 } from "ioredis-6";
import IoredisMock from "ioredis-mock";
import { Redis as Valkey, Cluster as ValkeyCluster } from "iovalkey";
import * as redis6 from "redis";
import * as redis4 from "redis-4";
import * as redis5 from "redis-5";
import type { RedisClient as RedisClient3 } from "types-of-redis-3";
import { vi } from "vitest";

// node-redis
new RedisStore({ client: redis4.createClient() });
new RedisStore({ client: redis4.createClient({ legacyMode: true }) });
new RedisStore({ client: redis4.createCluster({ rootNodes: [] }) });
new RedisStore({ client: redis5.createClient() });
new RedisStore({ client: redis5.createClient().legacy() });
new RedisStore({ client: redis5.createCluster({ rootNodes: [] }) });
new RedisStore({ client: redis5.createClientPool() });
new RedisStore({ client: redis5.createSentinel({ name: "m", sentinelRootNodes: [] }) });
new RedisStore({ client: redis6.createClient() });
new RedisStore({ client: redis6.createClient().legacy() });
new RedisStore({ client: redis6.createCluster({ rootNodes: [] }) });
new RedisStore({ client: redis6.createClientPool() });
new RedisStore({ client: redis6.createSentinel({ name: "m", sentinelRootNodes: [] }) });
new RedisStore({ client: redis6.createClient({ RESP: 3, keyPrefix: "a:" }) });
declare const ofNodeRedis: {
  3: RedisClient3;
  4: redis4.RedisClientType | redis4.RedisClusterType;
  5: redis5.RedisClientType | redis5.RedisClusterType;
  6: redis6.RedisClientType | redis6.RedisClusterType;
};
for (const client of Object.values(ofNodeRedis)) new RedisStore({ client });
/** A client of any modules, functions and scripts. */
export const withAny = (client: ReturnType<typeof redis6.createClient>) =>
  new RedisStore({ client });

// ioredis
new RedisStore({ client: new Redis() });
new RedisStore({ client: new Cluster(["redis://a"]) });
new RedisStore({ client: new Redis.Cluster([]) });
new RedisStore({ client: new Redis6() });
new RedisStore({ client: new Cluster6([]) });
new RedisStore({ client: new Valkey() });
new RedisStore({ client: new ValkeyCluster([]) });
new RedisStore({ client: new IoredisMock() });
new RedisStore({ client: new IoredisMock.Cluster([]) });
class Traced extends Redis {
  traces: string[] = [];
}
new RedisStore({ client: new Traced() });
declare const either: Redis | Cluster | redis6.RedisClientType | undefined;
new RedisStore({ client: either });

// Wrapped, faked and untyped.
new RedisStore({ client: new Proxy(redis6.createClient(), {}) });
declare const untyped: any;
new RedisStore({ client: untyped });
const map = new Map<string, string>();
new RedisStore({
  client: {
    get: async (key: string) => map.get(key) ?? null,
    set: async (key: string, value: string) => map.set(key, value) && "OK",
    expire: async (_key: string, _seconds: number) => 1,
    del: async (keys: string[]) => keys.filter((key) => map.delete(key)).length,
    mGet: async (keys: string[]) => keys.map((key) => map.get(key) ?? null),
    async *scanIterator() {
      yield [...map.keys()];
    },
    aMethodOfItsOwn() {},
  },
});
interface Cache {
  get(key: string): Promise<string | null>;
  set(key: string, value: string, options?: { expiration: { type: "EX"; value: number } }): unknown;
  expire(key: string, seconds: number): Promise<number>;
  del(keys: string[]): Promise<number>;
  scanIterator(options: { MATCH: string; COUNT: number }): AsyncIterable<string[]>;
}
declare const cache: Cache;
new RedisStore({ client: cache });
class WithCallbacks {
  get(_key: string, _done: (error: Error | null, reply: string | null) => void): boolean {
    return true;
  }
  set(_key: string, _value: string, _done: (error: Error | null) => void): void {}
  del(_keys: string[], _done: (error: Error | null) => void): void {}
  mget(_keys: string[], _done: (error: Error | null, replies: string[]) => void): void {}
  readonly #open = true;
  get isOpen() {
    return this.#open;
  }
}
new RedisStore({ client: new WithCallbacks() });
new RedisStore({
  client: { get: jest.fn(), set: jest.fn(), expire: jest.fn(), del: jest.fn(), mGet: jest.fn() },
});
new RedisStore({
  client: { get: vi.fn(), set: vi.fn(), expire: vi.fn(), del: vi.fn(), scanIterator: vi.fn() },
});
declare const mocked: jest.Mocked<redis6.RedisClientType>;
new RedisStore({ client: mocked });

// No clients. The constructor refuses them, too.
// @ts-expect-error: a server is given as url
new RedisStore({ client: "redis://localhost" });
// @ts-expect-error
new RedisStore({ client: {} });
// @ts-expect-error
new RedisStore({ client: 6379 });
// @ts-expect-error
new RedisStore({ client: true });
// @ts-expect-error: options of a client are no client
new RedisStore({ client: { host: "localhost", port: 6379 } });
// @ts-expect-error: it has to be called
new RedisStore({ client: redis6.createClient });
// @ts-expect-error: it has to be made
new RedisStore({ client: Redis });
// @ts-expect-error: it has to be awaited
new RedisStore({ client: redis6.createClient().connect() });
// @ts-expect-error: it has to be awaited
new RedisStore({ client: Promise.resolve(new Redis()) });
declare const others: {
  agent: Agent;
  emitter: EventEmitter;
  map: Map<string, string>;
  mongo: { connect(): Promise<unknown>; db(name?: string): object; close(): Promise<void> };
  memcached: { get(key: string): unknown; set(key: string): unknown; del(key: string): unknown };
  unknown: unknown;
};
// @ts-expect-error
new RedisStore({ client: others.agent });
// @ts-expect-error
new RedisStore({ client: others.emitter });
// @ts-expect-error
new RedisStore({ client: others.map });
// @ts-expect-error
new RedisStore({ client: others.mongo });
// @ts-expect-error: nothing tells how it is asked
new RedisStore({ client: others.memcached });
// @ts-expect-error
new RedisStore({ client: others.unknown });
// @ts-expect-error: it has no expire, and would be asked for it
new RedisStore({ client: { get: vi.fn(), set: vi.fn(), del: vi.fn(), mGet: vi.fn() } });
// connect-redis's four calls; and what its methods do not tell.
new RedisStore({ client: { get: vi.fn(), set: vi.fn(), del: vi.fn(), expire: vi.fn() } });
new RedisStore({
  client: { get: vi.fn(), set: vi.fn(), del: vi.fn(), expire: vi.fn() },
  clientType: "ioredis",
});
// @ts-expect-error: there is no such kind
new RedisStore({ client: cache, clientType: "redis" });
// @ts-expect-error: get is no method
new RedisStore({ client: { ...cache, get: "value" } });
// @ts-expect-error: a store is none
new RedisStore({ client: new RedisStore() });
