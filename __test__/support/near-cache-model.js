"use strict";

// What `get` may return if copies may be behind: a model that knows when each write was sent and when it
// was acknowledged, by a clock that all processes of this machine share.

const { fork } = require("node:child_process");
const { once } = require("node:events");
const path = require("node:path");
const { setTimeout: wait } = require("node:timers/promises");

const HOUR = 3_600_000;
/** Milliseconds by which the clocks of this file and of the store may be read at different times. */
const READING = 2;

/** Milliseconds, by a clock that all processes share. */
const clock = () => Number(process.hrtime.bigint()) / 1e6;

/**
 * @typedef {object} Written
 * @property {string} sid
 * @property {number | null} n what was stored; null if the session was destroyed
 * @property {number} sent
 * @property {number} acknowledged Infinity if that is not known
 */

/**
 * Writes to a session again and again: it is saved, touched or destroyed.
 * @returns {AsyncGenerator<Written>}
 */
async function* writeAtRandom(store, sid) {
  let n = 0;
  for (;;) {
    const isDestroyed = Math.random() < 0.2;
    if (!isDestroyed) n += 1;
    const session = {
      cookie: { originalMaxAge: HOUR, expires: new Date(Date.now() + HOUR).toISOString() },
      n,
    };
    const sent = clock();
    let acknowledged;
    try {
      await (isDestroyed ? store.destroy(sid) : store.set(sid, session));
      acknowledged = clock();
      if (!isDestroyed && Math.random() < 0.3) await store.touch(sid, session);
    } catch {
      acknowledged = Number.POSITIVE_INFINITY;
    }
    yield { sid, n: isDestroyed ? null : n, sent, acknowledged };
  }
}

class Model {
  /** @param {number} maxStale milliseconds */
  constructor(maxStale) {
    this.maxStale = maxStale;
    /** @type {Map<string, Written[]>} */
    this.writes = new Map();
    this.reads = [];
  }

  /** @param {Written} written */
  wrote(written) {
    const writes = this.writes.get(written.sid);
    if (writes === undefined) this.writes.set(written.sid, [written]);
    else writes.push(written);
  }

  /**
   * Calls `get`, to be judged later.
   * @param {boolean} isOwn whether only this store writes to the session
   */
  async read(store, sid, isOwn) {
    const asked = clock();
    const session = await store.get(sid);
    this.reads.push({ sid, n: session === null ? null : session.n, asked, got: clock(), isOwn });
  }

  /**
   * The reads that nothing explains. Each sid has one writer, so its writes are in order.
   */
  wrong() {
    return this.reads.filter(({ sid, n, asked, got, isOwn }) => {
      const writes = this.writes.get(sid) ?? [];
      const since = asked - (isOwn ? 0 : this.maxStale + READING);
      const first = writes.findLastIndex(({ acknowledged }) => acknowledged < since);
      // One of which it is not known whether it was done may be done late.
      const possible = writes.filter(
        ({ sent, acknowledged }, at) =>
          sent <= got && (at >= first || acknowledged === Number.POSITIVE_INFINITY),
      );
      if (first < 0 && n === null) return false;
      return !possible.some((written) => written.n === n);
    });
  }
}

/**
 * Has a store with a near cache and another process read and write sessions at random, while `disturb` is
 * called again and again. Resolves to the reads that nothing explains, and to how many there were.
 * @param {object} how
 * @param {object} how.near the store
 * @param {object} how.writer options of the other process's store
 * @param {number} how.maxStale
 * @param {number} how.ms how long
 * @param {string} how.name of the sessions, new each time
 * @param {() => Promise<void>} how.disturb
 */
async function interleave({ near, writer, maxStale, ms, name, disturb }) {
  const model = new Model(maxStale);
  const [theirs, ours] = ["their", "our"].map((whose) =>
    Array.from({ length: 10 }, (_, n) => `${name}-${whose}-${n}`),
  );
  const file = path.join(__dirname, "near-cache-writer.js");
  const child = fork(file, [JSON.stringify(writer), JSON.stringify(theirs)]);
  // Its messages have all come when it has disconnected.
  const left = Promise.all([once(child, "exit"), once(child, "disconnect")]);
  child.on("message", (written) => {
    // Infinity crosses as null.
    model.wrote({ ...written, acknowledged: written.acknowledged ?? Number.POSITIVE_INFINITY });
  });
  const ends = clock() + ms;
  const isOver = () => clock() > ends;
  let failed = 0;
  async function write(sid) {
    for await (const written of writeAtRandom(near, sid)) {
      model.wrote(written);
      if (isOver()) break;
      await wait(Math.random() * 40);
    }
  }
  async function read() {
    while (!isOver()) {
      const isOwn = Math.random() < 0.3;
      const sids = isOwn ? ours : theirs;
      const sid = sids[Math.floor(Math.random() * sids.length)];
      await model.read(near, sid, isOwn).catch(() => {
        failed += 1;
      });
      await wait(Math.random() * 5);
    }
  }
  async function trouble() {
    while (!isOver()) await disturb();
  }
  try {
    await Promise.all([...Array.from({ length: 8 }, read), ...ours.map(write), trouble()]);
  } finally {
    if (child.connected) child.send("end");
    await left;
  }
  return { wrong: model.wrong(), reads: model.reads.length, failed };
}

module.exports = { interleave, writeAtRandom };
