"use strict";

// A store's calls over a native connection, its own or one that it shares with other stores of the
// same client: which command each of them is. In JS because JSON is V8's.

const { FOREVER, SKIPPED, UNCHANGED, planSave, planTouch } = require("../lifetime.js");
const { commands, methods } = require("./crossing.js");

const { GET, SET, SET_XX, PEXPIRE, PERSIST, DEL } = commands;
const [BY_GET, BY_SET, BY_TOUCH, BY_DESTROY] = ["get", "set", "touch", "destroy"].map((name) =>
  methods.indexOf(name),
);

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { stringify } = JSON;

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
    this.fields = fields;
  }

  /**
   * What `handOut` makes of the session of `sid`, or null if there is none. If the serializer is not
   * JSON, it is a record `{text, expires}` for the store to have parsed.
   * @param {string} sid
   * @param {import("../types.js").Serializer} serializer
   * @param {import("../types.js").HandOut} handOut
   */
  get(sid, serializer, handOut) {
    const made = serializer === JSON ? handOut : undefined;
    return this.call(BY_GET, GET, `${sid}`, undefined, 0, made);
  }

  /**
   * Stores a session, or what `payload` returns, if it is a function.
   * @param {string} sid
   * @param {any} payload
   * @param {number} now
   * @param {unknown} expires the session's `cookie.expires`, undefined if it does not count
   * @param {unknown} ttl seconds: the field, or what it returned for this session
   * @param {boolean} isLoaded whether the session was loaded from this store, so that it is not
   *   written if its key is gone; then the promise is of false
   * @param {number} [end] when the session ends whatever happens
   */
  set(sid, payload, now, expires, ttl, isLoaded, end) {
    const ms = planSave(this.native, this.fields, expires, ttl, now, end);
    if (ms <= 0) return this.call(BY_SET, DEL, `${sid}`, undefined, 0);
    const value = typeof payload === "function" ? payload() : stringify(payload);
    if (typeof value !== "string") this.native.checkPayload(value);
    const command = isLoaded && !this.resurrect ? SET_XX : SET;
    return this.call(BY_SET, command, `${sid}`, value, ms);
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

  length() {
    return this.batch.scan(this.caller, "length");
  }

  ids() {
    return this.batch.scan(this.caller, "ids");
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

module.exports = { NativeBackend };
