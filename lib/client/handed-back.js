"use strict";

// Calls under which the store's own connection was lost, so that the app's client carries them. The client
// may not have noticed yet that its own connection is lost, too: then they are made once more.

const { monotonic } = require("../clock.js");

/** The codes of a client's errors if its connection was lost. */
const LOST = /^(ECLIENT|ECONN[A-Z]+|EPIPE)$/;

/**
 * One for each client, since several stores may use it.
 * @type {WeakMap<object, HandedBack>}
 */
const ofClients = new WeakMap();

class HandedBack {
  /** @param {object} client */
  static of(client) {
    const handedBack = ofClients.get(client) ?? new HandedBack();
    ofClients.set(client, handedBack);
    return handedBack;
  }

  constructor() {
    /**
     * Marks of the calls that may be made once more, by key.
     * @type {Map<string, Set<object>>}
     */
    this.repeatable = new Map();
  }

  /**
   * A call is made: no write that was handed back before may be made once more after it. A save would
   * bring back a session that was destroyed meanwhile.
   * @param {string} name the store's method
   * @param {string} key
   */
  supersede(name, key) {
    if (this.repeatable.size !== 0 && name !== "get") this.repeatable.delete(key);
  }

  /** All sessions are being deleted: no write is made once more. */
  supersedeAll() {
    this.repeatable.clear();
  }

  /**
   * Lets the client carry a call, and once more if its connection was lost under it.
   * @template T
   * @param {string} key
   * @param {boolean} isWrite
   * @param {number} left milliseconds until its deadline, after which the app has its error
   * @param {() => Promise<T>} attempt
   * @returns {Promise<T>}
   */
  async carry(key, isWrite, left, attempt) {
    const deadline = monotonic() + left;
    const made = attempt();
    const mark = {};
    const marks = this.repeatable.get(key) ?? new Set();
    this.repeatable.set(key, marks.add(mark));
    try {
      return await made;
    } catch (error) {
      const isLost = LOST.test(/** @type {any} */ (error)?.code);
      const isSuperseded = isWrite && !this.repeatable.get(key)?.has(mark);
      if (!isLost || isSuperseded || monotonic() >= deadline) throw error;
    } finally {
      marks.delete(mark);
      if (marks.size === 0 && this.repeatable.get(key) === marks) this.repeatable.delete(key);
    }
    return attempt();
  }
}

module.exports = { HandedBack };
