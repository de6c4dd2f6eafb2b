"use strict";

// Gives the answer of a call to the app: by promise or by callback. In JS because a promise reaction
// keeps the async context of the caller.

/**
 * Gives the answer to a call: to the callback, if there is one, else as the promise. The callback
 * runs as a reaction of the promise, so it keeps the caller's async context and cannot reach the
 * callbacks beside it. One that throws is called once more, with its own error, as connect-redis
 * does; what it throws then rejects the returned promise.
 * @param {import("./types.js").Callback | undefined} cb
 * @param {() => Promise<any>} call
 * @returns {Promise<any>}
 */
function answer(cb, call) {
  /** @type {Promise<any>} */
  let promise;
  try {
    promise = call();
  } catch (error) {
    promise = Promise.reject(error);
  }
  if (!cb) return promise;
  return promise.then(
    (data) => {
      try {
        return cb(null, data);
      } catch (error) {
        return cb(error, null);
      }
    },
    (error) => cb(error, null),
  );
}

module.exports = { answer };
