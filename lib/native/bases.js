"use strict";

// What sessions were loaded with, or saved with last, for their saves to compare with (`concurrency`):
// src/napi/bases.rs says where each base is. To keep each of them on the native side, and to say there
// when its session is gone, would make `get` a tenth slower.

const {
  maxBases: MAX_BASES,
  maxReplaced: MAX_REPLACED,
  recent: RECENT,
  recentSaves: RECENT_SAVES,
  baseIsInCall: IS_IN_CALL,
  baseIsKept: IS_KEPT,
  baseIsCopy: IS_COPY,
  baseIsInFlight: IS_IN_FLIGHT,
  baseIsSaved: IS_SAVED,
} = require("../addon/crossing.js");
const { ownText } = require("./own-text.js");

/** In the place of a text's length: the native side has the base, and only this session uses it. */
const KEPT = -1;
/** The same, but another session may use it, too. */
const SHARED = -2;

/** In the place of a call's number. */
const NO_CALL = -1;

/** The bases of a native object. */
class Bases {
  /** @param {import("../addon/addon.js").NativeStore} native */
  constructor(native) {
    const reference = new WeakRef(native);
    /** @type {FinalizationRegistry<number>} */
    this.registry = new FinalizationRegistry((batch) => reference.deref()?.forgetBases(batch));
    /** How many bytes of texts with bases have crossed. */
    this.crossed = 0;
    /** How many bases of saves the native side has remembered. */
    this.saves = 0;
    /**
     * The batch that the native side fills now.
     * @type {BaseBatch | undefined}
     */
    this.current = undefined;
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

/** Texts that are bases. */
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

/** Bases that the native side keeps together. */
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

/** What one session was loaded with, or saved with last. */
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
    /** The number of the session's last save, until that is answered. */
    this.call = NO_CALL;
  }

  /**
   * The base of a session that is new, and has none before its first save.
   * @param {Bases} bases
   */
  static ofNew(bases) {
    return new Base(new BaseTexts(bases, "", Number.NaN), 0, 0, 0);
  }

  /**
   * Whether it is of the native object of `bases`.
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
    const { source, place, length, replaced } = this;
    if (source instanceof BaseBatch) return this;
    const own = new BaseTexts(source.bases, ownText(this.whole), source.start + place);
    return new Base(own, 0, length, replaced);
  }

  /** Its text as it was read; undefined if only the native side has it. */
  get text() {
    const { source, place, length } = this;
    return source instanceof BaseBatch ? undefined : source.text.slice(place, place + length);
  }

  /** The same, and what is stored instead of a part of it. */
  get whole() {
    const { source, place, length, replaced } = this;
    const { text } = /** @type {BaseTexts} */ (source);
    return text.slice(place, place + length + lengthOfOld(replaced));
  }

  /**
   * Writes the three numbers by which a save says what its base is. Returns the text that must go along.
   * @param {Float64Array} numbers
   * @param {number} at
   */
  send(numbers, at) {
    const { source, place, length, replaced, call: last } = this;
    if (last !== NO_CALL) {
      numbers[at] = IS_IN_FLIGHT;
      numbers[at + 1] = last;
    } else if (source instanceof BaseBatch) {
      numbers[at] = length === KEPT ? IS_KEPT : IS_COPY;
      numbers[at + 1] = source.number * MAX_BASES + place;
    } else if (source instanceof Save && source.number >= source.bases.saves - RECENT_SAVES) {
      numbers[at] = IS_SAVED;
      numbers[at + 1] = source.number;
    } else {
      const position = source.start + place;
      const isRecent = position >= source.bases.crossed - RECENT;
      numbers[at] = isRecent ? position : IS_IN_CALL;
      numbers[at + 1] = length;
      numbers[at + 2] = replaced;
      if (!isRecent) return this.whole;
    }
    return "";
  }
}

/** What a save compares with, and what it saves, until it is answered. */
class Save extends BaseTexts {
  /**
   * @param {Base} base
   * @param {string | Uint8Array | undefined} value
   * @param {boolean} isNew whether it compares with nothing, and is answered with the base
   */
  constructor(base, value, isNew) {
    // What is no text comes from an `update`, whose base is of no use any more after it.
    super(base.source.bases, typeof value === "string" ? value : "", Number.NaN);
    this.base = base;
    this.isNew = isNew;
    /** The number of the call. */
    this.call = NO_CALL;
    /** That of the base among those that were saved last; NaN if it is not there. */
    this.number = Number.NaN;
  }

  /**
   * The save is answered.
   * @param {number} moved where the base is now: see `add_saved` in src/napi/answers.rs
   * @param {number} [number] of the base among those that were saved last
   * @param {BaseBatch} [batch] of the bases that the native side keeps
   * @param {number} [first] the place of the first of these
   */
  answered(moved, number, batch, first = 0) {
    const { base, text } = this;
    this.ended();
    if (number !== undefined) this.number = number;
    if (moved === 0) {
      base.source = this;
      base.place = 0;
      base.length = text.length;
      base.replaced = 0;
    } else if (moved < 0) {
      base.source = /** @type {BaseBatch} */ (batch);
      base.place = first - moved - 1;
      base.length = KEPT;
    }
  }

  /** The save has an answer, or none will come. */
  ended() {
    if (this.base.call === this.call) this.base.call = NO_CALL;
  }
}

/**
 * How long the part is that follows a text, because another stands in its place.
 * @param {number} replaced as in `Base`
 */
function lengthOfOld(replaced) {
  return replaced & (MAX_REPLACED - 1);
}

module.exports = { Base, BaseBatch, BaseTexts, Bases, KEPT, Save, lengthOfOld };
