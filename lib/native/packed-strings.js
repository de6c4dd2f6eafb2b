"use strict";

// Strings as the native side hands them over (src/napi/packed_strings.rs): those in ASCII one after the
// other in one string, since to make a string costs more than to copy it; each other string by itself,
// as a string or, if it is no valid UTF-8, as a Buffer. Numbers beside them say how long each is.

const {
  perAnswer: PER_ANSWER,
  maxAnswers: MAX_ANSWERS,
  discarded: DISCARDED,
  other: OTHER,
  merged: MERGED,
  unmerged: UNMERGED,
  conflict: CONFLICT,
} = require("../addon/crossing.js");
const { Base, BaseTexts, KEPT, lengthOfOld } = require("./bases.js");
const { ownText } = require("./own-text.js");

/**
 * What became of a save, if it is not that it was written as it is.
 * @type {Record<number, import("../types.js").Saved>}
 */
const SAVED = {
  [DISCARDED]: "discarded",
  [MERGED]: "merged",
  [UNMERGED]: "unmerged",
  [CONFLICT]: "conflict",
};

/** Where the native side writes its numbers. */
function roomForAnswers() {
  return new Float64Array(PER_ANSWER * MAX_ANSWERS);
}

class PackedStrings {
  /**
   * @param {Float64Array} answers
   * @param {string} text
   * @param {import("../types.js").CrossedText[]} [others]
   */
  constructor(answers, text, others) {
    this.answers = answers;
    this.text = text;
    this.others = others;
    this.at = -PER_ANSWER;
    this.from = 0;
    this.other = 0;
    /**
     * The text of the answer that `next` went to.
     * @type {import("../types.js").CrossedText | undefined}
     */
    this.own = undefined;
    /** Where it ends in `text`, if it is there; what follows belongs to its base. */
    this.to = 0;
  }

  /** Goes to the next answer; returns the number of its call. */
  next() {
    this.at += PER_ANSWER;
    const { answers, at } = this;
    const length = answers[at + 1];
    if (length >= 0) {
      const to = this.from + length;
      this.own = this.text.slice(this.from, to);
      this.from = to;
    } else if (length === OTHER) {
      this.own = /** @type {import("../types.js").CrossedText[]} */ (this.others)[this.other];
      this.other += 1;
    } else this.own = undefined;
    this.to = this.from;
    const base = answers[at + 3];
    if (base > 0) this.from += lengthOfOld(base);
    return answers[at];
  }

  /** What became of a save; null if there is nothing to say of it. */
  get saved() {
    return SAVED[this.answers[this.at + 1]] ?? null;
  }

  /** Where the base is of a session that was saved: see `Save`. */
  get moved() {
    return this.answers[this.at + 3];
  }

  /**
   * The base of what was read, if it was asked for.
   * @param {InstanceType<typeof import("./bases.js").Bases>} bases
   * @param {InstanceType<typeof BaseTexts>} [source] what bases in `text` are cut out of
   * @param {InstanceType<typeof import("./bases.js").BaseBatch>} [batch] of those that are kept
   * @param {number} [first] the place of the first of these
   */
  base(bases, source, batch, first = 0) {
    const { answers, at, to } = this;
    const base = answers[at + 3];
    if (Number.isNaN(base)) return undefined;
    // Integers stand in the object itself, other numbers beside it.
    const number = base | 0;
    if (number < 0) {
      const kept = /** @type {InstanceType<typeof import("./bases.js").BaseBatch>} */ (batch);
      return new Base(kept, first - number - 1, KEPT, 0);
    }
    const own = /** @type {string} */ (this.own);
    const { length } = own;
    if (answers[at + 1] !== OTHER) {
      return new Base(
        /** @type {InstanceType<typeof BaseTexts>} */ (source),
        to - length,
        length,
        number,
      );
    }
    const whole = own + this.text.slice(to, this.from);
    return new Base(new BaseTexts(bases, whole, Number.NaN), 0, length, number);
  }

  /**
   * The key's expiry in milliseconds since the epoch, or the number that was asked for; undefined if
   * it is not known.
   */
  get expires() {
    const expires = this.answers[this.at + 2];
    return Number.isNaN(expires) ? undefined : expires;
  }

  /**
   * What is stored, for the serializer of the app: the text, and the key's expiry if there is one.
   * @param {InstanceType<typeof import("./bases.js").Base>} [base]
   * @returns {import("../types.js").StoredRecord}
   */
  record(base) {
    const { expires } = this;
    // An app that keeps a part of this text must not keep all others with it. (What is no text is a
    // Buffer.)
    const text = typeof this.own === "string" ? ownText(this.own) : this.own;
    const record = expires === undefined ? { text } : { text, expires };
    return base === undefined ? record : { ...record, base };
  }
}

module.exports = { PackedStrings, roomForAnswers };
