"use strict";

/** @typedef {import("./client-calls.js").Call} Call */

/**
 * Things in the order in which they came, each of which may leave at any time. A Set would do, but
 * its table is remade over and over while calls come and go, which the garbage collector pays for:
 * with one, `get` through ioredis was a sixth slower.
 *
 * What is put in gets the fields `before`, `after` and `isQueued`, and has its `bytes`. Its `taken`, if
 * there is one, is called when it has left.
 */
class Queue {
  constructor() {
    /** @type {Call | undefined} */
    this.first = undefined;
    /** @type {Call | undefined} */
    this.last = undefined;
    this.length = 0;
    this.bytes = 0;
  }

  /** @param {Call} item */
  add(item) {
    item.isQueued = true;
    this.length += 1;
    this.bytes += item.bytes;
    item.before = this.last;
    item.after = undefined;
    if (this.last === undefined) this.first = item;
    else this.last.after = item;
    this.last = item;
  }

  /**
   * Takes an item out; false if it was taken out before.
   * @param {Call} item
   */
  take(item) {
    if (!item.isQueued) return false;
    this.length -= 1;
    this.bytes -= item.bytes;
    const { before, after } = item;
    if (before === undefined) this.first = after;
    else before.after = after;
    if (after === undefined) this.last = before;
    else after.before = before;
    // What has left must not keep alive who was beside it.
    item.before = undefined;
    item.after = undefined;
    item.isQueued = false;
    item.taken?.();
    return true;
  }
}

module.exports = { Queue };
