"use strict";

// What a store counts of its calls, for `store.metrics()`: how many of each operation had which outcome.
// Numbers in an array, because each call is counted, whether anybody looks or not.

const { methods: METHODS } = require("../addon/crossing.js");

/** The operations that are one call of a backend, with the numbers that they have there. */
const SINGLE = METHODS.slice(0, METHODS.indexOf("destroy") + 1);

/** The operations by their numbers. The last ones are each several calls of a backend. */
const OPERATIONS = [
  ...SINGLE,
  ...["length", "ids", "all", "clear", "ping", "rewrite"],
  ...["update", "rotate", "sessionsOf", "countOf", "destroyAllOf", "reindex"],
];

/**
 * The number of an operation that is one call of a backend; -1 of all others, which the store counts.
 * @param {string} name
 */
function operationOf(name) {
  return SINGLE.indexOf(name);
}

/**
 * The outcomes of a call:
 * - `ok`: done
 * - `hit`, `miss`: `get` has found a session, or none
 * - `discarded`: `set` has found its session gone
 * - `merged`: `set` has found that another had saved the session, and saved both changes
 * - `overwritten`: `set` has found that, and overwritten what the other had saved
 * - `skipped`: `touch` had nothing to send
 * - `error`: the call rejected
 */
const OUTCOMES = /** @type {const} */ ([
  "ok",
  "hit",
  "miss",
  "discarded",
  "merged",
  "overwritten",
  "skipped",
  "error",
]);
const [OK, HIT, MISS, DISCARDED, MERGED, OVERWRITTEN, SKIPPED, ERROR] = OUTCOMES.keys();
const WIDTH = OUTCOMES.length;

/** The outcomes that an operation can have; of all others `ok` and `error`. */
const POSSIBLE = new Map([
  ["get", [HIT, MISS, ERROR]],
  ["set", [OK, DISCARDED, MERGED, OVERWRITTEN, ERROR]],
  ["touch", [OK, SKIPPED, ERROR]],
]);
const [GET, SET] = ["get", "set"].map((name) => OPERATIONS.indexOf(name));

/** Codes of errors that are counted apart: Redis's own words have no end. */
const MAX_CODES = 32;

/** The native side holds this, so nothing here may hold a store. */
class Counts {
  constructor() {
    this.numbers = new Float64Array(OPERATIONS.length * WIDTH);
    /** @type {Map<string, number>} */
    this.codes = new Map();
  }

  /**
   * Counts a call that did not reject, by what its promise is of.
   * @param {number} operation
   * @param {unknown} answer as the store's backends give it
   */
  answered(operation, answer) {
    this.numbers[operation * WIDTH + outcomeOf(operation, answer)] += 1;
  }

  /**
   * Counts a call that rejected.
   * @param {number} operation
   * @param {any} error
   */
  failed(operation, error) {
    if (operation < 0) return;
    this.numbers[operation * WIDTH + ERROR] += 1;
    const { codes } = this;
    const code = codeOf(error);
    const key = codes.has(code) || codes.size < MAX_CODES ? code : "other";
    codes.set(key, (codes.get(key) ?? 0) + 1);
  }

  /** Counts a touch that had nothing to send. */
  skippedTouch() {
    this.numbers[OPERATIONS.indexOf("touch") * WIDTH + SKIPPED] += 1;
  }

  /**
   * Counts a call when it is answered. Returns the promise to hand on: a handler beside it would hide from
   * Node that nobody handles a rejection.
   * @param {number} operation
   * @param {Promise<unknown>} made
   */
  follow(operation, made) {
    if (operation < 0) return made;
    return made.then(
      (answer) => {
        this.answered(operation, answer);
        return answer;
      },
      (error) => {
        this.failed(operation, error);
        throw error;
      },
    );
  }

  /**
   * @param {number} operation
   * @param {number} outcome
   */
  numberOf(operation, outcome) {
    return this.numbers[operation * WIDTH + outcome];
  }

  /** How many calls of each operation had which outcome. */
  calls() {
    /** @type {Record<string, Record<string, number>>} */
    const calls = {};
    for (const [operation, name] of OPERATIONS.entries()) {
      const outcomes = POSSIBLE.get(name) ?? [OK, ERROR];
      calls[name] = Object.fromEntries(
        outcomes.map((outcome) => [OUTCOMES[outcome], this.numberOf(operation, outcome)]),
      );
    }
    return calls;
  }
}

/**
 * The number of an outcome.
 * @param {number} operation
 * @param {unknown} answer
 */
function outcomeOf(operation, answer) {
  if (operation === GET) return answer === null ? MISS : HIT;
  if (operation !== SET || answer === null) return OK;
  if (answer === "discarded") return DISCARDED;
  if (answer === "merged") return MERGED;
  return Array.isArray(answer) || answer === "unmerged" ? OVERWRITTEN : OK;
}

/**
 * What kind of error it is, as a word that holds nothing of a session.
 * @param {any} error
 * @returns {string}
 */
function codeOf(error) {
  const code = typeof error?.code === "string" ? error.code : error?.name;
  return typeof code === "string" && /^\w{1,40}$/.test(code) ? code : "Error";
}

module.exports = { Counts, OPERATIONS, OUTCOMES, SINGLE, codeOf, operationOf, outcomeOf };
