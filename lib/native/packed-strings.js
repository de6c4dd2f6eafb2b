"use strict";

/**
 * How the native side hands over texts (src/napi/codec.rs): one after the other in one string, as to make
 * a string costs more than to copy it; those that are not ASCII, whose length in bytes is another,
 * each by itself, as a string or, if it is no valid UTF-8, as a Buffer. Numbers beside them say how long each is.
 */

/** Numbers that stand for an answer: the number of its call, the length of its text, its expiry. */
const PER_ANSWER = 3;
/** Answers that are handed over at once, at most; src/napi/codec.rs knows it, too. */
const MOST_ANSWERS = 1024;
/** In the place of a length: `set` has found its key gone; the text stands alone. -1: there is none. */
const [DISCARDED, OTHER] = [-2, -3];

/** Where the native side writes its numbers. */
function roomForAnswers() {
  return new Float64Array(PER_ANSWER * MOST_ANSWERS);
}

class PackedStrings {
  constructor(answers, text, others) {
    this.answers = answers;
    this.text = text;
    this.others = others;
    this.at = -PER_ANSWER;
    this.from = 0;
    this.other = 0;
    /** The text of the answer that `next` has gone to. */
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
      this.own = this.others[this.other];
      this.other += 1;
    } else this.own = undefined;
    return answers[at];
  }

  /** Whether a `set` has found its key gone. */
  get isDiscarded() {
    return this.answers[this.at + 1] === DISCARDED;
  }

  /** What is stored, for the store to have parsed: the text, and the key's expiry where it is told. */
  record() {
    const expires = this.answers[this.at + 2];
    // A copy: an app that keeps a part of this text must not keep all others with it. What is no text
    // is a Buffer of its own.
    const text = typeof this.own === "string" ? `>${this.own}`.slice(1) : this.own;
    return Number.isNaN(expires) ? { text } : { text, expires };
  }
}

module.exports = { OTHER, PackedStrings, roomForAnswers };
