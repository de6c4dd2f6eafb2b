"use strict";

// Handles: what stands for a session where its sid must not be seen. Whoever has a handle has no session:
// it opens nothing as a cookie, and no sid can be worked out of it.

const { createHmac, timingSafeEqual } = require("node:crypto");
const { idInSessionKey } = require("../addon/load.js");
const { kState } = require("../store-backend.js");

/** Bytes of a handle: two of a million sessions have the same with a probability of 10⁻¹⁷. */
const LENGTH = 12;
const FORM = /^[0-9a-f]{24}$/;

class Handles {
  /**
   * @param {import("../store-backend.js").Store} store whose sessions the handles stand for
   * @param {string | Buffer} key the same key makes the same handles
   */
  constructor(store, key) {
    this.store = store;
    this.key = key;
  }

  /**
   * @param {string} id of the session, as a scan or the index has it
   * @returns {string} hexadecimal, so that it is never taken for an option
   */
  of(id) {
    return this.bytesOf(id).toString("hex");
  }

  /**
   * What tells whether an id is that of a handle; undefined if it is no handle.
   * @param {unknown} handle
   */
  matcher(handle) {
    if (typeof handle !== "string" || !FORM.test(handle)) return undefined;
    const wanted = Buffer.from(handle, "hex");
    return (/** @type {string} */ id) => timingSafeEqual(this.bytesOf(id), wanted);
  }

  /** @param {string} id */
  bytesOf(id) {
    const key = this.store.prefix + this.idInKey(id);
    return createHmac("sha256", this.key).update(key).digest().subarray(0, LENGTH);
  }

  /**
   * With `hashIds`, a scan has hashed ids and the index has sids, and a session may move from one kind of
   * key to the other: the handle is that of the hashed id.
   * @param {string} id
   */
  idInKey(id) {
    const { hasHandles, moves } = this.store[kState];
    // As for `destroy`, which takes both.
    return hasHandles || moves ? idInSessionKey(id, "destroy") : id;
  }
}

module.exports = { Handles };
