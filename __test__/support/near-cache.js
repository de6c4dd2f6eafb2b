"use strict";

// What the option `cache` promises, as claims that hold on every server and however the store reaches
// it. Whether a session came from a copy is told by the store's own count.

const { setTimeout: wait } = require("node:timers/promises");
const { RedisStore } = require("../..");
const { waitUntil } = require("../../scripts/redis-server.js");
const { useEnvironment } = require("./life-cycle.js");
const { describeFetched, startWith } = require("./servers.js");

const SID = "sid";
const MINUTE = 60_000;

const session = (n, ms = 10 * MINUTE) => ({
  cookie: { originalMaxAge: ms, expires: new Date(Date.now() + ms).toISOString() },
  n,
});

/** How many times `get` was served from a copy. */
const hits = (store) => store.metrics().cache.hits;

/**
 * Calls `get`; resolves to the member `n` of the session, null if there is none, and whether it came
 * from a copy.
 */
async function look(store, sid = SID) {
  const before = hits(store);
  const found = await store.get(sid);
  return [found === null ? null : found.n, hits(store) > before ? "copy" : "read"];
}

/** Waits until `get` is served from a copy. */
const untilCopied = (store, sid = SID) =>
  waitUntil("there is a copy", async () => (await look(store, sid))[1] === "copy");

/** Waits until `get` returns this. */
const untilRead = (store, n, sid = SID) =>
  waitUntil(`get returns ${n}`, async () => (await look(store, sid))[0] === n);

/**
 * @param {object} setup of setups.js
 * @param {string} [version] of the servers, if not this machine's
 */
function describeNearCache(setup, version) {
  const within = version === undefined ? describe : describeFetched;
  within(`near cache: ${setup.name}${version === undefined ? "" : `, ${version}`}`, () => {
    let environment;
    let inspector;
    let closing;

    useEnvironment(
      () => startWith(version, setup.start),
      (used) => {
        ({ environment, inspector, closing } = used);
      },
    );

    async function open(options) {
      const opened = await setup.open(environment);
      if (opened.close) closing.push(opened.close);
      const store = new RedisStore({ ...opened.options, ...options });
      closing.push(() => store.close());
      return store;
    }
    /** A store with a near cache, and another without one, as in another process. */
    const openBoth = (cache = true) =>
      Promise.all([open({ cache, touchAfter: 60 }), open({ cache: false })]);

    test("a_session_that_was_read_is_served_from_its_copy_and_each_get_returns_a_new_object", async () => {
      const [near, other] = await openBoth();
      await other.set(SID, session(1));
      await untilCopied(near);
      const [one, two] = [await near.get(SID), await near.get(SID)];
      expect(one).toEqual(two);
      expect(one).not.toBe(two);
      one.n = "changed";
      expect((await near.get(SID)).n).toBe(1);
    });

    test("a_copy_is_served_whatever_other_servers_are_not_asked", async () => {
      const near = await open({ cache: { maxStale: 50 }, touchAfter: 60 });
      await near.set(SID, session(1));
      await wait(200);
      await untilCopied(near);
    });

    test("a_session_that_another_process_saves_touches_or_destroys_is_read_again", async () => {
      const [near, other] = await openBoth();
      await other.set(SID, session(1));
      await untilCopied(near);
      await other.set(SID, session(2));
      await untilRead(near, 2);
      await untilCopied(near);
      await other.touch(SID, session(2, MINUTE));
      await waitUntil("the expiry is new", async () => {
        const { cookie } = await near.get(SID);
        return new Date(cookie.expires) - Date.now() <= MINUTE;
      });
      await untilCopied(near);
      await other.destroy(SID);
      await untilRead(near, null);
    });

    test("a_session_that_is_gone_from_redis_is_gone_here", async () => {
      const [near, other] = await openBoth();
      for (const lose of [() => inspector.del(`sess:${SID}`), () => inspector.flushDb()]) {
        await other.set(SID, session(1));
        await untilCopied(near);
        await lose();
        await untilRead(near, null);
      }
    });

    test("what_the_store_itself_has_done_it_sees_at_once", async () => {
      const [near] = await openBoth();
      for (let n = 0; n < 50; n += 1) {
        await near.set(SID, session(n));
        expect((await near.get(SID)).n).toBe(n);
        await near.get(SID);
        const [, read] = await Promise.all([near.set(SID, session(1000 + n)), near.get(SID)]);
        expect(read.n).toBe(1000 + n);
        await near.get(SID);
        if (n % 2) {
          await near.destroy(SID);
          expect(await near.get(SID)).toBeNull();
        }
      }
      await near.set(SID, session(1));
      await untilCopied(near);
      await near.clear();
      expect(await near.get(SID)).toBeNull();
    });

    test("a_reply_that_was_under_way_when_the_session_was_written_is_not_kept", async () => {
      const [near] = await openBoth();
      await near.set(SID, session(1));
      const early = near.get(SID);
      const saved = near.set(SID, session(2));
      expect((await early).n).toBe(1);
      await saved;
      expect((await near.get(SID)).n).toBe(2);
    });

    test("a_session_ends_on_time", async () => {
      const [near, other] = await openBoth();
      await other.set(SID, session(1, 400));
      // Redis counts from when the command comes.
      const ends = Date.now() + 400;
      while (Date.now() < ends + 50) {
        const before = Date.now();
        const found = await near.get(SID);
        if (before >= ends + 1) expect(found).toBeNull();
      }
      expect(hits(near)).toBeGreaterThan(0);
    });

    test("what_fresh_names_is_read", async () => {
      const [near, other] = await openBoth({ fresh: (sid) => sid === "fresh" });
      for (const sid of [SID, "fresh"]) await other.set(sid, session(1));
      await untilCopied(near);
      for (let n = 0; n < 3; n += 1) expect(await look(near, "fresh")).toEqual([1, "read"]);
      expect(await look(near)).toEqual([1, "copy"]);
    });

    test("two_hundred_sessions_stay_right_while_two_processes_write_them", async () => {
      const [near, other] = await openBoth();
      const sids = Array.from({ length: 200 }, (_, n) => `s${n}`);
      const written = new Map(sids.map((sid) => [sid, 0]));
      for (const sid of sids) await other.set(sid, session(0));
      for (let round = 1; round <= 5; round += 1) {
        await Promise.all(sids.map((sid) => near.get(sid)));
        for (const [n, sid] of sids.entries()) {
          if ((n + round) % 3 === 0) continue;
          const writer = (n + round) % 3 === 1 ? near : other;
          await writer.set(sid, session(round));
          written.set(sid, round);
        }
        await waitUntil("all are as they were written", async () => {
          const found = await Promise.all(sids.map((sid) => near.get(sid)));
          return found.every(({ n }, at) => n === written.get(sids[at]));
        });
      }
    });
  });
}

module.exports = { describeNearCache, hits, look, session, untilCopied, untilRead };
