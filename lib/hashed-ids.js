"use strict";

// The option `hashIds`: which key a session has, and the way from one kind of key to the other.

const { idInSessionKey } = require("./addon/load.js");
const { invalid } = require("./errors.js");

// Taken when the module is loaded: an app's tests may put fakes in their place later.
const { stringify } = JSON;

/**
 * The key of a session, for the store's method `name`, as src/napi/lifetime.rs has it.
 * @param {import("./types.js").NativeFields} fields
 * @param {string} sid
 * @param {string} name
 */
function keyOf(fields, sid, name) {
  if (!fields.hasHandles) return fields.prefix + sid;
  try {
    return fields.prefix + idInSessionKey(`${sid}`, name);
  } catch (/** @type {any} */ error) {
    throw invalid(error.message);
  }
}

/**
 * @typedef {InstanceType<typeof import("./native/native-backend.js").NativeBackend>} NativeBackend
 * @typedef {InstanceType<typeof import("./client/client-backend.js").ClientBackend>} ClientBackend
 * @typedef {NativeBackend | ClientBackend} Backend
 */

/**
 * A backend that writes to keys of one kind and also finds sessions at keys of the other kind
 * (`hashIds: "migrate"` and `"read"`). A session is moved when it is read or saved.
 *
 * A move writes to the new key before it deletes the old one. So what reads looks at the old key
 * after the new one, and then once more at the new one; what deletes begins with the old key, and ends
 * with it, because another process may move sessions the other way.
 */
class MovingBackend {
  /**
   * @param {Backend} to at the keys to write to
   * @param {Backend} from at the others
   */
  constructor(to, from) {
    this.to = to;
    this.from = from;
  }

  /**
   * Makes calls one after the other: what carries them is not left before the last of them.
   * @template T
   * @param {() => Promise<T>} make
   */
  inSequence(make) {
    const { to, from } = this;
    return to.inSequence(() => from.inSequence(make));
  }

  /** @param {import("./types.js").NativeFields} fields */
  configure(fields) {
    this.to.configure(fields);
    this.from.configure(otherKeys(fields));
  }

  /**
   * @param {string} sid
   * @param {import("./types.js").Serializer} serializer
   * @param {import("./types.js").HandOut} handOut
   * @param {boolean} [readsThrough] as for the native backend
   */
  get(sid, serializer, handOut, readsThrough) {
    const { to, from } = this;
    return this.inSequence(async () => {
      if (isHandle(sid)) return null;
      const found = await to.get(sid, serializer, handOut, readsThrough);
      if (found !== null) return found;
      const other = await from.get(sid, serializer, handOut);
      if (other === null) return to.get(sid, serializer, handOut, readsThrough);
      // The request does not wait for it. If it fails, the next save moves the session, or fails.
      to.move(sid).catch(() => {});
      return other;
    });
  }

  /**
   * @param {string} sid
   * @param {any} payload
   * @param {number} now
   * @param {unknown} expires
   * @param {unknown} ttl
   * @param {boolean} isLoaded
   * @param {number} [end]
   * @param {import("./types.js").Comparison} [comparison]
   */
  set(sid, payload, now, expires, ttl, isLoaded, end, comparison) {
    const { to, from } = this;
    return this.inSequence(async () => {
      if (isHandle(sid)) throw invalid(NO_SID);
      // It may be stored a second time, when the app has changed the session.
      const text = typeof payload === "function" ? payload() : stringify(payload);
      const set = () => to.set(sid, () => text, now, expires, ttl, isLoaded, end, comparison);
      const done = await set();
      if (done === "discarded") {
        await to.move(sid);
        return set();
      }
      await from.destroy(sid);
      return done;
    });
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
    const { to, from } = this;
    return this.inSequence(async () => {
      if (isHandle(sid)) return null;
      // The expiry at the old key goes with a move; so the old key is first.
      await from.touch(sid, now, expires, ttl, end, loadedUntil);
      return to.touch(sid, now, expires, ttl, end, loadedUntil);
    });
  }

  /**
   * @param {number} now
   * @param {unknown} expires
   * @param {unknown} ttl
   */
  checkTimes(now, expires, ttl) {
    this.to.checkTimes(now, expires, ttl);
  }

  /**
   * As in native/native-backend.js; likewise the next four.
   * @param {string} sid
   */
  readForUpdate(sid) {
    return this.afterMove(sid, async (to) => (isHandle(sid) ? null : to.readForUpdate(sid)));
  }

  /**
   * @param {string} method
   * @param {string} sid
   */
  readRecord(method, sid) {
    return this.afterMove(sid, (to) => to.readRecord(method, sid));
  }

  /** @param {Parameters<NativeBackend["replace"]>} save */
  replace(...save) {
    return /** @type {NativeBackend} */ (this.to).replace(...save);
  }

  /**
   * @param {string} sid
   * @param {string} [method]
   */
  pttl(sid, method) {
    return this.afterMove(sid, (to) => to.pttl(sid, method));
  }

  /**
   * @param {string} sid
   * @param {number} ms
   * @param {string} [method]
   */
  end(sid, ms, method) {
    return this.afterMove(sid, (to) => to.end(sid, ms, method));
  }

  /**
   * Makes a call after the session has been moved, if it must be.
   * @template T
   * @param {string} sid
   * @param {(to: NativeBackend) => Promise<T>} call
   */
  afterMove(sid, call) {
    const to = /** @type {NativeBackend} */ (this.to);
    return this.inSequence(async () => {
      if (!isHandle(sid)) await to.move(sid);
      return call(to);
    });
  }

  /** What `update` reads. */
  get native() {
    return this.to.native;
  }

  get fields() {
    return this.to.fields;
  }

  /** @param {string} sid */
  destroy(sid) {
    const { to, from } = this;
    return this.inSequence(async () => {
      await from.destroy(sid);
      await to.destroy(sid);
      return from.destroy(sid);
    });
  }

  clear() {
    return this.to.clear();
  }

  length() {
    return this.to.length();
  }

  ids() {
    return this.to.ids();
  }

  all() {
    return this.to.all();
  }

  rewrite() {
    return this.to.rewrite();
  }

  /**
   * @param {string} position
   * @param {number} limit
   */
  page(position, limit) {
    return this.to.page(position, limit);
  }

  /**
   * @param {string} position
   * @param {number} limit
   */
  idsPage(position, limit) {
    return this.to.idsPage(position, limit);
  }

  ping() {
    return this.to.ping();
  }

  /** @param {string} sid */
  move(sid) {
    return this.to.move(sid);
  }

  /**
   * What the app's client must do again: see client-backend.js.
   * @param {[name: string, left: number, command: string, clientsKey: string, ...rest: any[]]} call
   */
  again(...call) {
    return /** @type {ClientBackend} */ (this.to).again(...call);
  }

  close() {
    return this.to.close();
  }

  retire() {
    this.to.retire();
  }

  get status() {
    return this.to.status;
  }
}

const NO_SID = "set: the id must be that of a session, got a handle as ids() returns it (hashIds)";

/**
 * Whether this is what stands in a key instead of a sid: see src/session/hashed_id.rs. At a key with the sid
 * it would be found.
 * @param {string} id
 */
function isHandle(id) {
  return /^sha256:[\w-]{43}$/.test(id);
}

/**
 * The fields of the same store at its keys of the other kind.
 * @param {import("./types.js").NativeFields} fields
 */
function otherKeys(fields) {
  return { ...fields, hasHandles: !fields.hasHandles };
}

module.exports = { MovingBackend, isHandle, keyOf, otherKeys };
