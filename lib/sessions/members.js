"use strict";

// What may be seen of a session: the names, types and sizes of its members; values only of those that an
// allow-list names.

/** Characters of a value that are shown. */
const MAX_SHOWN = 200;

/**
 * @typedef {object} Member
 * @property {string} name
 * @property {string} type
 * @property {number} size bytes, as JSON
 * @property {string} [value] if it may be shown
 */

/**
 * The members of a session, without its cookie; undefined if it could not be read.
 * @param {any} data
 * @param {readonly string[]} show the names whose values may be shown
 * @returns {Member[] | undefined}
 */
function membersOf(data, show) {
  if (data === null || typeof data !== "object") return undefined;
  return Object.entries(data)
    .filter(([name]) => name !== "cookie")
    .map(([name, value]) => {
      const text = asText(value);
      const member = { name, type: typeOf(value), size: Buffer.byteLength(text) };
      if (!show.includes(name)) return member;
      const shown = typeof value === "string" ? value : text;
      return { ...member, value: shortened(shown) };
    });
}

/** @param {unknown} value */
function typeOf(value) {
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** @param {unknown} value */
function asText(value) {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return String(value); // A BigInt, or a circle, of an app's own serializer.
  }
}

/** @param {string} text */
function shortened(text) {
  const characters = [...text.slice(0, MAX_SHOWN + 1)];
  return characters.length > MAX_SHOWN ? `${characters.slice(0, MAX_SHOWN).join("")}…` : text;
}

module.exports = { membersOf };
