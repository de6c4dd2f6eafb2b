// What the addon exports, for the type checks of lib/: see src/napi/.

export interface Addon {
  VERSION: string;
  crossing(): Crossing;
  lateMessage(call: string, server: string, limit: number): string;
  RedisStore: NativeStoreClass;
  Sealer: new (options: object) => Sealer;
  idInSessionKey(sid: string, name: string): string;
}

/** src/napi/sealer.rs says what each method does. */
export interface Sealer {
  seal(key: string, text: string | Uint8Array): string | Buffer;
  open(key: string, stored: string | Buffer): string | Buffer;
  close(): void;
}

/** src/napi/crossing.rs says what each member is. */
export interface Crossing {
  methods: string[];
  scans: string[];
  commands: Record<
    | "GET"
    | "SET"
    | "SET_XX"
    | "PEXPIRE"
    | "PERSIST"
    | "DEL"
    | "GET_BASE"
    | "SET_NEW"
    | "SAVE_MERGE"
    | "SAVE_REPORT"
    | "SAVE_GIVE_UP"
    | "PTTL"
    | "END"
    | "INDEX"
    | "GET_RECORD",
    number
  >;
  perCall: number;
  perAnswer: number;
  maxAnswers: number;
  maxBases: number;
  maxReplaced: number;
  recent: number;
  recentSaves: number;
  baseIsInCall: number;
  baseIsKept: number;
  baseIsCopy: number;
  baseIsInFlight: number;
  baseIsSaved: number;
  discarded: number;
  other: number;
  merged: number;
  unmerged: number;
  conflict: number;
  defaults: {
    commandTimeout: number;
    commandsQueueMaxLength: number;
    commandsQueueMaxBytes: number;
  };
  names: Record<
    "server" | "sentinel" | "tls" | "encryption" | "encryptionKey" | "compression" | "cache",
    string[]
  >;
  latencyBounds: number[];
  closed: string;
  repeatedArguments: string;
}

export interface NativeStoreClass {
  new (options: object, fields: object, callbacks: object, to?: object): NativeStore;
  unknownOptions(names: string[]): [name: string, meant: string | undefined][];
}

/** src/napi/store.rs says what each member is. */
export interface CacheNews {
  age?: number;
  written: string[];
  isAllWritten: boolean;
  refusal?: string;
}

/** src/napi/store.rs says what each method does. */
export interface NativeStore {
  readonly server: string;
  readonly status: "connecting" | "ready" | "reconnecting" | "closed";
  configure(store: number, fields: object): void;
  forget(store: number): void;
  forgetBases(batch: number): void;
  send(
    count: number,
    numbers: Float64Array,
    text: string,
    others: unknown[] | undefined,
    now: number,
  ): void;
  scan(
    id: number,
    number: number,
    store: number,
    now: number,
    position?: string,
    limit?: number,
  ): void;
  traffic(): number[];
  look(): number | CacheNews;
  readonly peer: { host: string; port?: number; database: number } | undefined;
  expiresIn(expires: unknown, ttl: unknown, now: number): number;
  checkPayload(payload: unknown): void;
  close(): void;
  retire(): void;
}
