"use strict";

// The sessions that every peer is measured with.

const { createHash } = require("node:crypto");
const session = require("express-session");

/** Their approximate sizes, in bytes of JSON; a session is made of whole items. */
const SIZES = [200, 600, 4_000, 64_000];
/** Longer than any run, so that nothing expires during a measurement. */
const MAX_AGE_MS = 7_200_000;

/** Sids as long as express-session's. */
const SIDS = Array.from({ length: 1000 }, (_, n) => sidOf(n));

function sidOf(n) {
  return createHash("sha256").update(`${n}`).digest("base64url").slice(0, 32);
}

/**
 * The session of a signed-in user, as JSON.parse returns it.
 * @param {number} [size] one of SIZES
 */
function makeSession(size = 600) {
  const made = {
    cookie: {
      originalMaxAge: MAX_AGE_MS,
      expires: new Date(Date.now() + MAX_AGE_MS).toISOString(),
      secure: true,
      httpOnly: true,
      path: "/",
      sameSite: "lax",
    },
    passport: { user: "64f1c0ffee64f1c0ffee64f1" },
    views: 42,
  };
  if (size <= 200) return made;
  Object.assign(made, {
    csrfSecret: "Zm9vYmFyYmF6cXV4Zm9vYmFy",
    returnTo: "/account/settings?tab=security",
    flash: { info: ["Your profile was saved."], error: [] },
    cart: [
      { sku: "A-1001", quantity: 2, price: 19.9, title: "Coffee, whole beans, 500 g" },
      { sku: "B-2002", quantity: 1, price: 249, title: "Grinder with steel burrs" },
    ],
    preferences: { locale: "en-GB", theme: "dark", currency: "EUR", newsletter: false },
  });
  if (size <= 600) return made;
  made.visited = [];
  let bytes = sizeOf(made);
  for (let n = 0; bytes < size; n += 1) {
    const item = makeItem(n);
    const visit = {
      path: `/products/${item.sku}?ref=${n % 7}`,
      at: 1_790_000_000_000 + n * 61_003,
    };
    made.cart.push(item);
    made.visited.push(visit);
    bytes += sizeOf(item) + sizeOf(visit) + 2;
  }
  return made;
}

function makeItem(n) {
  const titles = ["Filter papers, 100", "Kettle, 0.9 l, swan neck", "Hand mill, size M"];
  return {
    sku: `C-${3000 + n}`,
    quantity: 1 + (n % 3),
    price: Math.round(199 + ((n * 7919) % 20_000)) / 100,
    title: titles[n % titles.length],
    options: { colour: ["black", "white", null][n % 3], gift: n % 5 === 0, engraving: "" },
    tags: ["kitchen", `shelf-${n % 11}`],
    inStock: n % 4 !== 0,
  };
}

function sizeOf(value) {
  return Buffer.byteLength(JSON.stringify(value));
}

/** A session as express-session passes it to `set` and `touch`: with a Cookie, whose expiry is a Date. */
function liven(made) {
  const store = new session.Store();
  return store.createSession({ sessionID: SIDS[0], sessionStore: store }, structuredClone(made));
}

module.exports = { MAX_AGE_MS, SIDS, SIZES, liven, makeSession, sidOf, sizeOf };
