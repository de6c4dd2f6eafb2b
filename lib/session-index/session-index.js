"use strict";

// What is kept beside the sessions: whose they are (`user`) and when they end (`events`). The store calls
// this at each of its methods; an entry here is never trusted over the session itself.

const { monotonic, nextTick, setImmediate } = require("../clock.js");
const { needsUser } = require("../errors.js");
const { isHandle } = require("../hashed-ids.js");
const { parseOne } = require("../serializer.js");
const { Turns } = require("../turns.js");
const { intervalOf, sweepDeadlines, watch } = require("./deadlines.js");
const { INDEX_PREFIX, IndexCommands } = require("./index-commands.js");
const { askedUser, readerOf } = require("./user-of.js");

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
 * @typedef {{id: string, expires: Date | null, data: any, score: number}} Listed
 */

/**
 * @typedef {object} Means
 * @property {(name: string, call: (native: NativeBackend) => Promise<any>) => Promise<any>} use makes a
 *   call on sessions
 * @property {(name: string, call: (index: NativeBackend) => Promise<any>) => Promise<any>} useIndex makes
 *   a call on the index
 * @property {() => boolean} isClosed
 * @property {boolean} hasHandles whether keys hold a handle instead of the sid
 * @property {number} limit milliseconds that a call may take: commandTimeout
 * @property {Invalid} invalid
 */

/**
 * @typedef {object} Known of a session object that is stored
 * @property {string | undefined} user in whose set it is
 * @property {unknown} maxAge of its cookie, milliseconds
 */

class SessionIndex {
  /**
   * @param {Store} store
   * @param {Record<string, any>} options the app's
   * @param {Means} means
   */
  constructor(store, { user, maxSessions, events, resurrect }, means) {
    const { invalid } = means;
    this.store = store;
    this.means = means;
    this.readUser = user === undefined || user === null ? () => undefined : readerOf(user, invalid);
    this.hasUsers = user !== undefined && user !== null;
    this.maxSessions = maxSessionsOf(maxSessions, this.hasUsers, invalid);
    this.interval = intervalOf(events, invalid);
    if (this.hasUsers && resurrect) {
      throw invalid(
        "RedisStore: user is given, so that a user's sessions can be ended everywhere, and resurrect saves sessions that were ended: leave one of them out",
      );
    }
    this.commands = new IndexCommands((call) => means.useIndex("set", call));
    /** Saves under way: what is called meanwhile on the same session waits. */
    this.turns = new Turns();
    /**
     * When sessions were last added to their users' sets by this process, and until when these live.
     * @type {Map<string, {at: number, until: number}>}
     */
    this.renewed = new Map();
    /** @type {WeakMap<object, Known>} */
    this.known = new WeakMap();
    /** Sessions whose deadline is noted, and whose first save has failed. */
    this.unborn = new WeakSet();
    checkPrefix(store.prefix, invalid);
    this.stop = this.interval === undefined ? () => {} : watch(new WeakRef(this), this.interval);
  }

  /**
   * A session is stored, or was made of what was loaded.
   * @param {any} session
   * @param {string | undefined} [user]
   */
  note(session, user = this.userIn(session)) {
    if (isObject(session)) this.known.set(session, { user, maxAge: maxAgeOf(session) });
  }

  /**
   * Makes a call on a session after a save of it that is under way.
   * @param {string} key
   * @param {() => Promise<any>} make
   * @returns {Promise<any>}
   */
  after(key, make) {
    return this.turns.after(key, make);
  }

  /**
   * Saves a session: before it is stored, it is in its user's set.
   * @param {string} sid
   * @param {any} session
   * @param {number} life milliseconds that the session has to live; Infinity for ever
   * @param {boolean} isLoaded whether it is known to be stored under this sid
   * @param {() => Promise<any>} save resolves as NativeBackend's `set`
   */
  save(sid, session, life, isLoaded, save) {
    const { prefix } = this.store;
    checkPrefix(prefix, this.means.invalid);
    const user = this.readUser(session);
    const before = isLoaded ? this.known.get(session) : undefined;
    const left = before?.user;
    if (!(life > 0)) {
      return this.turns.take(prefix + sid, async () => {
        const saved = await save();
        await this.ended("set", sid, left ?? user, true);
        return saved;
      });
    }
    const isUsers = user !== undefined && user !== left;
    const leavesUser = left !== undefined && left !== user;
    const hasDeadline = before === undefined && this.interval !== undefined;
    if (!isUsers && !leavesUser && !hasDeadline) {
      this.shorten(sid, session, life);
      this.note(session, user);
      this.renew(sid, user, life);
      return this.after(prefix + sid, save);
    }
    const most = isUsers ? this.maxSessions?.(user) : undefined;
    const make = async () => {
      const now = Date.now();
      const [leave, isCreated] = await Promise.all([
        leavesUser ? this.leaving("set", left, sid) : undefined,
        hasDeadline && this.commands.addDeadline(sid, now + life),
        isUsers && this.add(sid, user, life),
      ]);
      if (isCreated && isObject(session)) this.unborn.add(session);
      const saved = await save().catch((error) => {
        // It may be carried out later than anyone counts on: the next touch adds it again.
        this.renewed.delete(prefix + sid);
        throw error;
      });
      if (saved === "discarded") {
        if (isUsers) await this.commands.removeFromUser("set", user, sid).catch(skipped);
        return saved;
      }
      this.shorten(sid, session, life);
      this.note(session, user);
      if (isCreated || this.unborn.delete(session)) this.emit("created", sid);
      this.unborn.delete(session);
      await leave?.();
      if (isUsers) await this.enforceMaximum("set", user, most);
      return saved;
    };
    return this.turns.take(prefix + sid, make);
  }

  /**
   * Before a session is saved that is its user's no longer. Returns what takes it out of the user's set
   * after the save; what it leaves there, the next list takes out.
   * @param {string} method
   * @param {string} user
   * @param {string} sid
   */
  async leaving(method, user, sid) {
    const now = Date.now();
    const score = await this.commands.scoreIn(method, user, sid);
    // Another save under way may have added it.
    const isSettled = score !== undefined && this.isSettled(score, now);
    return async () => {
      if (isSettled) await this.commands.revise(method, user, { sid, score }).catch(skipped);
    };
  }

  /**
   * Whether an entry with this score is of no save that may still be under way.
   * @param {number} score
   * @param {number} before when it was about to be read
   */
  isSettled(score, before) {
    return score <= before || score > Date.now() + this.provisional;
  }

  /**
   * A session was touched: its user's set must live on as well.
   * @param {string} sid
   * @param {any} session
   * @param {number} life
   */
  touched(sid, session, life) {
    this.shorten(sid, session, life);
    this.renew(sid, isObject(session) ? this.known.get(session)?.user : undefined, life);
  }

  /**
   * The app has given a session's cookie a shorter life: its deadline is looked at sooner.
   * @param {string} sid
   * @param {any} session
   * @param {number} life milliseconds
   */
  shorten(sid, session, life) {
    const known = isObject(session) ? this.known.get(session) : undefined;
    if (this.interval === undefined || known === undefined) return;
    const maxAge = maxAgeOf(session);
    const before = typeof known.maxAge === "number" ? known.maxAge : Number.POSITIVE_INFINITY;
    // A rolling cookie's age varies by a millisecond.
    const isShorter = typeof maxAge === "number" && maxAge < before - 1000;
    known.maxAge = maxAge;
    if (isShorter || !(life > 0)) this.endsIn(sid, life).catch(skipped);
  }

  /**
   * A session ends in so many milliseconds, if nobody keeps it.
   * @param {string} sid
   * @param {number} life
   */
  async endsIn(sid, life) {
    if (this.interval === undefined) return;
    await this.commands.postponeDeadline(sid, Date.now() + Math.max(life, 0) + 1);
  }

  /**
   * Deletes a session, and then its entries.
   * @param {string} sid
   */
  destroy(sid) {
    return this.turns.take(this.store.prefix + sid, async () => {
      const [record, count] = await Promise.all([
        // What cannot be read is deleted all the same.
        this.hasUsers ? this.read("destroy", sid).catch(skipped) : null,
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
      // If it was not there, another call has ended it and tells so, or it is heard when it is due.
      wasThere && this.interval !== undefined && this.commands.takeDeadline(method, sid),
    ]);
    if (isFirst) this.emit("destroyed", sid);
  }

  /** Everything was deleted. */
  async cleared() {
    this.renewed.clear();
    await this.commands.clear();
  }

  /**
   * The sessions of a user, the one used last first.
   * @param {unknown} user
   * @returns {Promise<Omit<Listed, "score">[]>}
   */
  async sessionsOf(user) {
    const found = await this.list("sessionsOf", this.asked("sessionsOf", user));
    found.sort((one, other) => endOf(other) - endOf(one));
    return found.map(({ id, expires, data }) => ({ id, expires, data }));
  }

  /**
   * Some of a user's sessions, the one used last first, for whoever cannot hold them all.
   * @param {unknown} user
   * @param {number} limit
   * @returns {Promise<{sessions: Omit<Listed, "score">[], more: number, isEstimate: boolean}>} `more` is how
   *   many are left out; if there are far more than the limit, it counts dead entries as well
   */
  async someOf(user, limit) {
    const asked = this.asked("sessionsOf", user);
    /** @type {Listed[]} */
    const found = [];
    let isEstimate = false;
    for await (const listed of this.live("sessionsOf", asked)) {
      found.push(...listed);
      isEstimate = found.length > limit + READ_AT_ONCE;
      if (isEstimate) break;
    }
    const count = isEstimate ? await this.commands.count("sessionsOf", asked) : found.length;
    const sessions = found.sort((one, other) => endOf(other) - endOf(one)).slice(0, limit);
    return { sessions, more: Math.max(count - sessions.length, 0), isEstimate };
  }

  /**
   * Searches a user's sessions for some by their ids; only these are read.
   * @param {unknown} user
   * @param {(sid: string) => boolean} isIt
   * @param {() => boolean} isWanted whether to go on
   * @returns {AsyncGenerator<Listed>}
   */
  async *searchOf(user, isIt, isWanted) {
    const asked = this.asked("sessionsOf", user);
    for await (const entries of this.commands.entriesOf("sessionsOf", asked)) {
      for (const entry of entries.filter(({ sid }) => isIt(sid))) {
        const listed = await this.look("sessionsOf", asked, entry);
        if (listed !== undefined) yield listed;
      }
      if (!isWanted()) return;
      await turn();
    }
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
    /** @type {Set<string>} */
    const dead = new Set();
    let count = 0;
    // What ends while it is listed may live on under another id, which `rotate` has given it.
    for (let isOver = false; !isOver; ) {
      const known = dead.size;
      let listedNow = 0;
      for await (const listed of this.live("destroyAllOf", asked, dead)) {
        const gone = listed.filter(({ id }) => !kept.has(id));
        const destroyed = await Promise.all(
          gone.map(({ id }) => this.endOf("destroyAllOf", id, asked)),
        );
        listedNow += gone.length;
        count += destroyed.filter(Boolean).length;
      }
      isOver = listedNow === 0 && dead.size === known;
    }
    return count;
  }

  /** Adds all stored sessions to their users' sets; resolves to how many have a user. */
  async reindex() {
    this.needsUsers("reindex");
    if (this.means.hasHandles) {
      throw this.means.invalid(
        "reindex: with hashIds the keys in Redis do not hold the session ids; sessions enter their users' lists at their next request",
      );
    }
    /** @type {string[]} */
    const ids = await this.means.use("reindex", (native) => native.ids());
    // Keys that hold a handle do not say the sid; there are some if `hashIds` was on before.
    const sids = ids.filter((id) => !isHandle(id));
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
          if (!(life > 0)) return false;
          await this.add(sid, user, life, "reindex");
          if (this.interval !== undefined) await this.commands.addDeadline(sid, Date.now() + life);
          return true;
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
      this.means.use("events", (native) => native.pttl(sid, "events"));
    await sweepDeadlines(this.commands, pttl, (sid) => this.emit("expired", sid));
    return !this.means.isClosed();
  }

  /**
   * Before an update writes: the session is in its new user's set. Returns what must be done after it,
   * with the milliseconds that the session then has to live.
   * @param {string} sid
   * @param {string | undefined} before
   * @param {any} session
   * @param {number} life
   * @returns {Promise<(life: number) => Promise<void>>}
   */
  async updating(sid, before, session, life) {
    const user = this.readUser(session);
    if (user === before) return async (left) => this.renew(sid, user, left);
    const most = user === undefined ? undefined : this.maxSessions?.(user);
    const [leave] = await Promise.all([
      before === undefined ? undefined : this.leaving("update", before, sid),
      user !== undefined && this.add(sid, user, life, "update"),
    ]);
    return async (left) => {
      await leave?.();
      if (user === undefined) return;
      this.renew(sid, user, left);
      await this.enforceMaximum("update", user, most);
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
    this.noteRenewed(sid, life);
    // Looked at again soon: only then it is known that the save which follows was carried out.
    const due = Date.now() + this.provisional;
    return this.commands.addToUser(method, user, sid, due, life * SET_LIFE);
  }

  /**
   * Milliseconds after which whoever reads a session that was added finds it stored, or never will: to add
   * it, to store it and to read it takes `limit` each.
   */
  get provisional() {
    return 4 * this.means.limit;
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
    const now = monotonic();
    const isFresh = last !== undefined && (now - last.at < life || life === last.until);
    if (isFresh && now + life <= last.until) return;
    this.add(sid, user, life, "touch").catch(() => this.renewed.delete(this.store.prefix + sid));
  }

  /**
   * @param {string} sid
   * @param {number} life
   */
  noteRenewed(sid, life) {
    const key = this.store.prefix + sid;
    const at = monotonic();
    this.renewed.delete(key);
    this.renewed.set(key, { at, until: at + life * SET_LIFE });
    if (this.renewed.size > MAX_RENEWED) {
      const [oldest] = this.renewed.keys();
      this.renewed.delete(/** @type {string} */ (oldest));
    }
  }

  /**
   * Destroys the sessions of a user that are too many: those that were used least lately.
   * @param {string} method
   * @param {string} user
   * @param {number | undefined} most
   */
  async enforceMaximum(method, user, most) {
    // Counted after the save: of two sign-ins at once, the later one then sees both.
    if (most === undefined || (await this.commands.count(method, user)) <= most) return;
    const found = await this.list(method, user);
    found.sort(byLastUse);
    const tooMany = found.slice(0, Math.max(found.length - most, 0));
    await Promise.all(tooMany.map(({ id }) => this.endOf(method, id, user)));
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
   * @param {Set<string>} [dead] gets the ids of entries that are not those of a session of the user
   * @returns {AsyncGenerator<Listed[]>}
   */
  async *live(method, user, dead) {
    /** ZSCAN may give an entry twice. */
    const seen = new Set();
    for await (const entries of this.commands.entriesOf(method, user)) {
      const fresh = entries.filter(({ sid }) => !seen.has(sid) && seen.add(sid));
      for (let at = 0; at < fresh.length; at += READ_AT_ONCE) {
        const some = fresh.slice(at, at + READ_AT_ONCE);
        const looked = await Promise.all(some.map((entry) => this.look(method, user, entry)));
        for (const [n, { sid }] of some.entries()) if (looked[n] === undefined) dead?.add(sid);
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
  async look(method, user, entry) {
    const { sid, score } = entry;
    const record = await this.read(method, sid);
    const session = record === null ? null : await this.parse(record).catch(skipped);
    const now = Date.now();
    if (this.userIn(session) !== user) {
      // A save under way may have added it, and not have stored it yet.
      if (this.isSettled(score, now)) await this.commands.revise(method, user, entry);
      return undefined;
    }
    const expires = record?.expires;
    if (score <= now) {
      const end = expires ?? Number.POSITIVE_INFINITY;
      // One that ends soon would look like one that was just added.
      const due = Math.max(end, now + this.provisional);
      await this.commands.revise(method, user, entry, due);
    }
    const listed = { id: sid, expires: expires === undefined ? null : new Date(expires) };
    return { ...listed, data: session, score };
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
  async end(method, sid) {
    try {
      return await this.means.use(method, (native) => native.end(sid, 0, method));
    } catch (error) {
      if (/** @type {any} */ (error)?.code !== "ECONNRESET") throw error;
      // Whether it was there is not known, but it is deleted all the same, as without an index.
      await this.means.use(method, (native) => native.destroy(sid));
      return 1;
    }
  }

  /** @param {import("../types.js").StoredRecord} record */
  async parse(record) {
    return parseOne(this.store.serializer, record);
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
    if (!this.hasUsers) throw needsUser(method);
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
  if (!hasUsers) throw needsUser("RedisStore: maxSessions");
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

/** @param {any} session */
function maxAgeOf(session) {
  return session?.cookie?.originalMaxAge;
}

/** @param {Listed} listed */
function endOf({ expires }) {
  return expires?.getTime() ?? Number.MAX_VALUE;
}

/**
 * Orders sessions by their last use, the earliest first. Each process reads an end at another moment, so
 * ends that are close say nothing: then the stored scores decide, which are the same for all. Else of two
 * sign-ins at once each would end the other.
 * @param {Listed} one
 * @param {Listed} other
 */
function byLastUse(one, other) {
  const between = endOf(one) - endOf(other);
  if (Math.abs(between) > 1000) return between;
  return one.score - other.score || (one.id < other.id ? -1 : 1);
}

/** What cannot be read is nobody's session. */
function skipped() {
  return null;
}

let lastTurn = monotonic();

/** Lets the event loop turn, if it has not for a while. */
async function turn() {
  if (monotonic() - lastTurn < TURN_MS) return;
  await new Promise((resolve) => setImmediate(resolve));
  lastTurn = monotonic();
}

module.exports = { SessionIndex };
