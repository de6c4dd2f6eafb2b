"use strict";

// What the benchmarks have in common: the session, and one measurement.

const SIDS = Array.from({ length: 1000 }, (_, n) => `s${n}`);
const MAX_AGE_MS = 3_600_000;

/** Stores the sessions that are measured with. */
async function fill(store, session) {
  for (const sid of SIDS) await store.set(sid, session);
}

/** Keeps `concurrency` calls going for `seconds`. */
async function measure(store, operation, concurrency, session, seconds) {
  const call = {
    get: (sid) => store.get(sid),
    set: (sid) => store.set(sid, session),
    touch: (sid) => store.touch(sid, session),
  }[operation];
  let calls = 0;
  let running = true;
  const started = performance.now();
  setTimeout(() => {
    running = false;
  }, seconds * 1000);
  const cpu = process.threadCpuUsage?.();
  const worker = async () => {
    while (running) {
      calls += 1;
      await call(SIDS[calls % SIDS.length]);
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const elapsed = (performance.now() - started) / 1000;
  const used = cpu && process.threadCpuUsage(cpu);
  return { rate: calls / elapsed, cpu: used ? (used.user + used.system) / calls : Number.NaN };
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1];
}

/** A session of about 600 bytes, as an app that has a user signed in would hold. */
function makeSession() {
  return {
    cookie: {
      originalMaxAge: MAX_AGE_MS,
      expires: new Date(Date.now() + MAX_AGE_MS).toISOString(),
      secure: true,
      httpOnly: true,
      path: "/",
      sameSite: "lax",
    },
    passport: { user: "64f1c0ffee64f1c0ffee64f1" },
    csrfSecret: "Zm9vYmFyYmF6cXV4Zm9vYmFy",
    returnTo: "/account/settings?tab=security",
    views: 42,
    flash: { info: ["Your profile was saved."], error: [] },
    cart: [
      { sku: "A-1001", quantity: 2, price: 19.9, title: "Coffee, whole beans, 500 g" },
      { sku: "B-2002", quantity: 1, price: 249, title: "Grinder with steel burrs" },
    ],
    preferences: { locale: "en-GB", theme: "dark", currency: "EUR", newsletter: false },
  };
}

module.exports = { fill, makeSession, measure, median };
