"use strict";

// The commands on the keys of an index. Such a key stands outside the store's prefix, or a scan would
// take it for a session.

const { createHash } = require("node:crypto");
const { hashOf } = require("./user-of.js");

/** What stands before the store's prefix in a key of an index. */
const INDEX_PREFIX = "idx:";
/** The sets that hold the deadlines of all sessions: several, so that a cluster shares the work. */
const DEADLINE_SETS = 16;
/** Entries of a set that are read at once. */
const CHUNK = 1000;

/**
 * Adds a session to a user's set, which lives at least so long. Redis 6.2 has no PEXPIRE that only ever
 * extends. Returns how many sessions there are.
 */
const ADD = `redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
local count, left, life = redis.call('ZCARD', KEYS[1]), redis.call('PTTL', KEYS[1]), tonumber(ARGV[3])
if life < 0 then redis.call('PERSIST', KEYS[1])
elseif count == 1 or (left >= 0 and left < life) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return count`;

/**
 * Moves an entry of a user's set to another score, or takes it out if there is none; but only if nobody
 * has added it again since its score was read. Returns 1 if it was so.
 */
const REVISE = `local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then return redis.call('ZREM', KEYS[1], ARGV[1]) end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1`;

/** The SHA1 digests of the scripts, by which Redis knows them. */
const DIGESTS = new Map(
  [ADD, REVISE].map((script) => [script, createHash("sha1").update(script).digest("hex")]),
);

/**
 * @typedef {InstanceType<typeof import("../native/native-backend.js").NativeBackend>} NativeBackend
 * @typedef {(call: (index: NativeBackend) => Promise<any>) => Promise<any>} Use makes a call on the
 *   index's own backend, whose prefix is that of the index
 * @typedef {{sid: string, score: number}} Entry of a user's set; the score is when it is due
 */

/** @param {string} user */
function userKey(user) {
  return `user:${hashOf(user)}`;
}

/** @param {string} sid */
function deadlineKey(sid) {
  let sum = 0;
  for (let n = 0; n < sid.length; n += 1) sum += sid.charCodeAt(n);
  return `due:${sum % DEADLINE_SETS}`;
}

/**
 * A score as Redis reads it.
 * @param {number} time
 */
function scoreOf(time) {
  return time === Number.POSITIVE_INFINITY ? "+inf" : `${Math.ceil(time)}`;
}

/**
 * A score as Redis gives it.
 * @param {string} score
 */
function numberOf(score) {
  return Number(score.replace("inf", "Infinity"));
}

class IndexCommands {
  /** @param {Use} use */
  constructor(use) {
    this.use = use;
  }

  /**
   * @param {string} method of the store, for messages
   * @param {string} key
   * @param {string[]} before the words before the key
   * @param {string[]} [after] those after it
   */
  run(method, key, before, after = []) {
    return this.use((index) => index.runIndex(method, key, before, after));
  }

  /**
   * Adds a session to its user's set; resolves to how many the set has.
   * @param {string} method
   * @param {string} user
   * @param {string} sid
   * @param {number} due when it must be looked at again
   * @param {number} life milliseconds that the set lives at least; Infinity for ever
   */
  addToUser(method, user, sid, due, life) {
    const ms = life === Number.POSITIVE_INFINITY ? "-1" : `${Math.ceil(life)}`;
    return this.runScript(method, userKey(user), ADD, [sid, scoreOf(due), ms]);
  }

  /**
   * @param {string} method
   * @param {string} key
   * @param {string} script
   * @param {string[]} after
   */
  async runScript(method, key, script, after) {
    try {
      return await this.run(method, key, ["EVALSHA", `${DIGESTS.get(script)}`, "1"], after);
    } catch (error) {
      if (/** @type {any} */ (error)?.code !== "NOSCRIPT") throw error;
      return this.run(method, key, ["EVAL", script, "1"], after);
    }
  }

  /**
   * How many entries a user's set has, dead ones among them.
   * @param {string} method
   * @param {string} user
   * @returns {Promise<number>}
   */
  count(method, user) {
    return this.run(method, userKey(user), ["ZCARD"]);
  }

  /**
   * The score of a session in a user's set; undefined if it is not there.
   * @param {string} method
   * @param {string} user
   * @param {string} sid
   */
  async scoreIn(method, user, sid) {
    const score = await this.run(method, userKey(user), ["ZSCORE"], [sid]);
    return score === null ? undefined : numberOf(`${score}`);
  }

  /**
   * @param {string} method
   * @param {string} user
   * @param {string} sid
   */
  removeFromUser(method, user, sid) {
    return this.run(method, userKey(user), ["ZREM"], [sid]);
  }

  /**
   * A session is looked at again at another time, or no longer, if it was not added again since its score
   * was read.
   * @param {string} method
   * @param {string} user
   * @param {Entry} entry
   * @param {number} [due]
   */
  revise(method, user, { sid, score }, due) {
    const after = [sid, scoreOf(score), due === undefined ? "" : scoreOf(due)];
    return this.runScript(method, userKey(user), REVISE, after);
  }

  /**
   * The entries of a user's set, some at a time; each that is there all the while comes at least once.
   * @param {string} method
   * @param {string} user
   * @returns {AsyncGenerator<Entry[]>}
   */
  async *entriesOf(method, user) {
    let cursor = "0";
    do {
      const after = [cursor, "COUNT", `${CHUNK}`];
      const [next, flat] = await this.run(method, userKey(user), ["ZSCAN"], after);
      const entries = [];
      for (let n = 0; n < flat.length; n += 2) {
        entries.push({ sid: flat[n], score: numberOf(flat[n + 1]) });
      }
      cursor = next;
      yield entries;
    } while (cursor !== "0");
  }

  /**
   * Notes when a new session ends; resolves to whether it was not noted yet.
   * @param {string} sid
   * @param {number} time
   */
  async addDeadline(sid, time) {
    const after = ["NX", scoreOf(time), sid];
    return (await this.run("set", deadlineKey(sid), ["ZADD"], after)) === 1;
  }

  /**
   * Takes a session's deadline away; resolves to whether it was there, which is so for one caller only.
   * @param {string} method
   * @param {string} sid
   */
  async takeDeadline(method, sid) {
    return (await this.run(method, deadlineKey(sid), ["ZREM"], [sid])) === 1;
  }

  /**
   * @param {string} sid
   * @param {number} time
   */
  postponeDeadline(sid, time) {
    return this.run("events", deadlineKey(sid), ["ZADD"], ["XX", scoreOf(time), sid]);
  }

  /**
   * Some of the sessions whose deadline in a set is over.
   * @param {number} set
   * @param {number} now
   * @returns {Promise<string[]>}
   */
  due(set, now) {
    const after = ["-inf", `${now}`, "LIMIT", "0", `${CHUNK}`];
    return this.run("events", `due:${set}`, ["ZRANGEBYSCORE"], after);
  }

  clear() {
    return this.use((index) => index.clearIndex());
  }
}

module.exports = { CHUNK, DEADLINE_SETS, INDEX_PREFIX, IndexCommands };
