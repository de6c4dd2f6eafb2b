"use strict";

// The bounds on what may wait for Redis: `commandsQueueMaxLength` and `commandsQueueMaxBytes`.

/**
 * Returns the message of a call for which there is no room; undefined if there is room. A single call
 * may have as many bytes as it likes.
 * @param {string} name the store's method
 * @param {{length: number, bytes: number}} waiting
 * @param {number} bytes of the call
 * @param {{length: number, bytes: number}} bounds
 * @param {string} server what messages call it
 */
function fullMessage(name, waiting, bytes, bounds, server) {
  let what;
  let option;
  if (waiting.length >= bounds.length) {
    what = `${waiting.length} calls`;
    option = "commandsQueueMaxLength";
  } else if (waiting.bytes > 0 && waiting.bytes + bytes > bounds.bytes) {
    what = `calls of ${waiting.bytes} bytes`;
    option = "commandsQueueMaxBytes";
  } else return undefined;
  return `${name}: ${what} wait for ${server} already, no more are taken (${option})`;
}

module.exports = { fullMessage };
