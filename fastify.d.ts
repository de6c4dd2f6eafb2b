import type RedisStore = require("./index.js");

/**
 * Makes a store for the option `store` of @fastify/session of a RedisStore, and gives Fastify what an
 * Express app gets: a session that was destroyed while a request had it loaded stays destroyed; one that is
 * unmodified is touched, with the options `touchAfter` and `touch`, and not written again; what else the
 * store does with a loaded session.
 *
 * @example
 * app.register(fastifySession, { store: fastifyStore(new RedisStore()), secret: "…" });
 * @throws {TypeError} with the code `ERR_INVALID_ARG_VALUE` if `store` is no such store
 */
export declare function fastifyStore(store: RedisStore): FastifyStore;

/** A store as @fastify/session takes it. Without a callback, each method returns a promise. */
export interface FastifyStore {
  /** The store that was given: for `close`, its other methods and its events. */
  readonly store: RedisStore;
  /** Calls back with the session, or with `null` if there is none. */
  get(sid: string, callback: (error: any, session?: any) => void): void;
  /** The session, or `null` if there is none. */
  get(sid: string): Promise<any>;
  /** Stores a session; touches one that was loaded and is unmodified. */
  set(sid: string, session: object, callback: (error?: any) => void): void;
  /** The same. */
  set(sid: string, session: object): Promise<null>;
  /** Deletes a session; no error if there is none. */
  destroy(sid: string, callback: (error?: any) => void): void;
  /** The same. */
  destroy(sid: string): Promise<null>;
  /** As the store's own: all sessions, each with its sid as `id`. */
  all(callback?: RedisStore.Callback): Promise<any>;
  /** As the store's own: the sids of all sessions. */
  ids(callback?: RedisStore.Callback): Promise<any>;
  /** As the store's own: the number of sessions. */
  length(callback?: RedisStore.Callback): Promise<any>;
  /** As the store's own: deletes all sessions. */
  clear(callback?: RedisStore.Callback): Promise<any>;
}
