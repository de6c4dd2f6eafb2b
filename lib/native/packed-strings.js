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
    return answers[at];
  }

  /** What became of a save; null if there is nothing to say of it. */
  get saved() {
    return SAVED[this.answers[this.at + 1]] ?? null;
  }

  /** The place of its base in its batch; NaN if it has none. */
  get basePlace() {
    return this.answers[this.at + 3];
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
    // A copy: an app that keeps a part of this text must not keep all others with it. (What is no text
    // is a Buffer.)
    const text = typeof this.own === "string" ? `>${this.own}`.slice(1) : this.own;
    const record = expires === undefined ? { text } : { text, expires };
    return base === undefined ? record : { ...record, base };
  }
}

module.exports = { PackedStrings, roomForAnswers };
