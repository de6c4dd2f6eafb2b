"use strict";

// What sessions were loaded with, for their saves to compare with (`concurrency`): src/napi/bases.rs says
// where each base is. To keep each on the native side from its `get` on, and to say there when its session
// is gone, would make `get` a tenth slower.

const {
  maxBases: MAX_BASES,
  basesPerBatch: BASES_PER_BATCH,
  firstBatchOfJs: FIRST_BATCH,
  maxReplaced: MAX_REPLACED,
  recent: RECENT,
  baseIsKept: IS_KEPT,
  baseIsCopy: IS_COPY,
  baseIsInCall: IS_IN_CALL,
} = require("../addon/crossing.js");

/** In the place of a text's length: the native side has the base, and no other session has it; */
const KEPT = -1;
/** or another may have it. */
const SHARED = -2;

/** The bases of a native object. */
class Bases {
  /** @param {import("../addon/addon.js").NativeStore} native */
  constructor(native) {
    const reference = new WeakRef(native);
    /** @type {FinalizationRegistry<number>} */
    this.registry = new FinalizationRegistry((batch) => reference.deref()?.forgetBases(batch));
    /** How many bytes of texts with bases have crossed. */
    this.crossed = 0;
    /**
     * The batch that the native side fills now.
     * @type {BaseBatch | undefined}
     */
    this.current = undefined;
    /**
     * The batch of the bases that were saved last.
     * @type {BaseBatch | undefined}
     */
    this.saved = undefined;
    this.nextBatch = FIRST_BATCH;
  }

  /**
   * The texts of some answers, which crossed together.
   * @param {string} text
   * @param {number} end how many bytes have crossed with them
   */
  read(text, end) {
    this.crossed = end;
    return new BaseTexts(this, text, end - text.length);
  }

  /**
   * A batch of bases that the native side made.
   * @param {number} number
   */
  batch(number) {
    if (this.current?.number !== number) this.current = this.newBatch(number);
    return this.current;
  }

  /** @param {number} number */
  newBatch(number) {
    const batch = new BaseBatch(this, number);
    this.registry.register(batch, number);
    return batch;
  }

  /**
   * Gives a base a number, under which the native side keeps it from now on.
   * @param {Base} base
   */
  keep(base) {
    if (this.saved === undefined || this.saved.count === BASES_PER_BATCH) {
      this.saved = this.newBatch(this.nextBatch);
      this.nextBatch = FIRST_BATCH + ((this.nextBatch - FIRST_BATCH + 1) % FIRST_BATCH);
    }
    base.source = this.saved;
    base.place = this.saved.count;
    base.length = KEPT;
    this.saved.count += 1;
  }
}

/** Texts that the native side has handed over, and which are bases. */
class BaseTexts {
  /**
   * @param {Bases} bases
   * @param {string} text
   * @param {number} start how many bytes had crossed before; NaN if the native side does not remember them
   */
  constructor(bases, text, start) {
    this.bases = bases;
    this.text = text;
    this.start = start;
  }
}

/** Bases that the native side keeps together, as long as one of them is used. */
class BaseBatch {
  /**
   * @param {Bases} bases
   * @param {number} number
   */
  constructor(bases, number) {
    this.bases = bases;
    this.number = number;
    /** How many it has, if JS gives them their numbers. */
    this.count = 0;
  }
}

/** What one session was loaded with. */
class Base {
  /**
   * @param {BaseTexts | BaseBatch} source
   * @param {number} place in its batch, or where its text begins
   * @param {number} length of its text, KEPT or SHARED
   * @param {number} replaced what is not as stored in its text: see `pack` in src/napi/bases.rs
   */
  constructor(source, place, length, replaced) {
    this.source = source;
    this.place = place;
    this.length = length;
    this.replaced = replaced;
  }

  /**
   * Whether the native object of `bases` has it.
   * @param {Bases} bases
   */
  isOf(bases) {
    return this.source.bases === bases;
  }

  /** The base of another session that was loaded with the same: a save of one does not move the other's. */
  copy() {
    const { source, place, length, replaced } = this;
    return new Base(source, place, length === KEPT ? SHARED : length, replaced);
  }

  /** The same, with a text of its own: so it does not hold all those that it crossed with. */
  alone() {
    const { source, length, replaced } = this;
    if (source instanceof BaseBatch) return this;
    const whole = `>${this.whole}`;
    return new Base(new BaseTexts(source.bases, whole, Number.NaN), 1, length, replaced);
  }

  /** Its text as it was read; undefined if only the native side has it. */
  get text() {
    const { source, place, length } = this;
    return source instanceof BaseTexts ? source.text.slice(place, place + length) : undefined;
  }

  /** The same, and what is stored instead of a part of it. */
  get whole() {
    const { source, place, length, replaced } = this;
    const { text } = /** @type {BaseTexts} */ (source);
    return text.slice(place, place + length + lengthOfOld(replaced));
  }

  /**
   * Writes its four numbers. Returns the text that must go along. From now on the native side keeps it.
   * @param {Float64Array} numbers
   * @param {number} at
   */
  send(numbers, at) {
    const { source, place, length, replaced } = this;
    const { bases } = source;
    let text = "";
    if (length === KEPT) numbers[at + 1] = IS_KEPT;
    else {
      if (source instanceof BaseBatch) {
        numbers[at + 1] = IS_COPY;
        numbers[at + 2] = this.number;
      } else {
        const position = source.start + place;
        const isRecent = position >= bases.crossed - RECENT;
        numbers[at + 1] = isRecent ? position : IS_IN_CALL;
        numbers[at + 2] = length;
        numbers[at + 3] = replaced;
        if (!isRecent) text = this.whole;
      }
      bases.keep(this);
    }
    numbers[at] = this.number;
    return text;
  }

  /** Its number on the native side, which keeps it. */
  get number() {
    return /** @type {BaseBatch} */ (this.source).number * MAX_BASES + this.place;
  }
}

/**
 * How long the part is that follows a text, because another stands in its place.
 * @param {number} replaced as in `Base`
 */
function lengthOfOld(replaced) {
  return replaced & (MAX_REPLACED - 1);
}

module.exports = { Base, BaseTexts, Bases, KEPT, lengthOfOld };
