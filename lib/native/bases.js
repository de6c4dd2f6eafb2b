"use strict";

// What sessions were loaded with, for their saves to compare with (`concurrency`). The native side keeps
// it, many together (src/napi/bases.rs), until no session of such a batch is left: to register each
// session with the garbage collector would cost a microsecond a `get`.

const { maxBases: MAX_BASES } = require("../addon/crossing.js");

/** The bases of a native object. */
class Bases {
  /** @param {import("../addon/addon.js").NativeStore} native */
  constructor(native) {
    const reference = new WeakRef(native);
    /** @type {FinalizationRegistry<number>} */
    this.registry = new FinalizationRegistry((batch) => reference.deref()?.forgetBases(batch));
    /**
     * The batch that the native side fills now.
     * @type {BaseBatch | undefined}
     */
    this.current = undefined;
  }

  /**
   * A batch of bases, which is kept as long as one of them is used.
   * @param {number} number
   */
  batch(number) {
    if (this.current?.number !== number) {
      this.current = new BaseBatch(this, number);
      this.registry.register(this.current, number);
    }
    return /** @type {BaseBatch} */ (this.current);
  }
}

/** Bases that are kept together. */
class BaseBatch {
  /**
   * @param {Bases} bases
   * @param {number} number
   */
  constructor(bases, number) {
    this.bases = bases;
    this.number = number;
  }
}

/** What one session was loaded with. */
class Base {
  /**
   * @param {BaseBatch} batch
   * @param {number} place in its batch
   */
  constructor(batch, place) {
    this.batch = batch;
    this.place = place;
  }

  /** Its number on the native side. */
  get number() {
    return this.batch.number * MAX_BASES + this.place;
  }

  /**
   * Whether the native object of `bases` has it.
   * @param {Bases} bases
   */
  isOf(bases) {
    return this.batch.bases === bases;
  }
}

module.exports = { Base, BaseBatch, Bases };
