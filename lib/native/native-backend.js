"use strict";

// A store's calls over a native connection, its own or one that it shares with other stores of the
// same client: which command each of them is. In JS because JSON is V8's.

const { FOREVER, SKIPPED, UNCHANGED, planSave, planTouch } = require("../lifetime.js");
const { commands, methods } = require("../addon/crossing.js");
const { Base } = require("./bases.js");

const { GET, SET, SET_XX, PEXPIRE, PERSIST, DEL, PTTL, END } = commands;
const { GET_RECORD, INDEX, GET_BASE, SET_NEW, SAVE_MERGE, SAVE_REPORT, SAVE_GIVE_UP } = commands;
const BY_GET = methods.indexOf("get");
const BY_SET = methods.indexOf("set");
const BY_TOUCH = methods.indexOf("touch");
const BY_DESTROY = methods.indexOf("destroy");
const BY_UPDATE = methods.indexOf("update");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { parse, stringify } = JSON;

class NativeBackend {
  /**
   * @param {InstanceType<typeof import("./batch.js").Batch>} batch
   * @param {object} store
   * @param {InstanceType<typeof import("./pending-calls.js").Caller>} store.caller
   * @param {import("../client/client-calls.js").Bounds} store.bounds
   * @param {boolean} store.resurrect
   */
  constructor(batch, { caller, bounds, resurrect }) {
    this.batch = batch;
    this.native = batch.native;
    this.caller = caller;
    this.bounds = bounds;
    this.resurrect = resurrect;
    /** As src/napi/options/settings.rs reads them. */
    this.fields = /** @type {import("../types.js").NativeFields} */ (
      /** @type {unknown} */ (undefined)
    );
  }

  /**
   * Sets the store's fields, at first and when the app has changed one.
   * @param {import("../types.js").NativeFields} fields
   */
  configure(fields) {
    this.batch.configure(this.caller, fields);
    this.caller.cache?.configure(fields);
    this.fields = fields;
  }

  /**
   * What `handOut` makes of the session of `sid`, or null if there is none. If the serializer is not
   * JSON, it is a record `{text, expires}` for the store to have parsed.
   * @param {string} sid
   * @param {import("../types.js").Serializer} serializer
   * @param {import("../types.js").HandOut} handOut
   * @param {boolean} [readsThrough] whether a copy of the near cache does not do
   */
  get(sid, serializer, handOut, readsThrough = false) {
    const made = serializer === JSON ? handOut : undefined;
    const { cache } = this.caller;
    if (cache === undefined) return this.call(BY_GET, GET, `${sid}`, undefined, 0, made);
    return this.getNear(cache, `${sid}`, made, readsThrough);
  }

  /**
   * As `get`, of the near cache if it has a copy.
   * @param {InstanceType<typeof import("./near-cache.js").NearCache>} cache
   * @param {string} sid
   * @param {import("../types.js").HandOut | undefined} handOut
   * @param {boolean} readsThrough
   * @returns {Promise<any>}
   */
  getNear(cache, sid, handOut, readsThrough) {
    const { counts } = this.caller;
    try {
      const id = cache.idOf(sid);
      const copy = readsThrough ? undefined : cache.find(id);
      if (copy !== undefined) {
        cache.hits += 1;
        const { text, expires, base } = copy;
        const found =
          handOut === undefined
            ? { text, expires }
            : handOut(parse(text), expires, base?.copy(), text);
        counts.answered(BY_GET, found);
        return cache.serve(found);
      }
      return cache.read(id, (keep) => {
        if (handOut === undefined) {
          return this.call(BY_GET, GET, sid, undefined, 0).then((record) => {
            if (record !== null) keep(record.text, record.expires);
            return record;
          });
        }
        /** @type {import("../types.js").HandOut} */
        const keepIt = (session, expires, base, text) => {
          keep(text, expires, base);
          return handOut(session, expires, base?.copy(), text);
        };
        return this.call(BY_GET, GET, sid, undefined, 0, keepIt);
      });
    } catch (error) {
      counts.failed(BY_GET, error);
      return Promise.reject(error);
    }
  }

  /**
   * Stores a session, or what `payload` returns, if it is a function.
   * @param {string} sid
   * @param {any} payload
   * @param {number} now
   * @param {unknown} expires the session's `cookie.expires`, undefined if it does not count
   * @param {unknown} ttl seconds: the field, or what it returned for this session
   * @param {boolean} isLoaded whether the session was loaded from this store, so that it is not
   *   written if its key is gone; then the promise is of "discarded"
   * @param {number} [end] when the session ends whatever happens
   * @param {import("../types.js").Comparison} [comparison] if the save compares with what is stored
   */
  set(sid, payload, now, expires, ttl, isLoaded, end, comparison) {
    const ms = planSave(this.native, this.fields, expires, ttl, now, end);
    if (ms <= 0) return this.call(BY_SET, DEL, `${sid}`, undefined, 0);
    const value = typeof payload === "function" ? payload() : stringify(payload);
    if (typeof value !== "string") this.native.checkPayload(value);
    if (comparison !== undefined) {
      return this.compare(`${sid}`, value, ms, isLoaded, comparison, longest(end, now));
    }
    const command = isLoaded && !this.resurrect ? SET_XX : SET;
    return this.call(BY_SET, command, `${sid}`, value, ms);
  }

  /**
   * Stores a session if it is still stored as it was loaded; what happens if it is not, `how` says. The
   * promise is of what became of it (`Saved`), of the names of overwritten members, or of the base of a
   * session that was new.
   * @param {string} sid
   * @param {string} value
   * @param {number} ms
   * @param {boolean} isLoaded
   * @param {import("../types.js").Comparison} comparison
   * @param {number} longest
   */
  compare(sid, value, ms, isLoaded, { how, base }, longest) {
    const { batch, caller, bounds } = this;
    if (base?.isOf(this.bases)) {
      const command = how === "merge" ? SAVE_MERGE : SAVE_REPORT;
      return batch.call(caller, bounds, BY_SET, command, sid, value, ms, undefined, base, longest);
    }
    if (!isLoaded) {
      const first = Base.ofNew(this.bases);
      return batch.call(caller, bounds, BY_SET, SET_NEW, sid, value, ms, undefined, first, longest);
    }
    // It was loaded over another connection, which had its base.
    return this.call(BY_SET, SET_XX, sid, value, ms).then((saved) => saved ?? "unmerged");
  }

  /** The bases of what is read here. */
  get bases() {
    return /** @type {InstanceType<typeof import("./bases.js").Bases>} */ (
      this.batch.pending.bases
    );
  }

  /**
   * Reads a session for `replace`: a record with its base, or null if there is none.
   * @param {string} sid
   * @returns {Promise<import("../types.js").StoredRecord | null>}
   */
  readForUpdate(sid) {
    return this.call(BY_UPDATE, GET_BASE, `${sid}`, undefined, 0);
  }

  /**
   * Stores a session if it is still stored as it was read. The promise is of "conflict" if it is not, of
   * "discarded" if it is gone, else of null.
   * @param {string} sid
   * @param {string | Uint8Array} value
   * @param {number} ms as for `planSave`; NaN to leave the expiry as it is
   * @param {import("../types.js").Base} base
   */
  replace(sid, value, ms, base) {
    const { batch, caller, bounds } = this;
    // It was read over another connection: it must be read again.
    if (!base.isOf(this.bases)) return Promise.resolve("conflict");
    if (ms <= 0) return this.call(BY_UPDATE, DEL, `${sid}`, undefined, 0);
    if (typeof value !== "string") this.native.checkPayload(value);
    return batch.call(
      caller,
      bounds,
      BY_UPDATE,
      SAVE_GIVE_UP,
      `${sid}`,
      value,
      ms,
      undefined,
      base,
      FOREVER,
    );
  }

  /**
   * Reads a session as it is stored: a record with its expiry, or null if there is none.
   * @param {string} method of the store, for messages
   * @param {string} sid
   * @returns {Promise<import("../types.js").StoredRecord | null>}
   */
  readRecord(method, sid) {
    return this.call(methods.indexOf(method), GET_RECORD, `${sid}`, undefined, 0);
  }

  /**
   * Executes a command on a key of an index; resolves to its reply, of numbers, texts, lists and null.
   * @param {string} method of the store, for messages
   * @param {string} key without the prefix
   * @param {string[]} before the words before the key
   * @param {string[]} after those after it
   */
  runIndex(method, key, before, after) {
    const words = stringify([before, after]);
    return this.call(methods.indexOf(method), INDEX, key, words, 0, asItIs);
  }

  /**
   * Milliseconds until a session ends: -1 if never, -2 if there is none.
   * @param {string} sid
   * @param {string} [method] of the store, for messages
   */
  pttl(sid, method = "rotate") {
    return this.call(methods.indexOf(method), PTTL, `${sid}`, undefined, 0);
  }

  /**
   * Ends a session in so many milliseconds; now, if that is 0. Resolves to 0 if there is none.
   * @param {string} sid
   * @param {number} ms
   * @param {string} [method] of the store, for messages
   */
  end(sid, ms, method = "rotate") {
    return this.call(methods.indexOf(method), END, `${sid}`, undefined, ms);
  }

  /**
   * Moves the expiry of a session. Times as for `set`; `loadedUntil` is the expiry that the session was
   * loaded with, if it is known.
   * @param {string} sid
   * @param {number} now
   * @param {unknown} expires
   * @param {unknown} ttl
   * @param {number} [end]
   * @param {number} [loadedUntil]
   */
  touch(sid, now, expires, ttl, end, loadedUntil) {
    const ms = planTouch(this.native, this.fields, expires, ttl, now, end, loadedUntil);
    if (ms === UNCHANGED) return SKIPPED;
    const command = ms <= 0 ? DEL : ms === FOREVER ? PERSIST : PEXPIRE;
    return this.call(BY_TOUCH, command, `${sid}`, undefined, ms);
  }

  /**
   * Throws what `touch` would, for these times.
   * @param {number} now
   * @param {unknown} expires
   * @param {unknown} ttl
   */
  checkTimes(now, expires, ttl) {
    planTouch(this.native, this.fields, expires, ttl, now);
  }

  /**
   * Deletes a session; no error if there is none.
   * @param {string} sid
   */
  destroy(sid) {
    return this.call(BY_DESTROY, DEL, `${sid}`, undefined, 0);
  }

  clear() {
    return this.batch.scan(this.caller, "clear");
  }

  /** Deletes the sorted sets of the index whose prefix this backend has. */
  clearIndex() {
    return this.batch.scan(this.caller, "clear of the index");
  }

  length() {
    return this.batch.scan(this.caller, "length");
  }

  ids() {
    return this.batch.scan(this.caller, "ids");
  }

  /** Brings records to the form of today; resolves to how many. */
  rewrite() {
    return this.batch.scan(this.caller, "rewrite");
  }

  /**
   * Moves a session to its key here from its key with the other `hashIds`, in the form of today.
   * Resolves to 1, or to 0 if it was not there.
   * @param {string} sid
   */
  move(sid) {
    return this.batch.scan(this.caller, "rewrite", undefined, `${sid}`);
  }

  /** If the serializer is not JSON, these are records `{id, text, expires}`. */
  all() {
    return this.batch.scan(this.caller, "all", this.fields.json);
  }

  /**
   * Some of the sessions, as records `{id, text, expires}`, and the position of the next ones.
   * @param {string} position as the page before ended with; "" for the first page
   * @param {number} limit about how many
   * @returns {Promise<import("../types.js").Page>}
   */
  page(position, limit) {
    return this.batch.scan(this.caller, "page", false, position, limit);
  }

  /**
   * As `page`, without the sessions.
   * @param {string} position
   * @param {number} limit
   * @returns {Promise<import("../types.js").IdsPage>}
   */
  idsPage(position, limit) {
    return this.batch.scan(this.caller, "idsPage", false, position, limit);
  }

  /** Resolves when Redis has answered; in a cluster, all masters. */
  ping() {
    return this.batch.scan(this.caller, "ping");
  }

  /** What the connection has carried: see src/io/handle.rs. */
  traffic() {
    return this.native.traffic();
  }

  /** Where the connection goes; undefined if that is not known. */
  get peer() {
    return this.native.peer;
  }

  /**
   * @param {number} method
   * @param {number} command
   * @param {string} sid
   * @param {string | Uint8Array | undefined} value
   * @param {number} ms
   * @param {import("../types.js").HandOut} [handOut]
   */
  call(method, command, sid, value, ms, handOut) {
    const { batch, caller, bounds } = this;
    return batch.call(caller, bounds, method, command, sid, value, ms, handOut);
  }

  /**
   * Makes calls one after the other: the connection is not left before the last of them.
   * @template T
   * @param {() => Promise<T>} make
   */
  inSequence(make) {
    const { batch, caller } = this;
    return batch.pending.sequences.run(() => caller.sequences.run(make));
  }

  /** Resolves to null when the connection is closed; what is pending rejects. */
  close() {
    return this.batch.close();
  }

  retire() {
    this.batch.retire();
  }

  get status() {
    return this.native.status;
  }

  /** @param {unknown} payload */
  checkPayload(payload) {
    this.native.checkPayload(payload);
  }

  /**
   * @param {unknown} expires
   * @param {unknown} ttl
   * @param {number} now
   */
  expiresIn(expires, ttl, now) {
    return this.native.expiresIn(expires, ttl, now);
  }
}

/**
 * A reply that is JSON.
 * @param {any} parsed
 */
function asItIs(parsed) {
  return parsed;
}

/**
 * The most milliseconds that a session may live.
 * @param {number | undefined} end
 * @param {number} now
 */
function longest(end, now) {
  return end === undefined ? FOREVER : end - now;
}

module.exports = { NativeBackend };
