"use strict";

// Helpers to make many calls, and to check their errors.

/** Returns what `make` returns for each number from 0 up to `length`, without `length` itself. */
const range = (length, make) => Array.from({ length }, (_, n) => make(n));

/** Resolves to the error that a promise rejects with; undefined if it fulfils. */
const failure = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

module.exports = { failure, range };
