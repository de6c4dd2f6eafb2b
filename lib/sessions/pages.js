"use strict";

// The sessions of a store, a page at a time by SCAN, for those who look at them: the admin page and the
// command. Nothing is kept between two pages, neither here nor in Redis. As with SCAN, a session that is
// there all the time is on a page, and may be on two.

const { use } = require("../store-backend.js");

/** Ids that are looked at in one go when a session is searched for. */
const IDS_AT_ONCE = 1000;

/** @typedef {import("../store-backend.js").Store} Store */

/**
 * @typedef {object} Found a session
 * @property {string} sid
 * @property {any} [data] undefined if what is stored cannot be read
 * @property {boolean} [isSealed] whether that is so because it is sealed, and does not open
 * @property {number} [expires] milliseconds since the epoch; undefined if it never ends
 * @property {number} [size] bytes that are stored; undefined if that is not known
 */

/**
 * @param {Store} store
 * @param {string} position as the page before ended with; "" for the first
 * @param {number} limit about how many sessions
 * @returns {Promise<{sessions: Found[], next?: string}>} without `next`, this was the last page
 */
async function readPage(store, position, limit) {
  /** @type {import("../types.js").Page} */
  const { records, next } = await use(store, "page", ({ native }) => native.page(position, limit));
  const sessions = records.map(async ({ id, text, expires }) => {
    if (text === undefined) return { sid: id, expires, isSealed: true };
    const size = typeof text === "string" ? Buffer.byteLength(text) : text.length;
    return { sid: id, data: await parsed(store, text), expires, size };
  });
  return { sessions: await Promise.all(sessions), next };
}

/**
 * @param {Store} store
 * @param {any} text
 */
async function parsed(store, text) {
  try {
    return await store.serializer.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Searches all sessions for some, and first of all a page on which one is expected.
 * @param {Store} store
 * @param {(sid: string) => boolean} isIt
 * @param {object} [how]
 * @param {{position: string, limit: number}} [how.first]
 * @param {(seen: number) => void} [how.progress]
 * @param {() => boolean} [how.isWanted] whether to go on; it is asked before each page
 * @returns {AsyncGenerator<{sid: string, position: string, limit: number}>} those that were found, with the
 *   page that they are on
 */
async function* search(store, isIt, { first, progress = () => {}, isWanted = () => true } = {}) {
  if (first !== undefined) {
    const { records } = await readIds(store, first.position, first.limit);
    for (const sid of records) if (isIt(sid)) yield { sid, ...first };
  }
  let seen = 0;
  let position = "";
  while (isWanted()) {
    const { records, next } = await readIds(store, position, IDS_AT_ONCE);
    for (const sid of records) if (isIt(sid)) yield { sid, position, limit: IDS_AT_ONCE };
    seen += records.length;
    progress(seen);
    if (next === undefined) return;
    position = next;
  }
}

/**
 * @param {Store} store
 * @param {string} position
 * @param {number} limit
 * @returns {Promise<import("../types.js").IdsPage>}
 */
function readIds(store, position, limit) {
  return use(store, "idsPage", ({ native }) => native.idsPage(position, limit));
}

/**
 * The session that `search` has found; undefined if it has ended since.
 * @param {Store} store
 * @param {{sid: string, position: string, limit: number}} found
 */
async function readFound(store, { sid, position, limit }) {
  const { sessions } = await readPage(store, position, limit);
  return sessions.find((session) => session.sid === sid);
}

module.exports = { readFound, readIds, readPage, search };
