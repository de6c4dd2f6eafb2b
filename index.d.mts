import RedisStore = require("./index.js");

export type Callback<Data, T = unknown> = RedisStore.Callback<Data, T>;
export type RedisStoreOptions = RedisStore.RedisStoreOptions;
export type Serializer = RedisStore.Serializer;
export type StoredSession = RedisStore.StoredSession;
export type Ttl = RedisStore.Ttl;
export import RedisStoreError = RedisStore.RedisStoreError;
export { RedisStore, RedisStore as default };
