"use strict";

/** Calls on one key that go one after the other. */
class Turns {
  constructor() {
    /**
     * The last call on each key that has begun or waits.
     * @type {Map<string, Promise<unknown>>}
     */
    this.last = new Map();
  }

  /**
   * Makes a call after those on its key that have taken a turn; at once, if there are none.
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} make
   * @returns {Promise<T>}
   */
  after(key, make) {
    const last = this.last.get(key);
    return last === undefined ? make() : last.then(make, make);
  }

  /**
   * The same, and later calls on the key wait for this one.
   * @template T
   * @param {string} key
   * @param {() => Promise<T>} make
   * @returns {Promise<T>}
   */
  take(key, make) {
    const made = this.after(key, make);
    this.last.set(key, made);
    const forget = () => {
      if (this.last.get(key) === made) this.last.delete(key);
    };
    made.then(forget, forget);
    return made;
  }
}

module.exports = { Turns };
