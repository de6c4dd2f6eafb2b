"use strict";

/** Calls that are made one after the other. Who closes what carries them waits for the last. */
class Sequences {
  constructor() {
    this.count = 0;
    /** @type {(() => void)[]} */
    this.waiting = [];
  }

  /**
   * Makes such calls.
   * @template T
   * @param {() => Promise<T>} make
   */
  async run(make) {
    this.count += 1;
    try {
      return await make();
    } finally {
      this.count -= 1;
      if (this.count === 0) for (const done of this.waiting.splice(0)) done();
    }
  }

  /**
   * Calls `done` when none is under way: at once, or later.
   * @param {() => void} done
   */
  after(done) {
    if (this.count === 0) done();
    else this.waiting.push(done);
  }
}

module.exports = { Sequences };
