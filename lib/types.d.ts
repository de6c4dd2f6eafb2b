// biome-ignore-all lint/suspicious/noExplicitAny: what an app hands over may be anything.

// The shapes that several files of lib/ hand on; for their type checks only.

import type session from "express-session";

/** A callback of the app: `any`, because each method gives it something else. */
export type Callback = (error: any, data?: any) => unknown;

/** A stored session as `JSON.parse` gives it, or a session of express-session. */
export interface SessionData {
  cookie?: CookieData;
  [member: string]: any;
}

/** What may stand in a stored cookie, if express-session wrote it. */
export interface CookieData {
  expires?: Date | string | number | null;
  originalMaxAge?: number | null;
  [member: string]: any;
}

/** An app's serializer; `parse` may be async. */
export interface Serializer {
  parse(text: any): any;
  stringify(session: any): any;
}

/** The fields of a store that the app may change, and what follows from its options. */
export interface StoreFields {
  prefix: string;
  scanCount: number;
  scanCountSet?: boolean;
  serializer: Serializer;
  ttl: number | ((session: SessionData) => unknown);
  disableTTL: boolean;
  disableTouch: boolean;
  /** Milliseconds. */
  touchAfter?: number;
  /** How saves compare (`concurrency`). */
  comparesBy?: Comparison["how"];
  /** What seals and opens sessions, if anything does. */
  sealer?: import("./addon/addon.js").Sealer;
  /** Whether keys hold a handle instead of the sid. */
  hasHandles?: boolean;
}

/** The fields as src/napi/options/settings.rs reads them. */
export interface NativeFields {
  prefix: string;
  scanCount?: number;
  json: boolean;
  followsCookie?: boolean;
  readsExpiry?: boolean;
  keepsBase?: boolean;
  clientPrefix?: string;
  ttl?: unknown;
  disableTTL?: boolean;
  disableTouch?: boolean;
  touchAfter?: number;
  sealer?: import("./addon/addon.js").Sealer;
  /** Whether envelopes are letters: the app's client takes no bytes. */
  sealsInLetters?: boolean;
  hasHandles?: boolean;
}

/** A record as it is stored, for the app's serializer. */
export interface StoredRecord {
  text: any;
  /** The key's expiry in milliseconds since the epoch, if it is known. */
  expires?: number;
  /** What a save of it compares with, if that was asked for. */
  base?: Base;
}

/** What a session was loaded with. */
export type Base = InstanceType<typeof import("./native/bases.js").Base>;

/** What became of a save, if there is something to say of it. */
export type Saved = "discarded" | "merged" | "unmerged" | "conflict";

/** How a save compares with what is stored (`concurrency`). */
export interface Comparison {
  how: "detect" | "merge";
  /** What the session was loaded with; undefined of a new one. */
  base: Base | undefined;
}

/** The methods of a store that other rooms call. */
export interface Store {
  prefix: string;
  readonly status: string;
  metrics(): object;
  get(sid: string): Promise<any>;
  set(sid: string, session: SessionData): Promise<null>;
  touch(sid: string, session: SessionData): Promise<null>;
  destroy(sid: string): Promise<null>;
  all(): Promise<any[]>;
  ids(): Promise<string[]>;
  clear(): Promise<null>;
  length(): Promise<number>;
  sessionsOf(user: string): Promise<{ id: string; expires: Date | null; data: any }[]>;
  countOf(user: string): Promise<number>;
  destroyAllOf(user: string): Promise<number>;
  createSession(req: object, session: SessionData): Record<string, any>;
}

/** Some of a store's sessions. */
export interface Page {
  records: (StoredRecord & { id: string })[];
  /** Where the next ones are; undefined if these were the last. */
  next?: string;
}

/** As a page, without the sessions. */
export interface IdsPage {
  records: string[];
  next?: string;
}

/** Makes a `RedisStoreError`. */
export type Failure = (message: string, code: string, cause?: Error | string) => Error;
/** Makes a `TypeError`. */
export type Invalid = (message: string) => Error;

/**
 * Makes what `get` hands out of a session that was parsed from a text, read with this expiry and this
 * base.
 */
export type HandOut = (session: any, until?: number, base?: Base, text?: CrossedText) => unknown;

/** An app's Redis client, of any library or none: what it has is found out by looking. */
export type AnyClient = any;

export type ExpressSession = typeof session;

/** A text that crosses: a Buffer if it is no valid UTF-8. */
export type CrossedText = string | Buffer;

/** What the native side calls: src/napi/callbacks.rs says what each is for. */
export interface NativeCallbacks {
  answers: Float64Array;
  settle(
    count: number,
    text: string,
    others?: CrossedText[],
    end?: number,
    saves?: number,
    batch?: number,
    first?: number,
  ): void;
  fail(id: number, error: Error): void;
  handBack(id: number, left: number, ...command: unknown[]): void;
  scanChunk(id: number, sids: string, text?: string, others?: CrossedText[]): void;
  scanEnd(id: number, answer?: number | string): void;
  handBackScan(id: number): void;
  failScan(id: number, error: Error): void;
  corrupt(id: number, sid: string, error: Error): void;
  end(handsBack: boolean): void;
  date(value: string | number | Date): number;
  credential(
    give: () => unknown,
    id: number,
    answered: (id: number, given?: string, said?: string) => void,
  ): void;
  rejectsUnauthorized(): boolean;
  error(isInvalidArgument: boolean, message: string, code: string, cause?: string): Error;
  emit(event: string, ...args: unknown[]): void;
  setImmediate(callback: () => void): unknown;
}
