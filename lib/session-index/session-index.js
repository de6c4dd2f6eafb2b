"use strict";

// What is kept beside the sessions: whose they are (`user`) and when they end (`events`). The store calls
// this at each of its methods; an entry here is never trusted over the session itself.

const { performance } = require("node:perf_hooks");
const { setImmediate } = require("node:timers");
const { parseOne } = require("../serializer.js");
const { intervalOf, sweepDeadlines, watch } = require("./deadlines.js");
const { INDEX_PREFIX, IndexCommands } = require("./index-commands.js");
const { askedUser, readerOf } = require("./user-of.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { nextTick } = process;

/** A user's set lives so many times as long as the session that was added or renewed last. */
const SET_LIFE = 4;
/** Sessions that are known to be in their users' sets; more, and some are added again for nothing. */
const MAX_RENEWED = 10_000;
/** How long sessions are parsed before the event loop gets a turn. */
const TURN_MS = 10;
/** Sessions that are read at once. */
const READ_AT_ONCE = 250;

/**
 * @typedef {InstanceType<typeof import("../native/native-backend.js").NativeBackend>} NativeBackend
 * @typedef {import("../store-backend.js").Store} Store
 * @typedef {import("../types.js").Invalid} Invalid
 * @typedef {{id: string, expires: Date | null, data: any}} Listed
 */

/**
 * @typedef {object} Means
 * @property {(name: string, call: (native: NativeBackend) => Promise<any>) => Promise<any>} use makes a
 *   call on sessions
 * @property {(name: string, call: (index: NativeBackend) => Promise<any>) => Promise<any>} useIndex makes
 *   a call on the index
 * @property {() => boolean} isClosed
 * @property {number} limit milliseconds that a call may take: commandTimeout
 * @property {Invalid} invalid
 */

/** What is known of a session object: its user in the index, and whether it is stored. */
const known = new WeakMap();

class SessionIndex {
  /**
   * @param {Store} store
   * @param {Record<string, any>} options the app's
   * @param {Means} means
   */
  constructor(store, { user, maxSessions, events }, means) {
    const { invalid } = means;
    this.store = store;
    this.means = means;
    this.readUser = user === undefined || user === null ? () => undefined : readerOf(user, invalid);
    this.hasUsers = user !== undefined && user !== null;
    this.maxSessions = maxSessionsOf(maxSessions, this.hasUsers, invalid);
    this.interval = intervalOf(events, invalid);
    this.commands = new IndexCommands((call) => means.useIndex("set", call));
    /**
     * Saves under way, by their keys: what is called meanwhile on the same session waits.
     * @type {Map<string, Promise<unknown>>}
     */
    this.saving = new Map();
    /**
     * When sessions were last added to their users' sets by this process.
     * @type {Map<string, number>}
     */
    this.renewed = new Map();
    checkPrefix(store.prefix, invalid);
    this.stop = this.interval === undefined ? () => {} : watch(new WeakRef(this), this.interval);
  }

  /**
   * A session was made of what was loaded.
   * @param {object} session
   * @param {any} data
   */
  loaded(session, data) {
    known.set(session, { user: this.userIn(data), isStored: true });
  }

  /**
   * Makes a call on a session after a save of it that is under way.
   * @param {string} key
   * @param {() => Promise<any>} make
   * @returns {Promise<any>}
   */
  after(key, make) {
    const saving = this.saving.get(key);
    return saving === undefined ? make() : saving.then(make, make);
  }

  /**
   * Saves a session: before it is stored, it is in its user's set.
   * @param {string} sid
   * @param {any} session
   * @param {number} life milliseconds that the session has to live; Infinity for ever
   * @param {() => Promise<any>} save resolves as NativeBackend's `set`
   */
  save(sid, session, life, save) {
    const { prefix } = this.store;
    checkPrefix(prefix, this.means.invalid);
    const user = this.readUser(session);
    const before = isObject(session) ? known.get(session) : undefined;
    const isNew = before === undefined;
    const isUsers = user !== undefined && user !== before?.user;
    const leavesUser = before?.user !== undefined && before.user !== user;
    if (!isUsers && !leavesUser && !(isNew && this.interval !== undefined)) {
      if (isNew && isObject(session)) known.set(session, { user, isStored: true });
      this.renew(sid, user, life);
      return this.after(prefix + sid, save);
    }
    const make = async () => {
      const now = Date.now();
      const [count, isCreated] = await Promise.all([
        isUsers ? this.add(sid, user, life) : 0,
        isNew && this.interval !== undefined && this.commands.addDeadline(sid, now + life),
      ]);
      const saved = await save();
      if (saved === "discarded") {
        if (isUsers) await this.commands.removeFromUser("set", user, sid);
        return saved;
      }
      if (isObject(session)) known.set(session, { user, isStored: true });
      if (leavesUser) await this.commands.removeFromUser("set", before.user, sid);
      if (isCreated) this.emit("created", sid);
      if (isUsers) await this.enforceMaximum(user, count);
      return saved;
    };
    return this.inTurn(prefix + sid, make);
  }

  /**
   * A session was touched: its user's set must live on as well.
   * @param {string} sid
   * @param {any} session
   * @param {number} life
   */
  touched(sid, session, life) {
    this.renew(sid, isObject(session) ? known.get(session)?.user : undefined, life);
  }

  /**
   * Deletes a session, and then its entries.
   * @param {string} sid
   */
  destroy(sid) {
    return this.inTurn(this.store.prefix + sid, async () => {
      const [record, count] = await Promise.all([
        this.hasUsers ? this.read("destroy", sid) : null,
        this.end("destroy", sid),
      ]);
      const session = record === null ? null : await this.parse(record).catch(() => null);
      await this.ended("destroy", sid, this.userIn(session), count > 0);
      return null;
    });
  }

  /**
   * A session has ended: takes its entries away.
   * @param {string} method
   * @param {string} sid
   * @param {string | undefined} user
   * @param {boolean} wasThere
   */
  async ended(method, sid, user, wasThere) {
    this.renewed.delete(this.store.prefix + sid);
    const [, isFirst] = await Promise.all([
      user !== undefined && this.commands.removeFromUser(method, user, sid),
      this.interval !== undefined && this.commands.takeDeadline(method, sid),
    ]);
    if (isFirst && wasThere) this.emit("destroyed", sid);
  }

  /** Everything was deleted. */
  async cleared() {
    this.renewed.clear();
    await this.commands.clear();
  }

  /**
   * The sessions of a user, the one used last first.
   * @param {unknown} user
   * @returns {Promise<Listed[]>}
   */
  async sessionsOf(user) {
    const found = await this.list("sessionsOf", this.asked("sessionsOf", user));
    const end = (/** @type {Listed} */ { expires }) => expires?.getTime() ?? Number.MAX_VALUE;
    return found.sort((one, other) => end(other) - end(one));
  }

  /**
   * How many sessions a user has.
   * @param {unknown} user
   */
  async countOf(user) {
    const asked = this.asked("countOf", user);
    let count = 0;
    for await (const listed of this.live("countOf", asked)) count += listed.length;
    return count;
  }

  /**
   * Destroys a user's sessions; resolves to how many there were.
   * @param {unknown} user
   * @param {{except?: string | string[] | null}} [options] sessions that are kept
   */
  async destroyAllOf(user, options) {
    const asked = this.asked("destroyAllOf", user);
    const kept = exceptOf(options, this.means.invalid);
    let count = 0;
    for await (const listed of this.live("destroyAllOf", asked)) {
      const gone = listed.filter(({ id }) => !kept.has(id));
      const destroyed = await Promise.all(
        gone.map(({ id }) => this.endOf("destroyAllOf", id, asked)),
      );
      count += destroyed.filter(Boolean).length;
    }
    return count;
  }

  /** Adds all stored sessions to their users' sets; resolves to how many have a user. */
  async reindex() {
    this.needsUsers("reindex");
    /** @type {string[]} */
    const sids = await this.means.use("reindex", (native) => native.ids());
    let count = 0;
    for (let at = 0; at < sids.length; at += READ_AT_ONCE) {
      const some = sids.slice(at, at + READ_AT_ONCE);
      const added = await Promise.all(
        some.map(async (sid) => {
          const record = await this.read("reindex", sid).catch(skipped);
          const user =
            record === null ? undefined : this.userIn(await this.parse(record).catch(skipped));
          if (user === undefined) return false;
          const life =
            record?.expires === undefined ? Number.POSITIVE_INFINITY : record.expires - Date.now();
          if (life > 0) await this.add(sid, user, life, "reindex");
          return life > 0;
        }),
      );
      count += added.filter(Boolean).length;
      await turn();
    }
    return count;
  }

  /** Looks for sessions that have expired; resolves to whether to go on. */
  async sweep() {
    if (this.means.isClosed()) return false;
    const pttl = (/** @type {string} */ sid) =>
      this.means.use("events", (native) => native.pttl(sid));
    await sweepDeadlines(this.commands, pttl, (sid) => this.emit("expired", sid));
    return !this.means.isClosed();
  }

  /**
   * Before an update writes: the session is in its new user's set. Returns what is to be done after it.
   * @param {string} sid
   * @param {string | undefined} before
   * @param {any} session
   * @param {number} life
   */
  async updating(sid, before, session, life) {
    const user = this.readUser(session);
    if (user === before) return async () => {};
    if (user !== undefined) await this.add(sid, user, life, "update");
    return async () => {
      if (before !== undefined) await this.commands.removeFromUser("update", before, sid);
    };
  }

  /**
   * The user of stored data; undefined if it has none, or one that cannot be.
   * @param {any} data
   */
  userIn(data) {
    try {
      return isObject(data) ? this.readUser(data) : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * @param {string} sid
   * @param {string} user
   * @param {number} life
   * @param {string} [method]
   */
  add(sid, user, life, method = "set") {
    this.noteRenewed(sid);
    // Looked at again soon: only then it is known that the save which follows was carried out.
    const due = Date.now() + this.provisional;
    return this.commands.addToUser(method, user, sid, due, life * SET_LIFE);
  }

  /** Milliseconds after which a session that was added is stored, or never will be. */
  get provisional() {
    return 2 * this.means.limit;
  }

  /**
   * Adds a session to its user's set again, in the background, if this process has not done so for as
   * long as the session lives: the set must not end before the session.
   * @param {string} sid
   * @param {string | undefined} user
   * @param {number} life
   */
  renew(sid, user, life) {
    if (user === undefined || !(life > 0)) return;
    const last = this.renewed.get(this.store.prefix + sid);
    const now = performance.now();
    if (last !== undefined && (now - last < life || life === Number.POSITIVE_INFINITY)) return;
    this.add(sid, user, life, "touch").catch(() => this.renewed.delete(this.store.prefix + sid));
  }

  /** @param {string} sid */
  noteRenewed(sid) {
    const key = this.store.prefix + sid;
    this.renewed.delete(key);
    this.renewed.set(key, performance.now());
    if (this.renewed.size > MAX_RENEWED) {
      const [oldest] = this.renewed.keys();
      this.renewed.delete(/** @type {string} */ (oldest));
    }
  }

  /**
   * Destroys the sessions of a user that are too many: those that were used least lately.
   * @param {string} user
   * @param {number} count how many its set has
   */
  async enforceMaximum(user, count) {
    const most = this.maxSessions?.(user);
    if (most === undefined || count <= most) return;
    const found = await this.list("set", user);
    const end = (/** @type {Listed} */ { expires }) => expires?.getTime() ?? Number.MAX_VALUE;
    found.sort((one, other) => end(one) - end(other) || (one.id < other.id ? -1 : 1));
    const tooMany = found.slice(0, Math.max(found.length - most, 0));
    await Promise.all(tooMany.map(({ id }) => this.endOf("set", id, user)));
  }

  /**
   * Ends a session and its entries; resolves to whether it was there.
   * @param {string} method
   * @param {string} sid
   * @param {string} user
   */
  async endOf(method, sid, user) {
    const wasThere = (await this.end(method, sid)) > 0;
    await this.ended(method, sid, user, wasThere);
    return wasThere;
  }

  /**
   * @param {string} method
   * @param {string} user
   */
  async list(method, user) {
    const found = [];
    for await (const listed of this.live(method, user)) found.push(...listed);
    return found;
  }

  /**
   * The live sessions of a user, some at a time. Takes dead entries out of the user's set.
   * @param {string} method
   * @param {string} user
   * @returns {AsyncGenerator<Listed[]>}
   */
  async *live(method, user) {
    /** ZSCAN may give an entry twice. */
    const seen = new Set();
    for await (const entries of this.commands.entriesOf(method, user)) {
      const fresh = entries.filter(({ sid }) => !seen.has(sid) && seen.add(sid));
      for (let at = 0; at < fresh.length; at += READ_AT_ONCE) {
        const some = fresh.slice(at, at + READ_AT_ONCE);
        const looked = await Promise.all(some.map((entry) => this.look(method, user, entry)));
        yield looked.filter((listed) => listed !== undefined);
        await turn();
      }
    }
  }

  /**
   * Reads the session of an entry; undefined if it is not the user's.
   * @param {string} method
   * @param {string} user
   * @param {import("./index-commands.js").Entry} entry
   * @returns {Promise<Listed | undefined>}
   */
  async look(method, user, { sid, score }) {
    const record = await this.read(method, sid);
    const session = record === null ? null : await this.parse(record).catch(skipped);
    const now = Date.now();
    if (this.userIn(session) !== user) {
      // A save under way may have added it, and not have stored it yet.
      const isSure = score <= now || score > now + this.provisional;
      if (isSure) await this.commands.removeFromUser(method, user, sid);
      return undefined;
    }
    const expires = record?.expires;
    if (score <= now) {
      const end = expires ?? Number.POSITIVE_INFINITY;
      // One that ends soon would look like one that was just added.
      await this.commands.postponeInUser(method, user, sid, Math.max(end, now + this.provisional));
    }
    return { id: sid, expires: expires === undefined ? null : new Date(expires), data: session };
  }

  /**
   * @param {string} method
   * @param {string} sid
   * @returns {Promise<import("../types.js").StoredRecord | null>}
   */
  read(method, sid) {
    return this.means.use(method, (native) => native.readRecord(method, sid));
  }

  /**
   * @param {string} method
   * @param {string} sid
   * @returns {Promise<number>}
   */
  end(method, sid) {
    return this.means.use(method, (native) => native.end(sid, 0));
  }

  /** @param {import("../types.js").StoredRecord} record */
  async parse(record) {
    return parseOne(this.store.serializer, record);
  }

  /**
   * @param {string} key
   * @param {() => Promise<any>} make
   */
  inTurn(key, make) {
    const made = this.after(key, make);
    this.saving.set(key, made);
    const forget = () => {
      if (this.saving.get(key) === made) this.saving.delete(key);
    };
    made.then(forget, forget);
    return made;
  }

  /**
   * @param {string} method
   * @param {unknown} user
   */
  asked(method, user) {
    this.needsUsers(method);
    return askedUser(method, user, this.means.invalid);
  }

  /** @param {string} method */
  needsUsers(method) {
    if (!this.hasUsers) throw needsUser(method, this.means.invalid);
    checkPrefix(this.store.prefix, this.means.invalid);
  }

  /**
   * @param {string} event
   * @param {string} sid
   */
  emit(event, sid) {
    nextTick(() => this.store.emit(event, sid));
  }
}

/**
 * @param {string} method
 * @param {Invalid} invalid
 */
function needsUser(method, invalid) {
  return invalid(
    `${method}: the store does not know whose a session is; give the option user, such as user: "passport.user"`,
  );
}

/**
 * An index beside these sessions would be taken for sessions by a scan.
 * @param {string} prefix
 * @param {Invalid} invalid
 */
function checkPrefix(prefix, invalid) {
  if (!`${INDEX_PREFIX}${prefix}`.startsWith(`${prefix}`)) return;
  throw invalid(
    `RedisStore: with user or events the keys of the sessions need a prefix that no key of the index begins with: ${JSON.stringify(prefix)} is none`,
  );
}

/**
 * @param {any} maxSessions
 * @param {boolean} hasUsers
 * @param {Invalid} invalid
 * @returns {((user: string) => number | undefined) | undefined}
 */
function maxSessionsOf(maxSessions, hasUsers, invalid) {
  if (maxSessions === undefined || maxSessions === null) return undefined;
  if (!hasUsers) throw needsUser("RedisStore: maxSessions", invalid);
  const check = (/** @type {unknown} */ most) => {
    if (most === Number.POSITIVE_INFINITY) return undefined;
    if (typeof most === "number" && Number.isInteger(most) && most >= 1) return most;
    throw invalid(
      `RedisStore: maxSessions must be, or return, a whole number from 1, got ${typeof most === "number" ? most : typeof most}`,
    );
  };
  if (typeof maxSessions === "function") return (user) => check(maxSessions(user));
  const most = check(maxSessions);
  return () => most;
}

/**
 * @param {any} options
 * @param {Invalid} invalid
 * @returns {Set<string>}
 */
function exceptOf(options, invalid) {
  const except = options?.except;
  if (except === undefined || except === null) return new Set();
  const list = Array.isArray(except) ? except : [except];
  if (list.every((sid) => typeof sid === "string")) return new Set(list);
  throw invalid(
    `destroyAllOf: except must be a session id or an array of them, got ${typeof except}`,
  );
}

/** @param {any} value */
function isObject(value) {
  return value !== null && typeof value === "object";
}

/** What cannot be read is nobody's session. */
function skipped() {
  return null;
}

let lastTurn = performance.now();

/** Lets the event loop turn, if it has not for a while. */
async function turn() {
  if (performance.now() - lastTurn < TURN_MS) return;
  await new Promise((resolve) => setImmediate(resolve));
  lastTurn = performance.now();
}

module.exports = { SessionIndex, needsUser };
