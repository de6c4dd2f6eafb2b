/// <reference lib="esnext.disposable" />
import { type SessionData, Store } from "express-session";
// connect-redis has the type of its client from there. In an app without node-redis it is `any`.
// @ts-ignore
import type { RedisClientType, RedisClusterType } from "redis";
import type { AuditEntry } from "./admin.js";

/** The type of the module: `require("connect-redis-rs")` is the class, and holds all exports. */
export = RedisStore;

/**
 * Returns the class for an express-session, as the module of connect-redis 6 and older does:
 * `require("connect-redis-rs")(session)`. For the express-session that this package finds itself,
 * that is this very class.
 * @param session express-session of any version; or connect 1, which had the sessions itself
 * @throws {TypeError} with the code `ERR_INVALID_ARG_VALUE` for anything else
 */
declare function RedisStore(
  session: RedisStore.ExpressSession | { session: RedisStore.ExpressSession },
): typeof RedisStore;

/**
 * Keeps express-session's sessions in Redis, as connect-redis does: each as JSON text at the key
 * `prefix` + sid, with an expiry.
 *
 * Every method that asks Redis returns a promise, and calls a callback if one is given. If the call
 * fails, the promise rejects with a {@link RedisStore.RedisStoreError | RedisStoreError}; after
 * `commandTimeout`, with its code `ETIMEDOUT`. Every call gets an answer. With a callback, the
 * promise is of what the callback returns, and does not reject if the call fails.
 *
 * Declare once what your sessions hold, and the methods take and return that type:
 *
 * ```ts
 * declare module "express-session" {
 *   interface SessionData {
 *     user: string;
 *   }
 * }
 * ```
 *
 * @example
 * app.use(session({ store: new RedisStore({ url: "redis://localhost:6379" }), secret: "…" }));
 *
 * @example With a client of your own
 * const client = createClient();
 * await client.connect();
 * app.use(session({ store: new RedisStore({ client }), secret: "…" }));
 */
declare class RedisStore extends Store {
  /**
   * Checks the options, and starts to connect in the background; without options, to
   * `redis://localhost:6379`. It does not wait for Redis. An idle store does not keep the process
   * alive.
   *
   * An option that does not exist, or does nothing beside a `client`, causes a warning
   * (`CONNECT_REDIS_RS_OPTION`).
   * @throws {TypeError} with the code `ERR_INVALID_ARG_VALUE` if an option has the wrong type, or
   *   if options mean a server and none says where it is. The message names the option, and what
   *   was given.
   */
  constructor(options?: RedisStore.RedisStoreOptions);
  /**
   * The same. Apps take the type of the options from this signature, by `ConstructorParameters`.
   */
  constructor(options: RedisStore.RedisStoreOptions);

  /**
   * The option `client`, as it was given; undefined if there is none. Its type is that of
   * connect-redis, also if it is another client. The store never closes it.
   */
  client: RedisClientType | RedisClusterType;
  /**
   * What keys begin with. It may be changed; as with all fields, the next call uses the new value.
   */
  prefix: string;
  /**
   * How many keys a step of a scan looks at: see {@link RedisStore.RedisStoreOptions.scanCount}.
   */
  scanCount: number;
  /**
   * Makes text of sessions, and sessions of text: see
   * {@link RedisStore.RedisStoreOptions.serializer}.
   */
  serializer: RedisStore.Serializer<string>;
  /** The option `ttl`: seconds, or a function of the session that returns seconds. */
  ttl: number | ((session: SessionData) => number);
  /** Whether keys are stored without an expiry. */
  disableTTL: boolean;
  /** Whether `touch` does nothing. */
  disableTouch: boolean;

  /**
   * The state of the connection that carries the commands:
   * - `connecting`: there has been no connection yet; calls wait for it
   * - `ready`: there is a connection
   * - `reconnecting`: the connection was lost; calls wait for the next one
   * - `closed`: `close()` was called, and the store stays closed; or the app's client is closed,
   *   and the store is closed for as long as that
   */
  readonly status: "connecting" | "ready" | "reconnecting" | "closed";

  /**
   * Whose connection carries the commands: `native` is the store's own, `client` that of the option
   * `client`.
   *
   * It may change while the store lives. It becomes `client` if a connection of the store's own is
   * not safe, because the client has moved to another database or user, or not possible; then the
   * store tries again after five seconds.
   */
  readonly transport: "native" | "client";

  /**
   * Calls the callback with the session, or with `null` if there is none. Returns a promise of what
   * the callback returns.
   */
  get(sid: string, callback: RedisStore.Callback | undefined): Promise<any>;
  /**
   * Returns a session as it is stored (GET, PTTL), or `null` if there is none, as connect-redis
   * does.
   *
   * Dates are strings, as in JSON: those of the app, and `cookie.expires`, of which express-session
   * makes a Date in `req.session`. If the session's expiry follows its cookie, `cookie.expires` is
   * the time at which the key really expires, also after a `touch`.
   *
   * Rejects with a `SyntaxError` if the text is not JSON, or with what `serializer.parse` throws;
   * with the code `WRONGTYPE` if the key does not hold a string; with `ESEALED` if what is stored does
   * not open (`encryption`, `compression`).
   * @typeParam Found what the caller knows to be stored, as in `get<MySession | null>(sid)`
   */
  get<Found extends object | null | undefined = RedisStore.StoredData | null>(
    sid: string,
    callback?: RedisStore.Callback,
  ): Promise<Found>;
  /** The type of a mock of `get`: it may return anything, as with connect-redis. */
  get(sid: string, callback?: RedisStore.Callback): Promise<any>;

  /**
   * Stores a session until its `cookie.expires`, or for `ttl` seconds if that is missing (SET with
   * PX). Deletes the session if that time is over (DEL), as connect-redis does. Returns `null`.
   *
   * A session that express-session loaded from this store (see `createSession`) is written only if
   * its key still exists (SET with XX). If it does not, nothing is written, the call succeeds, and
   * the store emits `discarded`.
   *
   * With the option `concurrency`, a loaded session is compared with what is stored; the store emits
   * what became of it (`merged`, `overwritten`, `unmerged`). Rejects with `ECONFLICT` if other
   * requests went on saving the session for `commandTimeout`; nothing is written then. Rejects with
   * `ECONNRESET` if the connection broke and others have saved since: then it is not known whether
   * this save was carried out.
   *
   * Rejects with a `TypeError` of the code `ERR_INVALID_ARG_VALUE` if `cookie.expires` or `ttl` is
   * not a time; nothing is stored or deleted then. Rejects with what `ttl` or
   * `serializer.stringify` throws, with the code `OOM` if Redis is full, and with `ENOBUFS` if too
   * much waits.
   */
  set(
    sid: string,
    session: SessionData | RedisStore.StoredData,
    callback?: RedisStore.Callback,
  ): Promise<any>;

  /**
   * Moves a session's expiry to where `set` would put it (PEXPIRE; PERSIST without an expiry; DEL
   * if that time is over). Stores nothing, as in connect-redis. Returns `null`, also if there is no
   * session.
   *
   * Does nothing with `disableTouch` or `disableTTL`. Rejects with a `TypeError` for what is not a
   * time, as `set` does.
   */
  touch(
    sid: string,
    session: SessionData | RedisStore.StoredData,
    callback?: RedisStore.Callback,
  ): Promise<any>;

  /**
   * Makes `req.session` of what `get` returned, or of data of the app's own, as express-session's
   * method of this name does.
   *
   * If this store's `get` returned the data, the session counts as loaded: it is saved only as long
   * as its key exists. If the cookie is broken, the session gets what is usable of it; if the data
   * is not an object, the request gets a new session.
   */
  createSession(
    req: Parameters<Store["createSession"]>[0],
    session: SessionData | RedisStore.StoredData,
  ): ReturnType<Store["createSession"]>;

  /**
   * Changes a session without losing another's change: reads it (GET), calls `change` with it, and
   * writes it if nobody has written it meanwhile (SET with IFEQ, else a script); if somebody has,
   * does all of this again. Returns `true`; or `false` if there is no session, or it was destroyed
   * meanwhile, and nothing is written then. It does not need the option `concurrency`.
   *
   * `change` gets the session as `get` returns it, and changes it in place; it may be async. It may
   * be called several times, so it must have no other effect. The session expires as it would have
   * without the call, unless `change` sets another `cookie.expires`. `req.session` of a request does
   * not change.
   *
   * It tries for `commandTimeout`. Rejects with what `change` throws, with `ETIMEDOUT` if `change` has
   * not settled by then, with `ECONFLICT` if others went on saving the session, with `ECORRUPT` if
   * what is stored is not an object, with `NOPERM` without the rights to compare
   * (docs/operating.md), with `ECLIENT` if the app's client carries the commands, and with a
   * `TypeError` of the code `ERR_INVALID_ARG_VALUE` if `change` is not a function; nothing is written
   * then. Rejects with `ECONNRESET` if the connection broke under the write, and with `ETIMEDOUT` if
   * Redis does not answer: then it is not known whether the session was written.
   * @typeParam Data what the caller knows to be stored, as in `update<MySession>(sid, …)`
   * @example
   * await store.update(req.sessionID, (session) => {
   *   session.views = (session.views ?? 0) + 1;
   * });
   */
  update<Data extends object = RedisStore.StoredData>(
    sid: string,
    change: (session: Data) => void | Promise<void>,
  ): Promise<boolean>;

  /** Calls the callback with the answer. Returns a promise of what the callback returns. */
  rotate(
    req: Parameters<Store["createSession"]>[0],
    options: RedisStore.RotateOptions | null | undefined,
    callback: ((error: any, isRotated: boolean) => any) | undefined,
  ): Promise<any>;
  /** The same, without options. */
  rotate(
    req: Parameters<Store["createSession"]>[0],
    callback: ((error: any, isRotated: boolean) => any) | undefined,
  ): Promise<any>;
  /**
   * Gives the session of a request a new sid, as an app should at login (OWASP): `req.session` is a
   * new session with the same data, and the response sets its cookie. The new session is written
   * before the old one ends (SET, then DEL; with `grace` PTTL and PEXPIRE). So the data is never
   * missing, and what is set after the call is never stored under the old sid.
   *
   * Returns `true`; or `false` if the session was destroyed or rotated meanwhile. Then `req.session` is
   * as it was, and `req.sessionID` is undefined: nothing of it is saved, and no cookie is sent, because
   * that would take the place of a cookie that another rotation has sent. `req.session.regenerate()`
   * gives the request a new session. If the call rejects, `req.session` and its sid are as they were.
   *
   * Rejects with a `TypeError` of the code `ERR_INVALID_ARG_VALUE` if the request has no session, if
   * the store is not in use by express-session, or if `grace` is not a time; else with what `set`
   * rejects with.
   * @example
   * await store.rotate(req);
   * req.session.user = user;
   */
  rotate(
    req: Parameters<Store["createSession"]>[0],
    options?: RedisStore.RotateOptions | null,
  ): Promise<boolean>;

  /**
   * Deletes a session (DEL). Returns `null`, also if there is no session. With `hashIds`, it takes a
   * handle of `ids()` or `all()`, too.
   */
  destroy(sid: string, callback?: RedisStore.Callback): Promise<any>;

  /**
   * Deletes all sessions of the prefix, in small steps (SCAN, UNLINK). Keys of other types stay.
   * Returns `null`. Each step may take `commandTimeout`.
   */
  clear(callback?: RedisStore.Callback): Promise<any>;

  /**
   * Calls the callback with the number of sessions. Returns a promise of what the callback returns.
   */
  length(callback: ((error: any, count: number) => any) | undefined): Promise<any>;
  /**
   * Returns the number of sessions of the prefix (SCAN); 0 if there is none. Each step may take
   * `commandTimeout`.
   */
  length(callback?: RedisStore.Callback): Promise<number>;

  /** Calls the callback with the sids. Returns a promise of what the callback returns. */
  ids(callback: ((error: any, sids: string[]) => any) | undefined): Promise<any>;
  /**
   * Returns the sids of all sessions of the prefix (SCAN), in no order; an empty array if there is
   * none. With `hashIds` these are handles. Each step may take `commandTimeout`.
   */
  ids(callback?: RedisStore.Callback): Promise<string[]>;

  /** Calls the callback with the sessions. Returns a promise of what the callback returns. */
  all(callback: RedisStore.Callback | undefined): Promise<any>;
  /**
   * Returns all sessions of the prefix, each with its sid as `id` (SCAN, MGET, PTTL), in no order;
   * an empty array if there is none. A record that is not a session is left out, and the store
   * emits `corrupt`. Each step may take `commandTimeout`.
   * @typeParam Data what the caller knows to be stored, as in `all<MySession>()`
   */
  all<Data extends SessionData | RedisStore.StoredData = RedisStore.StoredData>(
    callback?: RedisStore.Callback,
  ): Promise<RedisStore.StoredSession<Data>[]>;

  /** Calls the callback with the number of records. Returns a promise of what the callback returns. */
  rewrite(callback: ((error: any, count: number) => any) | undefined): Promise<any>;
  /**
   * Brings every record of the prefix to the form in which the store writes it: encrypted with the first
   * key, compressed, plain, or at the key that `hashIds` says (SCAN, MGET, EVAL; Redis 6). Returns the
   * number of records that it wrote. A record keeps its expiry; one that is saved meanwhile keeps the
   * save. A record that does not open stays, and the store emits `corrupt`. Each step may take
   * `commandTimeout`.
   */
  rewrite(callback?: RedisStore.Callback): Promise<number>;

  /** Calls the callback with the sessions. Returns a promise of what the callback returns. */
  sessionsOf(
    user: RedisStore.UserId,
    callback: ((error: any, sessions: RedisStore.UserSession[]) => any) | undefined,
  ): Promise<any>;
  /**
   * Returns the sessions of a user, the one used last first; an empty array if there is none. Each is
   * read (ZSCAN, GET, PTTL), so the list has no session that has ended or now has another user.
   *
   * It has the sessions that were saved since the option `user` is given, and those that
   * {@link RedisStore.reindex | reindex} has added. One user with 100,000 sessions holds up neither
   * Redis nor the event loop, but the array holds them all.
   *
   * Rejects with a `TypeError` of the code `ERR_INVALID_ARG_VALUE` without the option `user`, and if
   * the user is not one: nobody, NaN, an object. Each step may take `commandTimeout`.
   * @typeParam Data what the caller knows to be stored, as in `sessionsOf<MySession>(user)`
   */
  sessionsOf<Data extends object = RedisStore.StoredData>(
    user: RedisStore.UserId,
    callback?: RedisStore.Callback,
  ): Promise<RedisStore.UserSession<Data>[]>;

  /** Calls the callback with the number. Returns a promise of what the callback returns. */
  countOf(
    user: RedisStore.UserId,
    callback: ((error: any, count: number) => any) | undefined,
  ): Promise<any>;
  /**
   * Returns how many sessions a user has; 0 if there is none. It reads them, as
   * {@link RedisStore.sessionsOf | sessionsOf} does, and rejects as that does.
   */
  countOf(user: RedisStore.UserId, callback?: RedisStore.Callback): Promise<number>;

  /** Calls the callback with the number. Returns a promise of what the callback returns. */
  destroyAllOf(
    user: RedisStore.UserId,
    options: RedisStore.DestroyAllOptions | null | undefined,
    callback: ((error: any, count: number) => any) | undefined,
  ): Promise<any>;
  /** The same, without options. */
  destroyAllOf(
    user: RedisStore.UserId,
    callback: ((error: any, count: number) => any) | undefined,
  ): Promise<any>;
  /**
   * Destroys all sessions that a user has at the call: "sign out everywhere" (ZSCAN, GET, DEL, ZREM).
   * Returns how many there were; 0 if there was none. Once it has resolved, nobody can read these
   * sessions, and a request that has loaded one cannot save it any more.
   *
   * A session in which the user signs in meanwhile may stay. If the call rejects, some of the sessions
   * may be destroyed; call it again.
   *
   * Rejects as {@link RedisStore.sessionsOf | sessionsOf} does: `undefined`, `null` and `""` are a
   * `TypeError`, and never everybody.
   * @example Sign out everywhere else
   * await store.destroyAllOf(req.session.userId, { except: req.sessionID });
   */
  destroyAllOf(
    user: RedisStore.UserId,
    options?: RedisStore.DestroyAllOptions | null,
  ): Promise<number>;

  /** Calls the callback with the number. Returns a promise of what the callback returns. */
  reindex(callback: ((error: any, count: number) => any) | undefined): Promise<any>;
  /**
   * Adds all stored sessions to their users' lists (SCAN, GET, PTTL), for those that were stored before
   * the option `user` was given, or that connect-redis has saved. Returns how many have a user. It may
   * run beside everything else, and again. Each step may take `commandTimeout`.
   *
   * Rejects with a `TypeError` of the code `ERR_INVALID_ARG_VALUE` without the option `user`, and with
   * `hashIds`, because keys do not hold the sids then. (With `hashIds: "read"` it adds those whose keys
   * do.)
   */
  reindex(callback?: RedisStore.Callback): Promise<number>;

  /**
   * What the store has counted since it was made, as plain numbers, at once. Nothing of a session is in
   * it.
   */
  metrics(): RedisStore.Metrics;

  /** Calls the callback with the milliseconds. Returns a promise of what the callback returns. */
  ping(callback: ((error: any, ms: number) => any) | undefined): Promise<any>;
  /**
   * Resolves when Redis has answered (PING; GET through a client), in a cluster every master, to the
   * milliseconds it took. Rejects as every call does: within `commandTimeout`.
   */
  ping(callback?: RedisStore.Callback): Promise<number>;

  /**
   * Closes the store's connection; never a client. Pending and later calls reject with the code
   * `ECLOSED`. Returns `null`. It may be called again.
   */
  close(callback?: RedisStore.Callback): Promise<any>;

  /** Closes the store at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void>;

  /** There is a connection, for the first time or again. */
  on(event: "ready", listener: () => void): this;
  /** The connection was lost, and the store makes another. */
  on(event: "reconnecting", listener: () => void): this;
  /**
   * Redis is away (`disconnect`), or back (`connect`); only with `onUnavailable: "skip"`.
   * express-session listens to these events, and goes on without sessions between them.
   */
  on(event: "disconnect" | "connect", listener: () => void): this;
  /** The store is closed. */
  on(event: "end", listener: () => void): this;
  /**
   * A loaded session was not saved, because it was destroyed or has expired meanwhile. The sid is a
   * secret: do not log it.
   */
  on(event: "discarded", listener: (sid: string) => void): this;
  /**
   * A save found that another request had saved the session, and kept its changes. Only with
   * `concurrency: "merge"`. The sid is a secret: do not log it.
   */
  on(event: "merged", listener: (sid: string) => void): this;
  /**
   * A save has undone what another request had set, changed or deleted: these top-level members of
   * the session. Only with `concurrency: "detect"`. The sid is a secret: do not log it.
   */
  on(event: "overwritten", listener: (sid: string, names: string[]) => void): this;
  /**
   * A save could not be compared with what is stored, and was written as it is: the Redis user lacks
   * the rights, or what is stored is not an object. Only with `concurrency`. The sid is a secret: do
   * not log it.
   */
  on(event: "unmerged", listener: (sid: string) => void): this;
  /**
   * A `touch` in the background failed: the session expires as if the request had not come. Only with
   * `touch: "background"`. The sid is a secret: do not log it.
   */
  on(event: "untouched", listener: (sid: string, error: Error) => void): this;
  /**
   * `all()` left out a record that is not a session, or `all()` or `rewrite()` one that does not open
   * (code `ESEALED`). The sid is a secret: do not log it.
   */
  on(event: "corrupt", listener: (sid: string, error: Error) => void): this;
  /**
   * The page of `connect-redis-rs/admin` was asked for something: who asked is to be seen in the
   * request.
   */
  on(event: "audit", listener: (entry: AuditEntry, req: any) => void): this;
  /**
   * A new session was stored, or a session got another sid (`regenerate`, `rotate`). Only with `events`,
   * in the process that has stored it. The sid is a secret: do not log it.
   */
  on(event: "created", listener: (sid: string) => void): this;
  /**
   * A session was destroyed by `destroy`, `destroyAllOf`, `rotate` or `maxSessions`; not by `clear`. Only
   * with `events`, in the process that has destroyed it. The sid is a secret: do not log it.
   */
  on(event: "destroyed", listener: (sid: string) => void): this;
  /**
   * A session has expired, or Redis has it no more: it was evicted, or deleted by another program. Only
   * with `events`, in one of the processes, at most once, within `interval` and the time of a look. Its
   * data is gone. The sid is a secret: do not log it.
   */
  on(event: "expired", listener: (sid: string) => void): this;
  /** Any other event; a subclass may have its own. */
  on(event: string | symbol, listener: (...args: any[]) => void): this;
}

declare namespace RedisStore {
  /** The part of express-session's module that shows what it is. */
  export interface ExpressSession {
    /** The class that stores extend. */
    Store: {
      /** What stores inherit. */
      prototype: object;
    };
  }

  /**
   * Gets the error, or `null` and the call's answer. A callback that throws is called once more,
   * with its own error, as with connect-redis. Its type is that of connect-redis, so that a
   * callback may declare its data as it likes.
   */
  export type Callback = (error?: any, data?: any) => any;

  /**
   * Seconds, or a function of the session that returns seconds. A string or a bigint must be a
   * decimal number. `Infinity` means no expiry.
   */
  export type Ttl = number | string | bigint | ((session: SessionData) => number | string | bigint);

  /** A session's cookie as it is in JSON. The members are express-session's. */
  export interface StoredCookie {
    /**
     * How long the cookie lives from when it was set, in milliseconds; null or missing if it ends
     * with the browser's session.
     */
    originalMaxAge?: number | null | undefined;
    /**
     * When the cookie expires, as `toISOString` writes it; null or missing if it ends with the
     * browser's session.
     */
    expires?: string | null | undefined;
    /** Whether the browser sends it over https only. */
    secure?: boolean | "auto" | null | undefined;
    /** Whether it is hidden from the scripts of a page. */
    httpOnly?: boolean | null | undefined;
    /** The hosts that it is for. */
    domain?: string | null | undefined;
    /** The paths that it is for. */
    path?: string | null | undefined;
    /** Whether the browser sends it with requests from other sites. */
    sameSite?: boolean | "lax" | "strict" | "none" | null | undefined;
    /** How important it is, if the browser must drop cookies. */
    priority?: "low" | "medium" | "high" | null | undefined;
    /** Whether each site that embeds the app has a cookie of its own. */
    partitioned?: boolean | null | undefined;
  }

  /**
   * A session as it is stored, with JSON as the serializer. With another serializer, name what it
   * returns, as in `get<MySession | null>(sid)`.
   */
  export type StoredData<Data extends object = SessionData> = {
    [Name in keyof Data]: Name extends "cookie" ? StoredCookie : AsJson<Data[Name]>;
  } & {
    /** The session's cookie. */
    cookie: StoredCookie;
  };

  /**
   * What JSON makes of a value: a string of a Date; of anything else that has a `toJSON`, what that
   * returns. JSON drops methods, but they stay in this type, so that a stored object may still be
   * passed for an instance of the app's class.
   */
  export type AsJson<Value> = 0 extends 1 & Value
    ? Value // any
    : Value extends string | number | boolean | null | undefined | ((...args: any[]) => any)
      ? Value
      : Value extends {
            /** Returns what JSON takes instead of the value. */
            toJSON(key?: any): infer Made;
          }
        ? Made
        : Value extends object
          ? { [Name in keyof Value]: AsJson<Value[Name]> }
          : Value;

  /** A session as `all()` returns it. */
  export type StoredSession<Data extends object = StoredData> = Data & {
    /** The session's sid. */
    id: string;
  };

  /**
   * Makes text or bytes of sessions, and sessions of these, as in connect-redis. `JSON` is a
   * serializer.
   */
  export interface Serializer<Stored extends string | Uint8Array = string | Uint8Array> {
    /**
     * Returns the session for what is stored; may be async. It gets a string, or a Buffer if the
     * stored bytes are not valid UTF-8. If it throws, `get` rejects with that error.
     */
    parse(stored: Stored extends string ? string : any): SessionData | Promise<SessionData>;
    /** Returns the text or the bytes for a session. If it throws, `set` rejects with that error. */
    stringify(session: SessionData): Stored;
  }

  /** A method of a client. What it takes and returns differs from library to library. */
  export type ClientMethod = (...args: any[]) => any;

  /** The methods that every client has. */
  export interface AnyClient {
    /** GET: returns the text, or null if there is no such key. */
    get: ClientMethod;
    /** SET, with EX if there is an expiry. */
    set: ClientMethod;
    /** DEL of a list of keys. */
    del: ClientMethod;
    /** Any other method. */
    [name: string]: any;
  }

  /**
   * A client that takes commands as connect-redis 9 and 10 give them: node-redis 4 to 6 (a client,
   * cluster, pool or sentinel), or a fake with the same methods.
   */
  export type NodeRedisLike = AnyClient & {
    /** EXPIRE, in seconds. */
    expire: ClientMethod;
  };

  /**
   * A client that has Redis's own names for its commands: ioredis 4 to 6 and iovalkey (a client or
   * cluster), clients with callbacks such as node-redis 3, and fakes of them.
   */
  export type IoredisLike = AnyClient &
    (
      | {
          /** MGET. */
          mget: ClientMethod;
        }
      | {
          /** SCAN, with a cursor. */
          scan: ClientMethod;
        }
    );

  /** A Redis client of any library, known by its methods. */
  export type RedisClient = NodeRedisLike | IoredisLike;

  /**
   * The options of a store. Each may be left out; `undefined` and `null` count as left out. The
   * options of connect-redis mean what they mean there. If an option has the wrong type, the
   * constructor throws a `TypeError` with the code `ERR_INVALID_ARG_VALUE`.
   */
  export interface RedisStoreOptions {
    /**
     * The server: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, or
     * `unix:///path/to/socket`. Read as node-redis reads it.
     *
     * The parameters `db`, `user`, `pass`, `family`, `connectionName`, `connectTimeout` and
     * `commandTimeout` are read as ioredis reads them. Some others of ioredis are ignored, because
     * they mean nothing here; any other is a `TypeError`.
     *
     * Only one of `url`, `cluster` and `sentinel` may be given; two are a `TypeError`. Beside a
     * `client` they do nothing.
     * @default "redis://localhost:6379"
     */
    url?: string | URL | null | undefined;
    /**
     * Some nodes of a Redis Cluster, at least one, instead of `url`. One of them must be up; the
     * store finds the others through it. A url may contain a user and a password, which are used
     * for all nodes.
     */
    cluster?: readonly Server[] | null | undefined;
    /** A master and its sentinels, instead of `url`. */
    sentinel?: SentinelOptions | null | undefined;
    /**
     * TLS: `true` for Node's defaults, or options. A `rediss://` url needs no `tls`. A `TypeError`:
     * `false` beside a `rediss://` url, TLS over a Unix socket, and `tls` without a `url`,
     * `cluster` or `sentinel`.
     */
    tls?: boolean | TlsOptions | null | undefined;
    /**
     * The user to log in as (AUTH), instead of the url's. An empty string counts as left out. Beside a
     * `client` it does nothing, with a warning; without one, and without a `url`, `cluster` or
     * `sentinel`, a `TypeError`.
     */
    username?: Credential | null | undefined;
    /**
     * The password to log in with (AUTH), instead of the url's. An empty string counts as left out.
     * Beside a `client`, and without a server, it is as with `username`. No message ever contains it.
     */
    password?: Credential | null | undefined;
    /**
     * The number of the database (SELECT), instead of the url's. A cluster has only database 0;
     * another is a `TypeError`.
     * @default 0
     */
    database?: number | null | undefined;
    /**
     * The app's own Redis client, connected or not, instead of `url`, as in connect-redis: of
     * node-redis 3 to 6, ioredis 4 to 6 or iovalkey; a cluster, pool or sentinel of theirs; or
     * anything with connect-redis's own calls (`get set expire del`, and for all sessions
     * `mGet scanIterator`).
     *
     * An object with fewer methods works for the calls that it has; cast it. A promise is a
     * `TypeError`: await it first. So is `undefined` or `null` without a `url`, `cluster` or
     * `sentinel`, because an app that gives a client does not mean localhost.
     */
    client?: RedisClient | null | undefined;
    /**
     * How to call a client whose methods do not show its kind. node-redis and ioredis clients do
     * not need it.
     * - `"node-redis"`: `set(key, value, { expiration: { type: "EX", value: seconds } })`, as
     *   connect-redis 9 and 10 do
     * - `"node-redis-4"`: `set(key, value, { EX: seconds })`
     * - `"ioredis"`: `set(key, value, "EX", seconds)`
     * - `"callbacks"`: the same with a callback
     */
    clientType?: "node-redis" | "node-redis-4" | "ioredis" | "callbacks" | null | undefined;
    /**
     * Whose connection carries the commands if there is a `client`.
     * - `"auto"`: a connection of the store's own to the client's server if that is safe, else the
     *   client's
     * - `"native"`: a connection of the store's own; a `TypeError` if the client does not show its
     *   server
     * - `"client"`: the client's; a `TypeError` if there is no client
     * @default "auto"
     */
    transport?: "auto" | "native" | "client" | null | undefined;
    /**
     * What keys begin with, as in connect-redis; may be empty. It is literal, also if it contains
     * `*` or `?`; in connect-redis it is a pattern for `length`, `ids`, `all` and `clear`.
     * @default "sess:"
     */
    prefix?: string | null | undefined;
    /**
     * How many keys a step of `length`, `ids`, `all` and `clear` looks at (COUNT of SCAN): a number
     * from 1. As in connect-redis, 0 counts as left out. If nobody sets it, the field is 100, and
     * the store may take larger steps, as large as Redis answers well within a millisecond.
     * @default 100
     */
    scanCount?: number | null | undefined;
    /**
     * Makes text of sessions, and sessions of text, as in connect-redis: `parse`, which may be
     * async, and `stringify`, which may return a Buffer.
     * @default JSON
     */
    serializer?: Serializer | null | undefined;
    /**
     * How many seconds a session without a `cookie.expires` is kept, as in connect-redis. Fractions
     * are rounded up; `Infinity` means no expiry; 0 counts as left out.
     *
     * A function decides for every session, whatever its cookie says; if it returns 0 or less, the
     * session is deleted. If it returns what is not a time, that `set` or `touch` rejects with a
     * `TypeError`, and nothing is stored or deleted.
     * @default 86400
     */
    ttl?: Ttl | null | undefined;
    /**
     * Stores keys without an expiry, and makes `touch` do nothing, as in connect-redis. A session
     * whose cookie has expired is deleted all the same.
     * @default false
     */
    disableTTL?: boolean | null | undefined;
    /**
     * Makes `touch` do nothing, as in connect-redis. A session then expires by its last save.
     * @default false
     */
    disableTouch?: boolean | null | undefined;
    /**
     * Sends a `touch` only if it moves the expiry by so many seconds or more, or brings it forward; so
     * a request that changes nothing sends GET and PTTL, and nothing else. A session lives at least
     * until the last request plus its idle time minus `touchAfter`. Counts for sessions that
     * express-session loaded from this store.
     * @default 0
     */
    touchAfter?: number | null | undefined;
    /**
     * - `"wait"`: a `touch` answers when Redis has answered; express-session ends the response then
     * - `"background"`: a `touch` answers at once, which saves a round trip a request; if it fails, the
     *   store emits `untouched`
     * @default "wait"
     */
    touch?: "wait" | "background" | null | undefined;
    /**
     * Keeps copies of sessions that were read, so that `get` need not ask Redis. Each write by whomever
     * drops the copy, because Redis tells (CLIENT TRACKING). Needs `touchAfter`, Redis 6 or later, and a
     * connection of the store's own; if Redis does not tell, the store warns once and reads each session.
     * @default false
     */
    cache?: boolean | CacheOptions | null | undefined;
    /**
     * How many seconds after its first save a session ends, from 1, however active it is. When that was
     * stands in the session, as the member `connect-redis-rs:created`, in milliseconds since the epoch.
     */
    lifetime?: number | null | undefined;
    /**
     * What a save does if another request has saved the session since this one loaded it.
     * - `"last"`: it overwrites the session, as in connect-redis; the other request's changes are lost
     * - `"detect"`: the same, and the store emits `overwritten` if changes were lost
     * - `"merge"`: it keeps the other request's changes, and the store emits `merged`. Members of the
     *   session count as a whole: what this request has set, changed or deleted is its own, all else is
     *   as stored. There is no deep merge; only `cookie` is merged member by member
     *
     * `"detect"` and `"merge"` need a connection of the store's own and JSON as the serializer: a
     * `TypeError` with `resurrect`, with another `serializer`, with `transport: "client"`, and with a
     * client that shows no server. If the client changes what a call does later, calls reject with the
     * code `ECLIENT`.
     * @default "last"
     */
    concurrency?: "last" | "detect" | "merge" | null | undefined;
    /**
     * Encrypts sessions in Redis. All processes must have the keys before one of them writes: see
     * docs/operating.md.
     */
    encryption?: EncryptionOptions | null | undefined;
    /**
     * Compresses sessions in Redis (zstd) if they become a tenth smaller by it; `true` for the defaults.
     * @default false
     */
    compression?: boolean | CompressionOptions | null | undefined;
    /**
     * Whether keys hold the SHA-256 of the sid instead of the sid, so that whoever reads Redis has no
     * ids of live sessions. `ids()` and `all()` return handles then, which `destroy` takes; a handle is
     * no sid: `get` returns null for it, and `set` rejects with a `TypeError`.
     * - `"migrate"`: also reads sessions at plain keys, and moves each when it is read or saved
     * - `"read"`: writes to plain keys, and reads and moves sessions at hashed ones
     * @default false
     */
    hashIds?: boolean | "migrate" | "read" | null | undefined;
    /**
     * Whose a session is: the path of a member of the session, such as `"userId"` or `"passport.user"`;
     * or a function of the session, which must be quick and always return the same. Users are strings,
     * finite numbers or bigints: 7 and "7" are the same user. `null`, `undefined` and `""` mean that the
     * session has none; a path through what is no object is none either. A save rejects with a
     * `TypeError` if the user is anything else.
     *
     * With it the store keeps a list of each user's sessions, for `sessionsOf`, `countOf`,
     * `destroyAllOf` and `maxSessions`, at keys that begin with `idx:` and the prefix. A save in which the
     * user appears or changes takes one round trip more; other saves send nothing more.
     *
     * It needs a connection of the store's own, as `concurrency` does: a `TypeError` with
     * `transport: "client"`, with a client that shows no server, and with `resurrect`. It needs a
     * `prefix` that no key of the lists begins with: a `TypeError` with `""`.
     */
    user?: string | ((session: SessionData) => UserId | null | undefined) | null | undefined;
    /**
     * How many sessions a user may have: a whole number from 1, `Infinity` for any number, or a function
     * of the user, as text, that returns one. If a sign-in makes it more, the sessions that were used
     * least lately end. A `TypeError` without the option `user`.
     */
    maxSessions?: number | ((user: string) => number) | null | undefined;
    /**
     * Emits `created`, `destroyed` and `expired`, for an audit log: each at most once over all processes,
     * without any setting in Redis. `interval` is how often this process looks for sessions that have
     * expired, in milliseconds from 1. It needs a connection of its own and a prefix, as `user` does.
     * @default false; with true, an interval of 1000
     */
    events?: boolean | EventOptions | null | undefined;
    /**
     * How long a call may take, in milliseconds from 1 to 2147483647 (Node's limit for a timer),
     * waiting for a connection included. After that it rejects with the code `ETIMEDOUT`. For
     * `length`, `ids`, `all` and `clear` it is the time of each step.
     * @default 5000
     */
    commandTimeout?: number | null | undefined;
    /**
     * How long one attempt to connect and log in may take, in milliseconds from 1 to 2147483647;
     * another attempt follows. It does nothing if a `client` carries the commands.
     * @default 3000
     */
    connectTimeout?: number | null | undefined;
    /**
     * What calls do while Redis is away. If it is not given, they wait for Redis until
     * `commandTimeout`.
     * - `"error"`: calls reject at once, so a request gets its error at once
     * - `"skip"`: the same, and express-session serves requests without a session (`req.session` is
     *   undefined), as it does after a store's event `disconnect`
     */
    onUnavailable?: "error" | "skip" | null | undefined;
    /**
     * How many calls may wait for an answer, from 1 to `Infinity`; one more rejects with the code
     * `ENOBUFS`.
     * @default 250000
     */
    commandsQueueMaxLength?: number | null | undefined;
    /**
     * How many bytes of sessions may wait to be stored, from 1 to `Infinity`; more reject with the
     * code `ENOBUFS`.
     * @default 268435456
     */
    commandsQueueMaxBytes?: number | null | undefined;
    /**
     * Writes a session that was destroyed while a request had it loaded, as connect-redis does. By
     * default it stays destroyed, and the store emits `discarded`. A `TypeError` with `user` or
     * `concurrency`.
     * @default false
     */
    resurrect?: boolean | null | undefined;
  }

  /** Who has sessions: what the option `user` finds in a session. 7 and "7" are the same user. */
  export type UserId = string | number | bigint;

  /** A session of a user, as `sessionsOf` returns it. */
  export interface UserSession<Data extends object = StoredData> {
    /** The session's sid. It is a secret: send it to no browser, not even its user's. */
    id: string;
    /** When it expires; null if never. */
    expires: Date | null;
    /** The session, as `get` returns it. */
    data: Data;
  }

  /** Which sessions `destroyAllOf` keeps. */
  export interface DestroyAllOptions {
    /** The sid of a session that stays, or an array of them, such as `req.sessionID`. */
    except?: string | readonly string[] | null | undefined;
  }

  /** How the store looks for sessions that have expired. */
  export interface EventOptions {
    /**
     * Milliseconds from 1 between two looks of this process.
     * @default 1000
     */
    interval?: number | null | undefined;
  }

  /** How `rotate` ends the old session. */
  export interface RotateOptions {
    /**
     * How many milliseconds the old session lives on, from 0, for requests that are already on their
     * way with its cookie; not longer than it would have lived. What they save is not in the new
     * session. Through a client it is rounded up to seconds.
     * @default 0
     */
    grace?: number | null | undefined;
  }

  /**
   * A user's name or password; or a function that returns it, called before each login, for tokens
   * that rotate (Azure, AWS, Vault). The function may return undefined or null for none. If it
   * throws, returns anything else than a string, or does not answer within `connectTimeout`, the
   * attempt to connect fails with the code `ECREDENTIALS`.
   */
  export type Credential =
    | string
    | (() => string | null | undefined | PromiseLike<string | null | undefined>);

  /** A node of a cluster, or a sentinel: a url, `"host:port"`, or host and port. */
  export type Server =
    | string
    | URL
    | {
        /** A name or an IP address. */
        host: string;
        /**
         * The port.
         * @default 6379, for a sentinel 26379
         */
        port?: number | undefined;
      };

  /**
   * A master and its sentinels. `username`, `password` and `tls` here are for the sentinels; beside
   * `sentinel`, for the master. What is not given for the master is as for the sentinels.
   */
  export interface SentinelOptions {
    /** What the sentinels call the master. */
    name: string;
    /** The sentinels, at least one. The default port is 26379. */
    nodes: readonly Server[];
    /** The user to log in to the sentinels as. */
    username?: Credential | null | undefined;
    /** The password to log in to the sentinels with. */
    password?: Credential | null | undefined;
    /** TLS to the sentinels, as the option `tls`. */
    tls?: boolean | TlsOptions | null | undefined;
  }

  /** How sessions are encrypted: AES-256-GCM, with a key for each session. */
  export interface EncryptionOptions {
    /** The keys, at least one: the first one encrypts, all decrypt. */
    keys: readonly EncryptionKey[];
    /**
     * Whether sessions are written encrypted. `false` only decrypts.
     * @default true
     */
    write?: boolean | null | undefined;
    /**
     * What becomes of a record that is not encrypted: `"read"` reads it, for `"refuse"` it does not open
     * (code `ESEALED`). A `TypeError`: `"refuse"` with `write: false`.
     * @default "read"
     */
    plain?: "read" | "refuse" | null | undefined;
  }

  /** A key of `encryption`. Two keys with the same `id`, or the same `secret`, are a `TypeError`. */
  export interface EncryptionKey {
    /** A whole number from 0 to 4294967295, which stands in each record. Never used for another secret. */
    id: number;
    /** 32 to 1024 random bytes. A string counts as its UTF-8. */
    secret: string | Uint8Array;
  }

  /** How sessions are compressed. */
  export interface CompressionOptions {
    /**
     * Bytes of the shortest session that is compressed.
     * @default 1024
     */
    threshold?: number | null | undefined;
    /**
     * The level of zstd, from 1 to 22.
     * @default 1
     */
    level?: number | null | undefined;
    /**
     * Whether sessions are written compressed. `false` only decompresses.
     * @default true
     */
    write?: boolean | null | undefined;
  }

  /** Node's options of `tls.connect` that the store knows. Another option is a `TypeError`. */
  export interface TlsOptions {
    /**
     * The authorities to trust, in PEM, instead of the system's and those of `NODE_EXTRA_CA_CERTS`.
     */
    ca?: Pem | readonly Pem[] | null | undefined;
    /** The certificate chain of this side, in PEM; a `TypeError` without `key`. */
    cert?: Pem | readonly Pem[] | null | undefined;
    /** The key of `cert`, in PEM and not encrypted. */
    key?: Pem | readonly Pem[] | null | undefined;
    /** The name to ask the server for, and to find in its certificate, instead of the host. */
    servername?: string | null | undefined;
    /**
     * Whether the server must be trusted. `false` accepts any certificate: the connection is
     * encrypted, but the server may be anybody.
     * @default true, or false with NODE_TLS_REJECT_UNAUTHORIZED=0, as in Node
     */
    rejectUnauthorized?: boolean | null | undefined;
    /**
     * The oldest version of TLS to accept.
     * @default "TLSv1.2"
     */
    minVersion?: "TLSv1.2" | "TLSv1.3" | null | undefined;
    /**
     * The newest version of TLS to accept.
     * @default "TLSv1.3"
     */
    maxVersion?: "TLSv1.2" | "TLSv1.3" | null | undefined;
  }

  /** Certificates or a key, as Node takes them: PEM in a string or a Buffer. */
  export type Pem = string | Uint8Array;

  /** What `metrics()` returns: numbers, counted since the store was made. */
  export interface Metrics {
    /** The calls by operation and outcome, such as `calls.get.hit`. */
    calls: {
      /** Found a session, or none. */
      get: Record<"hit" | "miss" | "error", number>;
      /**
       * Stored it; found it gone; found it changed by another, and merged both or overwritten the
       * other's (`concurrency`).
       */
      set: Record<"ok" | "discarded" | "merged" | "overwritten" | "error", number>;
      /** Moved the expiry; had nothing to send (`touchAfter`). */
      touch: Record<"ok" | "skipped" | "error", number>;
    } & Record<
      | "destroy"
      | "length"
      | "ids"
      | "all"
      | "clear"
      | "ping"
      | "rewrite"
      | "update"
      | "rotate"
      | "sessionsOf"
      | "countOf"
      | "destroyAllOf"
      | "reindex",
      Record<"ok" | "error", number>
    >;
    /** The calls that rejected, by the error's `code`. */
    errors: Record<string, number>;
    /** What has no answer yet. */
    waiting: {
      /** How many calls. */
      calls: number;
      /** How many bytes of sids and sessions. */
      bytes: number;
    };
    /**
     * How long calls took over the store's own connection, which stores of one client share. Counted
     * since that connection was made; all zero if the app's client carries the calls.
     */
    latency: {
      /** Until they were sent: long if Redis is away, or this process has too much to do. */
      queue: Histogram;
      /** From there until the reply: Redis and the network. */
      redis: Histogram;
    };
    /** How many writes to the connection carried the calls; counted as `latency`. */
    batches: number;
    /** How many connections were lost or left; counted as `latency`. */
    reconnects: number;
    /** The same as `calls.set.discarded`. */
    discarded: number;
    /** The same as `calls.set.merged`. */
    merged: number;
    /** The same as `calls.touch.skipped`. */
    skippedTouches: number;
    /** The near cache (`cache`); zeros without one. */
    cache: {
      /** The calls of `get` that a copy served. */
      hits: number;
      /** Those that it had read from Redis. */
      misses: number;
      /** How many copies it holds. */
      copies: number;
      /** About how many bytes they take. */
      bytes: number;
    };
  }

  /** How the near cache works: see the option `cache`. */
  export interface CacheOptions {
    /**
     * How many bytes the copies may take, from 1 to 2147483647.
     * @default 33554432
     */
    maxBytes?: number | null | undefined;
    /**
     * How many milliseconds a copy may be behind Redis at most, from 1 to 2147483647. It is behind for
     * half a round trip, unless the network holds up what Redis says.
     * @default 100
     */
    maxStale?: number | null | undefined;
    /** Says of which sessions `get` must not be served from a copy. If it throws, so does `get`. */
    fresh?: ((sid: string) => boolean) | null | undefined;
  }

  /** How many calls took how long. */
  export interface Histogram {
    /** The upper bounds of the buckets, in seconds. */
    bounds: number[];
    /** The calls of each bucket, and of one more that has no bound. */
    counts: number[];
    /** All calls. */
    count: number;
    /** Their time together, in seconds. */
    sum: number;
  }

  /**
   * What subscribers of the tracing channel `connect-redis-rs:call` get, for each of its steps the same
   * object. Never a key, a sid or data.
   */
  export interface CallMessage {
    /** The store's method. */
    operation: string;
    /** The number of the database. */
    database?: number | undefined;
    /** The host of the server, or the path of its socket; of a cluster the first node. */
    serverAddress?: string | undefined;
    /** Its port. */
    serverPort?: number | undefined;
    /** At the end: how the call went, as in {@link Metrics.calls}. */
    outcome?: string | undefined;
    /** The bytes of the session, of `get` and `set`. */
    bytes?: number | undefined;
    /** The first word of Redis's own error. */
    statusCode?: string | undefined;
    /** Why the call failed. An error of the app's serializer has only its name here. */
    error?: Error | undefined;
  }

  /** What subscribers of `connect-redis-rs:connect` and `connect-redis-rs:reconnecting` get. */
  export interface ConnectMessage {
    /** The number of the database. */
    database?: number | undefined;
    /** The host of the server, or the path of its socket. */
    serverAddress?: string | undefined;
    /** Its port. */
    serverPort?: number | undefined;
    /** Why an attempt to connect failed. */
    error?: Error | undefined;
  }

  /** What subscribers of `connect-redis-rs:conflict` get. */
  export interface ConflictMessage {
    /** The store's method. */
    operation: "set" | "update";
    /** Both changes are saved; the other's are overwritten; it is tried again. */
    outcome: "merged" | "overwritten" | "retried";
    /** The number of the database. */
    database?: number | undefined;
    /** The host of the server, or the path of its socket. */
    serverAddress?: string | undefined;
    /** Its port. */
    serverPort?: number | undefined;
  }

  /**
   * Why a call failed. The message names the call and the server; it never contains a password or a
   * session id.
   */
  export class RedisStoreError extends Error {
    /** For code that does not have the class to compare with. */
    name: "RedisStoreError";
    /**
     * What kind of error it is:
     * - the first word of Redis's error: `WRONGTYPE`, `NOAUTH`, `WRONGPASS`, `NOPERM`, `OOM`,
     *   `READONLY` …
     * - no connection: `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`, `EHOSTUNREACH`, `ENETUNREACH`,
     *   `EACCES` (a Unix socket), `EPROTO` (what answers is not Redis), or Node's codes for TLS
     * - `ETIMEDOUT`: no answer within `commandTimeout`
     * - `ENOBUFS`: too many calls or bytes wait
     * - `ECLOSED`: the store or its client is closed
     * - `ECONFLICT`: other requests went on saving the session for `commandTimeout`
     * - `ECORRUPT`: `update` found something stored that is not a session
     * - `ECREDENTIALS`: a function given as `username` or `password` failed
     * - `ESEALED`: a record does not open (`encryption`, `compression`)
     * - `ECLIENT`: the app's client failed without a code; or it carries the commands, and the call
     *   needs a connection of the store's own
     * - `EINTERNAL`: a bug in this library
     *
     * Never `ENOENT`, because express-session takes that for "no such session".
     */
    code: string;
    /** The error underneath, if there is one. */
    cause?: Error;
  }

  export { RedisStore, RedisStore as default };
}
