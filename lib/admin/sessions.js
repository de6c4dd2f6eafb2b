"use strict";

// The sessions as the page shows them: by handles, without their values.

const { performance } = require("node:perf_hooks");
const { destroyFound } = require("../sessions/destroy.js");
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

/** @typedef {InstanceType<typeof import("../session-index/session-index.js").SessionIndex>} SessionIndex */

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

  /** If `canSearch`. */
  get index() {
    return /** @type {SessionIndex} */ (this.store[kState].index);
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
   * @returns {Promise<{sessions: Shown[], more: number, isEstimate: boolean}>}
   */
  async ofUser(user) {
    const { sessions, ...more } = await this.index.someOf(user, MAX_OF_USER);
    return { sessions: sessions.map((session) => this.shown(asFound(session))), ...more };
  }

  /**
   * @param {string} handle
   * @param {Place} place
   * @param {() => boolean} isWanted whether to go on with the search
   * @returns {Promise<Shown | undefined>}
   */
  async read(handle, place, isWanted) {
    for await (const found of this.find(handle, place, isWanted)) {
      const session = "data" in found ? found : await readFound(this.store, found);
      return session && this.shown(session);
    }
    return undefined;
  }

  /**
   * Destroys a session; false if there is none. Whoever asked need not wait for it.
   * @param {string} handle
   * @param {Place} place
   */
  async destroy(handle, place) {
    for await (const { sid } of this.find(handle, place, () => true)) {
      await destroyFound(this.store, sid);
      return true;
    }
    return false;
  }

  /** How many sessions there are, at most ten seconds ago. One scan is under way at a time. */
  count() {
    if (this.counting === undefined || performance.now() - this.countedAt > COUNT_STANDS) {
      this.countedAt = Number.POSITIVE_INFINITY;
      this.counting = this.store.length();
      this.counting.then(
        () => {
          this.countedAt = performance.now();
        },
        () => {
          this.counting = undefined;
        },
      );
    }
    return this.counting;
  }

  /**
   * Where a session was seen is only where to look first.
   * @param {string} handle
   * @param {Place} place
   * @param {() => boolean} isWanted
   */
  async *find(handle, { at, user }, isWanted) {
    const isIt = this.handles.matcher(handle);
    if (isIt === undefined) return;
    if (user !== undefined && this.canSearch) {
      for await (const session of this.index.searchOf(user, isIt, isWanted)) yield asFound(session);
    }
    yield* search(this.store, isIt, { first: { position: at, limit: PAGE }, isWanted });
  }

  /**
   * @param {import("../sessions/pages.js").Found} session
   * @returns {Shown}
   */
  shown({ sid, data, expires, size }) {
    const handle = this.handles.of(sid);
    return { handle, expires, size, members: membersOf(data, this.names) };
  }
}

/**
 * A session as the index gives it.
 * @param {{id: string, data: any, expires: Date | null}} session
 */
function asFound({ id, data, expires }) {
  return { sid: id, data, expires: expires?.getTime() };
}

module.exports = { Sessions };
