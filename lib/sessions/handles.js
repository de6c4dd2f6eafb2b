"use strict";

// Handles: what stands for a session where its sid must not be seen. Whoever has a handle has no session:
// it opens nothing as a cookie, and no sid can be worked out of it.

const { createHmac, timingSafeEqual } = require("node:crypto");

/** Bytes of a handle: two of a million sessions have the same with a probability of 10⁻¹⁷. */
const LENGTH = 12;
const FORM = /^[0-9a-f]{24}$/;

class Handles {
  /** @param {string | Buffer} key the same key makes the same handles */
  constructor(key) {
    this.key = key;
  }

  /**
   * @param {string} key of the session in Redis
   * @returns {string} hexadecimal, so that it is never taken for an option
   */
  of(key) {
    return this.bytesOf(key).toString("hex");
  }

  /**
   * What tells whether a key is that of a handle; undefined if it is no handle.
   * @param {unknown} handle
   */
  matcher(handle) {
    if (typeof handle !== "string" || !FORM.test(handle)) return undefined;
    const wanted = Buffer.from(handle, "hex");
    return (/** @type {string} */ key) => timingSafeEqual(this.bytesOf(key), wanted);
  }

  /** @param {string} key */
  bytesOf(key) {
    return createHmac("sha256", this.key).update(key).digest().subarray(0, LENGTH);
  }
}

module.exports = { Handles };
