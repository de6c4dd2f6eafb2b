"use strict";

// The native class's methods, carried out by an app's client.
//
// A single call is carried out here, on the JS thread and in JS, because the client is: by way of
// the native side `get` through ioredis was 0.7 times as fast as connect-redis. What is asked of
// the keyspace is the native side's work (src/io/scan/), which sends the commands back (client-scans.js).

const { isUtf8 } = require("node:buffer");
const { keyOf } = require("../hashed-ids.js");
const {
  FOREVER,
  SKIPPED,
  UNCHANGED,
  planSave,
  planTouch,
  wholeSeconds,
} = require("../lifetime.js");
const { isHalfOver, putExpiry } = require("../serializer.js");
const { open, seal } = require("./sealed.js");

/**
 * @typedef {import("../types.js").HandOut} HandOut
 * @typedef {import("../types.js").NativeFields} NativeFields
 * @typedef {Pick<import("../types.js").Serializer, "parse">} Parser
 */

/**
 * Leaves a text as a record for the store to have parsed, as the native side does.
 * @type {Parser}
 */
const RECORD = { parse: (text) => ({ text }) };

class ClientBackend {
  /**
   * @param {import("./client-commands.js").Commands} commands
   * @param {InstanceType<typeof import("./client-calls.js").Calls>} calls
   */
  constructor(commands, calls) {
    this.commands = commands;
    this.calls = calls;
  }

  /**
   * Takes the native object for scans, and whether a session that is gone may be written.
   * @param {InstanceType<typeof import("../native/native-backend.js").NativeBackend>} native
   * @param {NativeFields} fields
   * @param {boolean} resurrect
   */
  begin(native, fields, resurrect) {
    /** @type {InstanceType<typeof import("../native/native-backend.js").NativeBackend>} */
    this.native = native;
    this.resurrect = resurrect;
    /** @type {NativeFields} */
    this.fields = fields;
  }

  /** @param {NativeFields} fields */
  configure(fields) {
    this.native.configure(fields);
    this.fields = fields;
  }

  /**
   * @param {string} sid
   * @param {Parser} serializer
   * @param {HandOut} handOut
   */
  get(sid, serializer, handOut) {
    const { calls, fields } = this;
    const key = keyOf(fields, sid, "get");
    const answer = (/** @type {string | Buffer | null} */ text) =>
      this.found(key, text, serializer, handOut);
    return calls.make("get", key, answer, this.getFor(serializer === JSON), key);
  }

  /**
   * How a session is read: as bytes for a serializer of the app's, whose texts need not be text, and
   * for what a connection of the store's own may have sealed.
   * @param {boolean} isJson
   */
  getFor(isJson) {
    const { get, getBytes } = this.commands;
    return isJson && this.fields.sealer === undefined ? get : (getBytes ?? get);
  }

  /**
   * What `handOut` makes of the session of a text, or a promise of it; null if there is none.
   * @param {string} key
   * @param {string | Buffer | null} stored
   * @param {Parser} serializer
   * @param {HandOut} handOut
   */
  found(key, stored, serializer, handOut) {
    if (!stored || stored.length === 0) return null;
    const text = open(this.fields, key, stored, this.calls.server);
    const parsed = serializer.parse(serializer === JSON ? text : asText(text));
    const handedOut = (/** @type {any} */ session) =>
      this.withTrueExpiry(key, session, text, handOut);
    return typeof parsed?.then === "function"
      ? Promise.resolve(parsed).then(handedOut)
      : handedOut(parsed);
  }

  /**
   * A session with its key's true expiry. Each question to a client is a command of its own, so it
   * is asked only if less than half of the cookie's time is left by what is stored: then the
   * session has been touched since, or will run out soon; before, a save of it is safe.
   * @param {string} key
   * @param {any} session
   * @param {string | Buffer} text
   * @param {HandOut} handOut
   */
  withTrueExpiry(key, session, text, handOut) {
    const { calls, commands, fields } = this;
    const isNeeded = fields.readsExpiry || (fields.followsCookie && isHalfOver(session?.cookie));
    if (!isNeeded) return handOut(session, undefined, undefined, text);
    return calls.make("get", key, Number, commands.pttl, key).then(
      (left) => {
        const until = left >= 0 ? Date.now() + left : undefined;
        const expiring = fields.followsCookie ? putExpiry(session, until) : session;
        return handOut(expiring, until, undefined, text);
      },
      () => handOut(session, undefined, undefined, text), // No right to PTTL: as it is stored.
    );
  }

  /**
   * As in native/native-backend.js; resolves to "discarded" if a loaded session is gone. No save that
   * compares comes here.
   * @param {string} sid
   * @param {unknown} payload
   * @param {number} now
   * @param {unknown} expires
   * @param {unknown} ttl
   * @param {boolean} isLoaded
   * @param {number} [end]
   */
  set(sid, payload, now, expires, ttl, isLoaded, end) {
    const { calls, commands, fields } = this;
    const key = keyOf(fields, sid, "set");
    const ms = planSave(this.native, fields, expires, ttl, now, end);
    if (ms <= 0) return this.del("set", key);
    const value = typeof payload === "function" ? payload() : JSON.stringify(payload);
    const text = typeof value === "string" ? value : this.bytes(value);
    const stored = seal(fields, key, text);
    const onlyExisting = isLoaded && !this.resurrect && commands.canSetOnlyExisting;
    const seconds = wholeSeconds(ms);
    const answer = onlyExisting ? wasWritten : nothing;
    return calls.make("set", key, answer, commands.set, key, stored, seconds, onlyExisting);
  }

  /**
   * Bytes as every client takes them: some make a text of a Uint8Array that is no Buffer.
   * @param {Uint8Array} value
   */
  bytes(value) {
    this.native.checkPayload(value);
    return Buffer.isBuffer(value)
      ? value
      : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }

  /**
   * @param {string} sid
   * @param {number} now
   * @param {unknown} expires
   * @param {unknown} ttl
   * @param {number} [end]
   * @param {number} [loadedUntil]
   */
  touch(sid, now, expires, ttl, end, loadedUntil) {
    const { calls, commands, fields } = this;
    const ms = planTouch(this.native, fields, expires, ttl, now, end, loadedUntil);
    if (ms === UNCHANGED) return SKIPPED;
    const key = keyOf(fields, sid, "touch");
    if (ms <= 0) return this.del("touch", key);
    return ms === FOREVER
      ? calls.make("touch", key, nothing, commands.persist, key)
      : calls.make("touch", key, nothing, commands.expire, key, wholeSeconds(ms));
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
   * As in native/native-backend.js.
   * @param {string} sid
   */
  pttl(sid) {
    const key = keyOf(this.fields, sid, "rotate");
    return this.calls.make("rotate", key, Number, this.commands.pttl, key);
  }

  /**
   * As in native/native-backend.js; in whole seconds.
   * @param {string} sid
   * @param {number} ms
   */
  end(sid, ms) {
    const key = keyOf(this.fields, sid, "rotate");
    const { calls, commands } = this;
    return ms <= 0
      ? calls.make("rotate", key, Number, commands.del, key)
      : calls.make("rotate", key, Number, commands.expire, key, wholeSeconds(ms));
  }

  /** @param {string} sid */
  destroy(sid) {
    return this.del("destroy", keyOf(this.fields, sid, "destroy"));
  }

  /**
   * @param {string} name
   * @param {string} key
   */
  del(name, key) {
    return this.calls.make(name, key, nothing, this.commands.del, key);
  }

  /**
   * Executes the command of a call under which the store's own connection was lost, as
   * src/napi/callbacks.rs hands it back. It has the same effect twice as once.
   * @param {string} name
   * @param {number} left milliseconds until the call's deadline
   * @param {string} command
   * @param {string} clientsKey with the prefix that the client puts before every key
   * @param {string | Buffer} [value]
   * @param {number} [ms]
   * @param {boolean} [onlyExisting]
   * @param {HandOut} [handOut]
   */
  again(name, left, command, clientsKey, value, ms, onlyExisting, handOut) {
    const { calls, commands, fields } = this;
    const key = clientsKey.slice(/** @type {string} */ (fields.clientPrefix).length);
    /**
     * @param {(reply: any) => unknown} answer
     * @param {(...args: any[]) => any} send
     * @param {[first?: unknown, second?: unknown, third?: unknown, fourth?: unknown]} args
     */
    const make = (answer, send, ...args) => {
      const attempt = () => calls.make(name, key, answer, send, ...args);
      const made = calls.handedBack.carry(key, command !== "GET", left, attempt);
      return calls.within(left, name, made);
    };
    const seconds = ms === undefined ? undefined : wholeSeconds(ms);
    const isChecked = onlyExisting && commands.canSetOnlyExisting;
    switch (command) {
      case "GET":
        return make(
          (/** @type {string | Buffer | null} */ text) =>
            handOut === undefined
              ? this.found(key, text, RECORD, (record) => record)
              : this.found(key, text, JSON, handOut),
          this.getFor(handOut !== undefined),
          key,
        );
      case "SET":
        return make(
          isChecked ? wasWritten : nothing,
          commands.set,
          key,
          seal(fields, key, /** @type {string | Buffer} */ (value)),
          seconds,
          isChecked,
        );
      case "EXPIRE":
        return make(nothing, commands.expire, key, seconds);
      case "PERSIST":
        return make(nothing, commands.persist, key);
      default:
        return make(nothing, commands.del, key);
    }
  }

  length() {
    return this.native.length();
  }

  ids() {
    return this.native.ids();
  }

  all() {
    return this.native.all();
  }

  clear() {
    this.calls.handedBack.supersedeAll();
    return this.native.clear();
  }

  /**
   * @param {string} position
   * @param {number} limit
   */
  page(position, limit) {
    return this.native.page(position, limit);
  }

  /**
   * @param {string} position
   * @param {number} limit
   */
  idsPage(position, limit) {
    return this.native.idsPage(position, limit);
  }

  ping() {
    return this.native.ping();
  }

  rewrite() {
    return this.native.rewrite();
  }

  /** @param {string} sid */
  move(sid) {
    return this.native.move(sid);
  }

  /**
   * As in native/native-backend.js.
   * @template T
   * @param {() => Promise<T>} make
   */
  inSequence(make) {
    return this.calls.sequences.run(make);
  }

  close() {
    return this.native.close();
  }

  retire() {
    this.calls.sequences.after(() => this.native.retire());
  }

  get status() {
    return this.native.status;
  }
}

/**
 * Bytes that are valid UTF-8 as a string; whatever else as it is.
 * @param {string | Buffer} read
 */
function asText(read) {
  return Buffer.isBuffer(read) && isUtf8(read) ? read.toString("utf8") : read;
}

function nothing() {
  return null;
}

/**
 * What SET with XX replies: null if there was nothing to overwrite.
 * @param {unknown} reply
 */
function wasWritten(reply) {
  return reply === null ? "discarded" : null;
}

module.exports = { ClientBackend };
