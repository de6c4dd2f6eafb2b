import { type SessionData, Store } from "express-session";

/** The type of the module: `require("connect-redis-rs")` is the class, and holds all exports. */
export = RedisStore;

/**
 * Keeps express-session's sessions in Redis. Every call answers with a promise, or with a callback
 * where one is given; a call to Redis that takes longer than `commandTimeout` rejects.
 *
 * @example
 * app.use(session({ store: new RedisStore({ url: "redis://localhost:6379" }), secret: "…" }));
 */
declare class RedisStore extends Store {
  /**
   * Checks the options and starts to connect in the background. Does not wait for Redis, and does
   * not keep the process alive while no call is pending.
   * @throws {TypeError} for an option of the wrong type; the message names it and what was given.
   */
  constructor(options?: RedisStore.RedisStoreOptions);

  /** The `client` option, as given. The store never closes it. */
  client: any;
  /** What keys begin with. May be changed; takes effect with the next call, as all fields do. */
  prefix: string;
  /** How many keys a step of a scan looks at. */
  scanCount: number;
  /** How sessions become text and back. */
  serializer: RedisStore.Serializer;
  /** The `ttl` option, in seconds. */
  ttl: RedisStore.Ttl;
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
   * `client`. It may change while the store lives: `native` gives way to `client` where it is not
   * safe, because the client has moved to another database or user, or where there is no connection
   * of the store's own to be had; that is tried again after five seconds.
   */
  readonly transport: "native" | "client";

  /**
   * The session, or `null` where there is none. Where the session's expiry follows its cookie,
   * `cookie.expires` is the key's true time of expiry, also after a `touch`.
   * Rejects for text that is no JSON.
   */
  get<T = unknown>(sid: string, callback: RedisStore.Callback<SessionData | null, T>): Promise<T>;
  get(sid: string): Promise<SessionData | null>;

  /**
   * Stores a session until its `cookie.expires`, else for `ttl` seconds; deletes it where that time
   * is over. A session that express-session loaded from this store (`createSession`) is written only
   * where it is still there: see the event `discarded`.
   * Rejects with a `TypeError` for a time that is none; nothing is stored or deleted then.
   */
  set<T = unknown>(
    sid: string,
    session: SessionData,
    callback: RedisStore.Callback<null, T>,
  ): Promise<T>;
  set(sid: string, session: SessionData): Promise<null>;

  /** Moves a session's expiry, as `set` would. No error where there is no session. */
  touch<T = unknown>(
    sid: string,
    session: SessionData,
    callback: RedisStore.Callback<null, T>,
  ): Promise<T>;
  touch(sid: string, session: SessionData): Promise<null>;

  /** Deletes a session. No error where there is none. */
  destroy<T = unknown>(sid: string, callback: RedisStore.Callback<null, T>): Promise<T>;
  destroy(sid: string): Promise<null>;

  /** Deletes all sessions of the prefix, in small steps. */
  clear<T = unknown>(callback: RedisStore.Callback<null, T>): Promise<T>;
  clear(): Promise<null>;

  /** The number of sessions of the prefix. */
  length<T = unknown>(callback: RedisStore.Callback<number, T>): Promise<T>;
  length(): Promise<number>;

  /** The sids of all sessions of the prefix, in no order. */
  ids<T = unknown>(callback: RedisStore.Callback<string[], T>): Promise<T>;
  ids(): Promise<string[]>;

  /**
   * All sessions of the prefix, each with its sid as `id`, in no order. A record that is no session
   * is left out: see the event `corrupt`.
   */
  all<T = unknown>(callback: RedisStore.Callback<RedisStore.StoredSession[], T>): Promise<T>;
  all(): Promise<RedisStore.StoredSession[]>;

  /**
   * Closes the connection. Pending and later calls reject with the code `ECLOSED`. May be called
   * again.
   */
  close<T = unknown>(callback: RedisStore.Callback<null, T>): Promise<T>;
  close(): Promise<null>;

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
  on(event: string | symbol, listener: (...args: any[]) => void): this;
}

declare namespace RedisStore {
  /** Called once, with the error or `null`, and what the call answers. */
  export type Callback<Data, T = unknown> = (error: any, data: Data) => T;

  /** Seconds, or a function of the session that returns seconds. `Infinity` is for ever. */
  export type Ttl = number | string | bigint | ((session: SessionData) => number | string | bigint);

  /** A session as `all()` gives it. */
  export type StoredSession = SessionData & { id: string };

  /** How sessions become text and back; `JSON` is one. */
  export interface Serializer {
    /** The session for a text; may be asynchronous. */
    parse(text: string): SessionData | Promise<SessionData>;
    /** The text, or the bytes, for a session. */
    stringify(session: SessionData): string | Uint8Array;
  }

  export interface RedisStoreOptions {
    /**
     * The server: `redis://[user:password@]host[:port][/database]`, `rediss://…` for TLS, or
     * `unix:///path/to/socket[?db=&user=&pass=]`.
     * @default "redis://localhost:6379"
     */
    url?: string | URL | null;
    /** Some nodes of a Redis Cluster, instead of `url`. One that is up will do. */
    cluster?: readonly Server[] | null;
    /** The master that these sentinels name, instead of `url`. */
    sentinel?: SentinelOptions | null;
    /** How to speak TLS; `true` for Node's defaults. A `rediss://` url needs none. */
    tls?: boolean | TlsOptions | null;
    /** As whom to log in, in place of what the url says. */
    username?: string | null;
    /** In place of what the url says. */
    password?: string | null;
    /**
     * The number of the database, in place of what the url says.
     * @default 0
     */
    database?: number | null;
    /**
     * The app's own Redis client: of node-redis 3 to 6 or ioredis 5 or 6, a cluster, pool or
     * sentinel of theirs, or anything with connect-redis's own calls (`get set expire del mGet
     * scanIterator`). Instead of `url`.
     */
    client?: any;
    /**
     * Whose connection carries the commands beside a `client`: `"native"` is one of the store's own
     * to the client's server, and a `TypeError` where that cannot be read from the client;
     * `"client"` the client's; `"auto"` the store's own wherever that is safe.
     * @default "auto"
     */
    transport?: "auto" | "native" | "client" | null;
    /**
     * What keys begin with.
     * @default "sess:"
     */
    prefix?: string | null;
    /**
     * How many keys a step of a scan (`length`, `ids`, `all`, `clear`) looks at. Left unset, the
     * field says 100 and the store takes steps of 1000, which Redis answers in about half a
     * millisecond.
     * @default 100
     */
    scanCount?: number | null;
    /**
     * How sessions become text and back.
     * @default JSON
     */
    serializer?: Serializer | null;
    /**
     * For how long a session without `cookie.expires` is kept, in seconds; a function decides for
     * every session, before its cookie.
     * @default 86400
     */
    ttl?: Ttl | null;
    /**
     * Store keys without an expiry; `touch` does nothing.
     * @default false
     */
    disableTTL?: boolean | null;
    /**
     * Make `touch` do nothing.
     * @default false
     */
    disableTouch?: boolean | null;
    /**
     * How long a call may take, in milliseconds, waiting for a connection included.
     * @default 5000
     */
    commandTimeout?: number | null;
    /**
     * How long one attempt to connect and log in may take, in milliseconds.
     * @default 3000
     */
    connectTimeout?: number | null;
    /**
     * What happens while Redis is away. Not given, calls wait for it until `commandTimeout`.
     * `"error"`: calls reject at once, so a request gets its error at once. `"skip"`: the same, and
     * express-session serves requests without a session (`req.session` is undefined).
     */
    onUnavailable?: "error" | "skip" | null;
    /**
     * How many calls may wait for an answer; one more rejects with `ENOBUFS`.
     * @default 250000
     */
    commandsQueueMaxLength?: number | null;
    /**
     * How many bytes of sessions to be stored may wait for an answer; more reject with `ENOBUFS`.
     * @default 268435456
     */
    commandsQueueMaxBytes?: number | null;
    /**
     * Write a session that was destroyed while a request had it loaded, as connect-redis does.
     * @default false
     */
    resurrect?: boolean | null;
  }

  /** A url, `"host:port"`, or host and port. */
  export type Server = string | URL | { host: string; port?: number };

  /** Redis Sentinel. What is not given of the master's login and TLS beside it is as here. */
  export interface SentinelOptions {
    /** What the sentinels call the master. */
    name: string;
    /** The sentinels; the port is 26379 where none is given. */
    nodes: readonly Server[];
    /** How to log in to the sentinels. */
    username?: string | null;
    password?: string | null;
    /** How to speak TLS to the sentinels. */
    tls?: boolean | TlsOptions | null;
  }

  /** Node's options of `tls.connect`, as far as they are known here; another one is a `TypeError`. */
  export interface TlsOptions {
    /** Whom to trust, in PEM, instead of the system's authorities and `NODE_EXTRA_CA_CERTS`. */
    ca?: Pem | readonly Pem[] | null;
    /** The client's own certificate chain, in PEM. */
    cert?: Pem | readonly Pem[] | null;
    /** Its key, in PEM and not encrypted. */
    key?: Pem | null;
    /** The name to ask the server for, and to find in its certificate, instead of the host. */
    servername?: string | null;
    /**
     * `false` takes any certificate: the connection is encrypted, but to whom is not known.
     * @default true
     */
    rejectUnauthorized?: boolean | null;
    minVersion?: "TLSv1.2" | "TLSv1.3" | null;
    maxVersion?: "TLSv1.2" | "TLSv1.3" | null;
  }

  export type Pem = string | Uint8Array;

  /** Why a call failed. */
  export class RedisStoreError extends Error {
    name: "RedisStoreError";
    /**
     * The server's word (`WRONGTYPE`, `NOAUTH`, `WRONGPASS`, `OOM`, `READONLY` …), or
     * `ECONNREFUSED`, `ECONNRESET`, `ENOTFOUND`, `ETIMEDOUT`, `ENOBUFS`, `ECLOSED`, `ECLIENT`,
     * `EINTERNAL` (a bug of this library).
     */
    code: string;
    /** The error underneath, where there is one. */
    cause?: Error;
  }

  export { RedisStore, RedisStore as default };
}
