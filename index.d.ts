/// <reference lib="esnext.disposable" />
import { type SessionData, Store } from "express-session";

// connect-redis has the type of its client from there. In an app without node-redis it is `any`.
// @ts-ignore
import type { RedisClientType, RedisClusterType } from "redis";

/** The type of the module: `require("connect-redis-rs")` is the class, and holds all exports. */
export = RedisStore;

/**
 * The class for an express-session, as the module of connect-redis 6 and older gives it:
 * `require("connect-redis-rs")(session)`. For the express-session that this package finds itself it is
 * this very class.
 * @param session express-session, of whatever version, or connect 1, which had the sessions itself
 * @throws {TypeError} with the code `ERR_INVALID_ARG_VALUE` for anything else
 */
declare function RedisStore(
  session: RedisStore.ExpressSession | { session: RedisStore.ExpressSession },
): typeof RedisStore;

/**
 * Keeps express-session's sessions in Redis, each as JSON text under `prefix` + sid, with an expiry:
 * what connect-redis stores.
 *
 * Every call returns a promise, and calls a callback if one is given. What Redis does not carry out
 * rejects with a {@link RedisStore.RedisStoreError | RedisStoreError}, of the code `ETIMEDOUT`
 * if it takes longer than `commandTimeout`; every call gets an answer.
 *
 * Declare what your sessions hold once, and what the store takes and promises is typed with it; a
 * callback may declare its data as it likes.
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
   * Checks the options and starts to connect in the background; without any, to
   * `redis://localhost:6379`. Does not wait for Redis, and does not keep the process alive while no
   * call is pending.
   * @throws {TypeError} with the code `ERR_INVALID_ARG_VALUE` for an option of the wrong type; the
   *   message names it and what was given, and for options that mean a server, of which nothing says
   *   where it is. An option that does not exist, or does nothing beside a `client`, is warned about.
   */
  constructor(options?: RedisStore.RedisStoreOptions);
  /** The same; apps take the type of the options from here: `ConstructorParameters`. */
  constructor(options: RedisStore.RedisStoreOptions);

  /**
   * The `client` option, as given: also if it is another client than the type says, which is
   * connect-redis's, or undefined. The store never closes it.
   */
  client: RedisClientType | RedisClusterType;
  /** What keys begin with. May be changed; takes effect with the next call, as all fields do. */
  prefix: string;
  /** How many keys a step of a scan looks at: see {@link RedisStore.RedisStoreOptions.scanCount}. */
  scanCount: number;
  /** How sessions become text and back. */
  serializer: RedisStore.Serializer<string>;
  /** The `ttl` option, in seconds. */
  ttl: number | ((session: SessionData) => number);
  /** Whether keys are stored without an expiry. */
  disableTTL: boolean;
  /** Whether `touch` does nothing. */
  disableTouch: boolean;

  /**
   * - `connecting`: there has been no connection yet; calls wait for it
   * - `ready`
   * - `reconnecting`: the connection was lost; calls wait for the next one
   * - `closed`: by `close()`, for good; or for as long as the app's client is closed
   */
  readonly status: "connecting" | "ready" | "reconnecting" | "closed";

  /**
   * Whose connection carries the commands: `native` is the store's own, `client` that of the option
   * `client`. It may change while the store lives: `native` gives way to `client` if it is not
   * safe, because the client has moved to another database or user, or if the store cannot have a
   * connection of its own; it tries again after five seconds.
   */
  readonly transport: "native" | "client";

  /** Hands the session over to a callback, whose result the promise is of. */
  get(sid: string, callback: RedisStore.Callback | undefined): Promise<any>;
  /**
   * The session as it is stored, or `null` if there is none: dates are strings, as JSON has them, the
   * app's own and `cookie.expires`. (Of the latter express-session makes a Date, in `req.session`.) If
   * the session's expiry follows its cookie, `cookie.expires` is the key's true time of expiry, also
   * after a `touch`. Rejects with a `SyntaxError` for text that is no JSON.
   * @typeParam Found what the caller says that it is, as in `get<MySession | null>(sid)`
   */
  get<Found extends object | null | undefined = RedisStore.StoredData | null>(
    sid: string,
    callback?: RedisStore.Callback,
  ): Promise<Found>;
  /** What a mock of `get` is taken to be, which may give anything, as with connect-redis. */
  get(sid: string, callback?: RedisStore.Callback): Promise<any>;

  /**
   * Stores a session until its `cookie.expires`, else for `ttl` seconds; deletes it if that time
   * is over. A session that express-session loaded from this store (`createSession`) is written only
   * if it is still there: see the event `discarded`. Answers with `null`.
   * Rejects with a `TypeError` for a time that is none; nothing is stored or deleted then.
   */
  set(
    sid: string,
    session: SessionData | RedisStore.StoredData,
    callback?: RedisStore.Callback,
  ): Promise<any>;

  /**
   * Moves a session's expiry, as `set` would. No error if there is no session. Answers with
   * `null`.
   */
  touch(
    sid: string,
    session: SessionData | RedisStore.StoredData,
    callback?: RedisStore.Callback,
  ): Promise<any>;

  /**
   * express-session's: makes `req.session` of what `get` gives, or of data of the app's own. A session
   * is loaded, and saved only as long as it is there, if this store's `get` has given its data.
   */
  createSession(
    req: Parameters<Store["createSession"]>[0],
    session: SessionData | RedisStore.StoredData,
  ): ReturnType<Store["createSession"]>;

  /** Deletes a session (DEL). No error if it does not exist. Answers with `null`. */
  destroy(sid: string, callback?: RedisStore.Callback): Promise<any>;

  /** Deletes all sessions of the prefix, in small steps. Answers with `null`. */
  clear(callback?: RedisStore.Callback): Promise<any>;

  /** Hands the number of sessions over to a callback, whose result the promise is of. */
  length(callback: ((error: any, count: number) => any) | undefined): Promise<any>;
  /** The number of sessions of the prefix. */
  length(callback?: RedisStore.Callback): Promise<number>;

  /** Hands the sids over to a callback, whose result the promise is of. */
  ids(callback: ((error: any, sids: string[]) => any) | undefined): Promise<any>;
  /** The sids of all sessions of the prefix, in no order. */
  ids(callback?: RedisStore.Callback): Promise<string[]>;

  /** Hands the sessions over to a callback, whose result the promise is of. */
  all(callback: RedisStore.Callback | undefined): Promise<any>;
  /**
   * All sessions of the prefix, each with its sid as `id`, in no order. A record that is no session
   * is left out: see the event `corrupt`.
   * @typeParam Data what the caller says that they are, as in `all<MySession>()`
   */
  all<Data extends SessionData | RedisStore.StoredData = RedisStore.StoredData>(
    callback?: RedisStore.Callback,
  ): Promise<RedisStore.StoredSession<Data>[]>;

  /**
   * Closes the store's connection, and never a client. Pending and later calls reject with the code
   * `ECLOSED`. May be called again. Answers with `null`.
   */
  close(callback?: RedisStore.Callback): Promise<any>;

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;

  /** The connection is there: for the first time, or again. */
  on(event: "ready", listener: () => void): this;
  /** The connection was lost, and another is being made. */
  on(event: "reconnecting", listener: () => void): this;
  /** Redis is away, and is there again; only with `onUnavailable: "skip"`. */
  on(event: "disconnect" | "connect", listener: () => void): this;
  /** The store is closed. */
  on(event: "end", listener: () => void): this;
  /** A loaded session was not saved, because it has been destroyed or has expired meanwhile. */
  on(event: "discarded", listener: (sid: string) => void): this;
  /** `all()` has left out a record that is no session. */
  on(event: "corrupt", listener: (sid: string, error: Error) => void): this;
  /** Any other event: a subclass may have its own. */
  on(event: string | symbol, listener: (...args: any[]) => void): this;
}

declare namespace RedisStore {
  /** What express-session's module is known by. */
  export interface ExpressSession {
    /** The class that its stores extend. */
    Store: {
      /** What they inherit. */
      prototype: object;
    };
  }

  /**
   * Called with the error, or with `null` and what the call answers; one that throws is called once
   * more, with its own error. Typed as connect-redis has it, so that a callback may declare its data
   * as it likes.
   */
  export type Callback = (error?: any, data?: any) => any;

  /** Seconds, or a function of the session that returns seconds. `Infinity` is for ever. */
  export type Ttl = number | string | bigint | ((session: SessionData) => number | string | bigint);

  /** A session's cookie as JSON has it. */
  export interface StoredCookie {
    /** How long the cookie was to live when it was set, in milliseconds. */
    originalMaxAge?: number | null | undefined;
    /** When it expires, as `toISOString` writes it; null or missing if it ends with the browser. */
    expires?: string | null | undefined;
    /** Whether it is sent over https alone. */
    secure?: boolean | "auto" | null | undefined;
    /** Whether scripts of a page cannot see it. */
    httpOnly?: boolean | null | undefined;
    /** The hosts it is for. */
    domain?: string | null | undefined;
    /** The paths it is for. */
    path?: string | null | undefined;
    /** When it is sent along from other sites. */
    sameSite?: boolean | "lax" | "strict" | "none" | null | undefined;
    /** Which cookies a browser keeps longest. */
    priority?: "low" | "medium" | "high" | null | undefined;
    /** Whether each site that embeds the app has a cookie of its own. */
    partitioned?: boolean | null | undefined;
  }

  /**
   * A session as it is stored, with JSON as the serializer. With another one, say what it gives: in
   * `get<MySession | null>(sid)`.
   */
  export type StoredData<Data extends object = SessionData> = {
    [Name in keyof Data]: Name extends "cookie" ? StoredCookie : AsJson<Data[Name]>;
  } & {
    /** Its cookie. */
    cookie: StoredCookie;
  };

  /**
   * What JSON makes of a value: of a Date a string, of whatever has a `toJSON` what that returns.
   * (Methods are gone, too; they stay in the type, so that a class of the app's goes on serving as one.)
   */
  export type AsJson<Value> = 0 extends 1 & Value
    ? Value // any
    : Value extends string | number | boolean | null | undefined | ((...args: any[]) => any)
      ? Value
      : Value extends {
            /** What JSON takes in the value's place. */
            toJSON(key?: any): infer Made;
          }
        ? Made
        : Value extends object
          ? { [Name in keyof Value]: AsJson<Value[Name]> }
          : Value;

  /** A session as `all()` gives it. */
  export type StoredSession<Data extends object = StoredData> = Data & {
    /** The session's sid. */
    id: string;
  };

  /** How sessions become text and back; `JSON` is one. */
  export interface Serializer<Stored extends string | Uint8Array = string | Uint8Array> {
    /**
     * The session for what is stored; may be asynchronous. That is a string, or a Buffer if it is no
     * valid UTF-8, as bytes that `stringify` made. What it throws, `get` rejects with.
     */
    parse(stored: Stored extends string ? string : any): SessionData | Promise<SessionData>;
    /** The text, or the bytes, for a session. What it throws, `set` rejects with. */
    stringify(session: SessionData): Stored;
  }

  /** A method of a client; what it takes and answers differs from library to library. */
  export type ClientMethod = (...args: any[]) => any;

  /** What every client has. */
  export interface AnyClient {
    /** GET: the text, or null. */
    get: ClientMethod;
    /** SET, with EX if there is an expiry. */
    set: ClientMethod;
    /** DEL, of a list of keys. */
    del: ClientMethod;
    /** Whatever else it has. */
    [name: string]: any;
  }

  /**
   * A client that is called as connect-redis 9 and 10 do: node-redis 4 to 6 (a client, cluster, pool
   * or sentinel), or a fake with the same methods.
   */
  export type NodeRedisLike = AnyClient & {
    /** EXPIRE, in seconds. */
    expire: ClientMethod;
  };

  /**
   * A client with Redis's own names for its commands: ioredis 4 to 6 and iovalkey (a client or
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

  /** A Redis client of any library, told by the methods it has. */
  export type RedisClient = NodeRedisLike | IoredisLike;

  /**
   * All options; each may be left out, and `undefined` and `null` count as that. A value of the wrong
   * type is a `TypeError` with the code `ERR_INVALID_ARG_VALUE`, thrown by the constructor. Those of
   * connect-redis mean what they mean there.
   */
  export interface RedisStoreOptions {
    /**
     * The server: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, or
     * `unix:///path/to/socket`; the parameters `db`, `user`, `pass`, `family`, `connectionName`,
     * `connectTimeout` and `commandTimeout` are read, others are a `TypeError`. One of `url`,
     * `cluster` and `sentinel` says where Redis is; two of them are a `TypeError`, and beside a
     * `client` they do nothing.
     * @default "redis://localhost:6379"
     */
    url?: string | URL | null | undefined;
    /**
     * Some nodes of a Redis Cluster, one or more, instead of `url`. One that is up will do: it tells
     * of the others. A url may name a user and a password, which are those for all nodes.
     */
    cluster?: readonly Server[] | null | undefined;
    /** The master that these sentinels name, instead of `url`. */
    sentinel?: SentinelOptions | null | undefined;
    /**
     * How to speak TLS; `true` for Node's defaults. A `rediss://` url needs none, and `false` beside
     * one is a `TypeError`, as is TLS over a Unix socket, or without anything that says where Redis is.
     */
    tls?: boolean | TlsOptions | null | undefined;
    /**
     * The user to log in as (AUTH), in place of what the url says. Empty counts as not given. Without
     * anything that says where Redis is, a `TypeError`.
     */
    username?: Credential | null | undefined;
    /**
     * What to log in with (AUTH), in place of what the url says, as `username`. No message ever holds
     * it.
     */
    password?: Credential | null | undefined;
    /**
     * The number of the database (SELECT), in place of what the url says. A cluster has but 0.
     * @default 0
     */
    database?: number | null | undefined;
    /**
     * The app's own Redis client, connected or not, instead of `url`: of node-redis 3 to 6, ioredis 4
     * to 6 or iovalkey, a cluster, pool or sentinel of theirs, or anything with connect-redis's own
     * calls (`get set expire del`, for all sessions also `mGet scanIterator`). An object with fewer
     * methods works for what it has: cast it. A promise has to be awaited first. `undefined` or `null`,
     * with no `url`, `cluster` or `sentinel` beside it, is a `TypeError`: an app that gives a client
     * has another server in mind than localhost.
     */
    client?: RedisClient | null | undefined;
    /**
     * How to call a client whose methods do not show its kind: `"node-redis"` as connect-redis 9 and
     * 10 ask, `set(key, value, { expiration: { type: "EX", value: seconds } })`; `"node-redis-4"`
     * `set(key, value, { EX: seconds })`; `"ioredis"` `set(key, value, "EX", seconds)`; `"callbacks"`
     * the same with a callback. Real clients are known without.
     */
    clientType?: "node-redis" | "node-redis-4" | "ioredis" | "callbacks" | null | undefined;
    /**
     * Whose connection carries the commands beside a `client`: `"native"` is one of the store's own
     * to the client's server, and a `TypeError` if that cannot be read from the client;
     * `"client"` the client's, and a `TypeError` if there is none; `"auto"` the store's own
     * wherever that is safe.
     * @default "auto"
     */
    transport?: "auto" | "native" | "client" | null | undefined;
    /**
     * What keys begin with. Taken literally, also if it holds `*` or `?`; may be empty. As in
     * connect-redis, but there it is a pattern to `length`, `ids`, `all` and `clear`.
     * @default "sess:"
     */
    prefix?: string | null | undefined;
    /**
     * How many keys a step of `length`, `ids`, `all` and `clear` looks at (COUNT of SCAN): a number
     * from 1; 0 counts as not given, as in connect-redis. While nobody sets it, the field says 100 and
     * the store may take larger steps, as large as Redis answers well within a millisecond.
     * @default 100
     */
    scanCount?: number | null | undefined;
    /**
     * How sessions become text and back: `parse`, which may be asynchronous, and `stringify`, which
     * may return a Buffer. As in connect-redis.
     * @default JSON
     */
    serializer?: Serializer | null | undefined;
    /**
     * For how long a session without `cookie.expires` is kept, in seconds; fractions are rounded up,
     * `Infinity` is for ever, 0 counts as not given. A function decides for every session, whatever
     * its cookie says; of it, 0 or less deletes the session. As in connect-redis. What a function
     * returns is looked at when it is called: what is no time rejects that `set` or `touch` with a
     * `TypeError`, and nothing is stored or deleted.
     * @default 86400
     */
    ttl?: Ttl | null | undefined;
    /**
     * Store keys without an expiry; `touch` does nothing. A session whose cookie has expired is
     * deleted all the same. As in connect-redis.
     * @default false
     */
    disableTTL?: boolean | null | undefined;
    /**
     * Make `touch` do nothing, as in connect-redis: a session then expires as it was last saved.
     * @default false
     */
    disableTouch?: boolean | null | undefined;
    /**
     * How long a call may take, in milliseconds from 1 to 2147483647 (a timer's bound in Node),
     * waiting for a connection included; then it rejects with the code `ETIMEDOUT`. Of `length`,
     * `ids`, `all` and `clear` it is the time of each step.
     * @default 5000
     */
    commandTimeout?: number | null | undefined;
    /**
     * How long one attempt to connect and log in may take, in milliseconds from 1 to 2147483647;
     * then the next one is made. Not for a `client` that carries the commands.
     * @default 3000
     */
    connectTimeout?: number | null | undefined;
    /**
     * What happens while Redis is away. Not given, calls wait for it until `commandTimeout`.
     * `"error"`: calls reject at once, so a request gets its error at once. `"skip"`: the same, and
     * express-session serves requests without a session (`req.session` is undefined), as it does
     * after the event `disconnect` of a store.
     */
    onUnavailable?: "error" | "skip" | null | undefined;
    /**
     * How many calls may wait for an answer, from 1 to `Infinity`; one more rejects with `ENOBUFS`.
     * @default 250000
     */
    commandsQueueMaxLength?: number | null | undefined;
    /**
     * How many bytes of sessions to be stored may wait for an answer, from 1 to `Infinity`; more
     * reject with `ENOBUFS`.
     * @default 268435456
     */
    commandsQueueMaxBytes?: number | null | undefined;
    /**
     * Write a session that was destroyed while a request had it loaded, as connect-redis does. Else
     * it stays destroyed, and the store emits `discarded`.
     * @default false
     */
    resurrect?: boolean | null | undefined;
  }

  /**
   * A user's name or password; or a function that gives it, called before each login, for those that
   * change (tokens of Azure, AWS, Vault). What it throws, no answer within `connectTimeout`, or
   * anything but a string (`undefined` and `null` are none) is a failed attempt to connect.
   */
  export type Credential =
    | string
    | (() => string | null | undefined | PromiseLike<string | null | undefined>);

  /** A server of a cluster, or a sentinel: a url, `"host:port"`, or host and port. */
  export type Server =
    | string
    | URL
    | {
        /** A name or an IP address. */
        host: string;
        /** The default is 6379, of a sentinel 26379. */
        port?: number | undefined;
      };

  /** Redis Sentinel. What is not given of the master's login and TLS beside it is as here. */
  export interface SentinelOptions {
    /** What the sentinels call the master. */
    name: string;
    /** The sentinels, one or more; the default port is 26379. */
    nodes: readonly Server[];
    /** The user to log in to the sentinels as. */
    username?: Credential | null | undefined;
    /** What to log in to the sentinels with. */
    password?: Credential | null | undefined;
    /** How to speak TLS to the sentinels. */
    tls?: boolean | TlsOptions | null | undefined;
  }

  /** Node's options of `tls.connect`, as far as they are known here; another one is a `TypeError`. */
  export interface TlsOptions {
    /** Whom to trust, in PEM, instead of the system's authorities and `NODE_EXTRA_CA_CERTS`. */
    ca?: Pem | readonly Pem[] | null | undefined;
    /** The client's own certificate chain, in PEM; a `TypeError` without `key`. */
    cert?: Pem | readonly Pem[] | null | undefined;
    /** Its key, in PEM and not encrypted. */
    key?: Pem | readonly Pem[] | null | undefined;
    /** The name to ask the server for, and to find in its certificate, instead of the host. */
    servername?: string | null | undefined;
    /**
     * `false` takes any certificate: the connection is encrypted, but the server may be anybody.
     * @default true, or false with NODE_TLS_REJECT_UNAUTHORIZED=0, as in Node
     */
    rejectUnauthorized?: boolean | null | undefined;
    /**
     * The oldest version of TLS to speak.
     * @default "TLSv1.2"
     */
    minVersion?: "TLSv1.2" | "TLSv1.3" | null | undefined;
    /**
     * The newest version of TLS to speak.
     * @default "TLSv1.3"
     */
    maxVersion?: "TLSv1.2" | "TLSv1.3" | null | undefined;
  }

  /** Certificates or a key, as Node takes them: PEM in a string or a Buffer. */
  export type Pem = string | Uint8Array;

  /** Why a call failed. */
  export class RedisStoreError extends Error {
    /** For code that does not have the class to compare with. */
    name: "RedisStoreError";
    /**
     * The server's word (`WRONGTYPE`, `NOAUTH`, `WRONGPASS`, `OOM`, `READONLY` …), or
     * `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`, `ETIMEDOUT`, `ENOBUFS`, `ECLOSED`, `ECLIENT`,
     * `ECREDENTIALS` (a function given as `username` or `password` has failed), `EINTERNAL` (a bug of this library).
     */
    code: string;
    /** The error underneath, if there is one. */
    cause?: Error;
  }

  export { RedisStore, RedisStore as default };
}
