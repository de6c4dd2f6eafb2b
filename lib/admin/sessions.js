"use strict";

// The sessions as the page shows them: by handles, without their values.

const { membersOf } = require("../sessions/members.js");
const { readFound, readPage, search } = require("../sessions/pages.js");
const { kState } = require("../store-backend.js");

/** Sessions of a page, about. */
const PAGE = 50;
/** Sessions of a user that are shown. */
const MAX_OF_USER = 200;
/** How long a count stands, in milliseconds: to count takes a scan. */
const COUNT_STANDS = 10_000;

/**
 * @typedef {object} Shown
 * @property {string} handle
 * @property {number} [expires] milliseconds since the epoch; undefined if it never ends
 * @property {number} [size] bytes that are stored, if that is known
 * @property {import("../sessions/members.js").Member[]} [members] undefined if it cannot be read
 */

/**
 * @typedef {object} Place where a session was seen
 * @property {string} at the page
 * @property {string} [user] whose sessions were searched for
 */

class Sessions {
  /**
   * @param {import("../store-backend.js").Store & import("../types.js").Store} store
   * @param {InstanceType<typeof import("../sessions/handles.js").Handles>} handles
   * @param {readonly string[]} show
   */
  constructor(store, handles, show) {
    this.store = store;
    this.handles = handles;
    this.names = show;
    /** @type {Promise<number> | undefined} */
    this.counting = undefined;
    this.countedAt = Number.NEGATIVE_INFINITY;
  }

  /** Whether a user's sessions can be had. */
  get canSearch() {
    return Boolean(this.store[kState].index?.hasUsers);
  }

  /**
   * @param {string} at
   * @returns {Promise<{sessions: Shown[], next?: string}>}
   */
  async page(at) {
    const { sessions, next } = await readPage(this.store, at, PAGE);
    return { sessions: sessions.map((session) => this.shown(session)), next };
  }

  /**
   * @param {string} user
   * @returns {Promise<{sessions: Shown[], more: number}>}
   */
  async ofUser(user) {
    const all = await this.store.sessionsOf(user);
    const sessions = all.slice(0, MAX_OF_USER).map((session) => this.shown(asFound(session)));
    return { sessions, more: all.length - sessions.length };
  }

  /**
   * @param {string} handle
   * @param {Place} place
   * @returns {Promise<Shown | undefined>}
   */
  async read(handle, place) {
    for await (const found of this.find(handle, place)) {
      const session = "data" in found ? found : await readFound(this.store, found);
      return session && this.shown(session);
    }
    return undefined;
  }

  /**
   * Destroys a session; false if there is none.
   * @param {string} handle
   * @param {Place} place
   */
  async destroy(handle, place) {
    for await (const { sid } of this.find(handle, place)) {
      await this.store.destroy(sid);
      return true;
    }
    return false;
  }

  /** How many sessions there are, at most ten seconds ago. */
  count() {
    const now = Date.now();
    if (this.counting === undefined || now - this.countedAt > COUNT_STANDS) {
      this.countedAt = now;
      this.counting = this.store.length();
      this.counting.catch(() => {
        this.counting = undefined;
      });
    }
    return this.counting;
  }

  /**
   * Where a session was seen is only where to look first.
   * @param {string} handle
   * @param {Place} place
   */
  async *find(handle, { at, user }) {
    const { store, handles } = this;
    const matches = handles.matcher(handle);
    if (matches === undefined) return;
    const isIt = (/** @type {string} */ sid) => matches(store.prefix + sid);
    if (user !== undefined && this.canSearch) {
      for (const session of await this.store.sessionsOf(user)) {
        if (isIt(session.id)) yield asFound(session);
      }
    }
    yield* search(store, isIt, { first: { position: at, limit: PAGE } });
  }

  /**
   * @param {import("../sessions/pages.js").Found} session
   * @returns {Shown}
   */
  shown({ sid, data, expires, size }) {
    const handle = this.handles.of(this.store.prefix + sid);
    return { handle, expires, size, members: membersOf(data, this.names) };
  }
}

/**
 * A session as `sessionsOf` gives it.
 * @param {{id: string, data: any, expires: Date | null}} session
 */
function asFound({ id, data, expires }) {
  return { sid: id, data, expires: expires?.getTime() };
}

module.exports = { Sessions };
