"use strict";

/**
 * A copy of a text, in memory of its own: a part of a text keeps the whole of it. (That a longer text is
 * made, and cut, makes V8 and Bun's engine copy it; neither copies a part by itself.)
 * @param {string} text
 */
function ownText(text) {
  return text.padStart(text.length + 1, ">").slice(1);
}

module.exports = { ownText };
