"use strict";

// Load for the tests of faults: workers that know what their sessions must contain.

/**
 * Starts workers that set, touch, destroy and get their own sessions, and check each reply against what
 * was acknowledged before: one call after the other, and several calls made together on one session,
 * which must be carried out in order.
 * @param {object} store
 * @param {object} [options]
 * @param {number} [options.workers]
 * @param {string} [options.name] the beginning of their sids
 * @returns {{totals: object, more: (calls: number) => Promise<void>,
 *   stop: () => Promise<object>}} `more` waits for that number of further calls; `stop` reads every
 *   session once more and resolves to the totals: the number of calls, the errors of rejected calls,
 *   the wrong replies (in words), and the milliseconds of the longest call
 */
function startLoad(store, { workers = 20, name = "load" } = {}) {
  const totals = { calls: 0, errors: [], wrong: [], longest: 0 };
  let isOver = false;

  async function made(call) {
    const from = performance.now();
    try {
      return { value: await call };
    } catch (error) {
      totals.errors.push(error);
      return { error };
    } finally {
      totals.calls += 1;
      totals.longest = Math.max(totals.longest, Math.round(performance.now() - from));
    }
  }

  function check(what, { error, value }, expected) {
    if (error !== undefined || expected === undefined) return;
    const found = value?.n ?? null;
    if (found !== expected) totals.wrong.push(`${what}: ${found} instead of ${expected}`);
  }

  async function work(worker) {
    // The content of each session: its n, null if it is destroyed, undefined if unknown.
    const known = new Map();
    // A failed test closes the store.
    for (let n = 0; !isOver && store.status !== "closed"; n += 1) {
      const sid = `${name}-${worker}-${Math.floor(Math.random() * 25)}`;
      const choice = Math.floor(Math.random() * 4);
      if (choice === 0) {
        const { error } = await made(store.set(sid, { n }));
        known.set(sid, error ? undefined : n);
      } else if (choice === 1) {
        await made(store.touch(sid, { n }));
      } else if (choice === 2) {
        const { error } = await made(store.destroy(sid));
        known.set(sid, error ? undefined : null);
      } else {
        const [set, first, , destroyed, second, last, third] = await Promise.all([
          made(store.set(sid, { n: `${n}a` })),
          made(store.get(sid)),
          made(store.touch(sid, {})),
          made(store.destroy(sid)),
          made(store.get(sid)),
          made(store.set(sid, { n: `${n}b` })),
          made(store.get(sid)),
        ]);
        const isWhole = [set, destroyed, last].every(({ error }) => error === undefined);
        if (isWhole) {
          check(`${sid}, set and get together`, first, `${n}a`);
          check(`${sid}, destroy and get together`, second, null);
          check(`${sid}, set again and get together`, third, `${n}b`);
        }
        known.set(sid, isWhole ? `${n}b` : undefined);
      }
      check(`${sid}, get after call ${choice}`, await made(store.get(sid)), known.get(sid));
    }
    return known;
  }

  const working = Array.from({ length: workers }, (_, worker) => work(worker));
  return {
    totals,
    async more(calls) {
      const enough = totals.calls + calls;
      while (totals.calls < enough && store.status !== "closed")
        await new Promise((resolve) => setTimeout(resolve, 5));
    },
    async stop() {
      isOver = true;
      for (const known of await Promise.all(working)) {
        for (const [sid, expected] of known) {
          check(`${sid}, in the end`, await made(store.get(sid)), expected);
        }
      }
      return totals;
    },
  };
}

module.exports = { startLoad };
