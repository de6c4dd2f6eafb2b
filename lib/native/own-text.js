"use strict";

/**
 * A copy of a text, in memory of its own: a part of a text keeps the whole of it. (V8 and Bun's engine
 * share the memory of a part. They copy it if a longer text is made of it, and cut.)
 * @param {string} text
 */
function ownText(text) {
  return text.padStart(text.length + 1, ">").slice(1);
}

module.exports = { ownText };
