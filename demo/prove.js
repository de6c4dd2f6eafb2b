"use strict";

const { KEYS, race } = require("./race.js");

/**
 * Signs in over HTTP, visits three times and signs out; signs a user out everywhere else; and sends twenty
 * requests at once. Prints what Redis holds, and throws if something is not as it must be.
 * @param {string} address of the app
 * @param {(sid: string) => Promise<object | null>} inspect as in app.js
 */
async function prove(address, inspect) {
  console.log("\nSigning in over HTTP …");
  const cookie = await signIn("Ada");
  const sid = cookie && decodeURIComponent(cookie).match(/=s:([^.]+)\./)?.[1];
  check(sid, "signing in sets a session cookie");

  for (let visit = 1; visit <= 3; visit += 1) {
    const page = await home(cookie);
    check(page.includes(`<dd id="visits">${visit}</dd>`), `visit ${visit} is counted`);
  }

  const stored = await inspect(sid);
  check(stored, "Redis holds the session");
  console.log(`\n  key   ${stored.key}\n  JSON  ${stored.json}\n  TTL   ${stored.ttl} ms\n`);
  check(JSON.parse(stored.json).visits === 3, "the stored JSON has the three visits");
  check(stored.ttl > 0, "the key expires");

  const sessions = await (await request("GET", "/sessions?user=Ada")).text();
  check(sessions.includes("<b>Ada</b>"), "the admin page shows the session");
  check(!sessions.includes(sid), "and not its id");

  await request("POST", "/logout", { cookie });
  check((await inspect(sid)) === null, "after signing out the key is gone");
  const page = await home(cookie);
  check(page.includes("Nobody is signed in"), "the old cookie opens nothing");

  console.log("\nSigning Ada in on three devices, and Grace on one …");
  const [laptop, phone, tablet] = [await signIn("Ada"), await signIn("Ada"), await signIn("Ada")];
  const grace = await signIn("Grace");
  check(
    (await home(laptop)).includes("Ada: 3, Grace: 1"),
    "the store knows whose sessions are whose",
  );
  await request("POST", "/logout-elsewhere", { cookie: laptop });
  const others = await Promise.all([home(phone), home(tablet)]);
  check(
    others.every((other) => other.includes("Nobody is signed in")),
    "after signing out everywhere else, Ada's other cookies open nothing",
  );
  check(
    (await home(laptop)).includes("Ada: 1, Grace: 1"),
    "Ada stays signed in here, and so does Grace",
  );
  await Promise.all([laptop, grace].map((each) => request("POST", "/logout", { cookie: each })));

  console.log("\nTwenty parallel requests, each of which sets a key of its own in the session …");
  const last = await race(`${address}/race/last`);
  check(last.length < KEYS.length, `concurrency "last", the default, keeps ${last.length} of 20`);
  const merge = await race(`${address}/race/merge`);
  check(merge.length === KEYS.length, `concurrency "merge" keeps ${merge.length} of 20`);

  async function signIn(user) {
    const login = await request("POST", "/login", { body: `user=${user}` });
    return login.headers.get("set-cookie")?.split(";")[0];
  }

  async function home(cookie) {
    return (await request("GET", "/", { cookie })).text();
  }

  async function request(method, path, { cookie: sent, body } = {}) {
    const headers = { ...(sent && { cookie: sent }) };
    if (body) headers["content-type"] = "application/x-www-form-urlencoded";
    const response = await fetch(address + path, { method, headers, body, redirect: "manual" });
    if (response.status >= 400) {
      throw new Error(`${method} ${path} answered ${response.status}: ${await response.text()}`);
    }
    return response;
  }
}

function check(holds, claim) {
  if (!holds) throw new Error(`This check failed: ${claim}.`);
  console.log(`  ✓ ${claim}`);
}

module.exports = { prove };
