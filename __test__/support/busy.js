"use strict";

// A process whose store always has calls in flight: a child of `fork`, or a worker of a cluster. It
// sends a message after its first replies, and ends in the way that the parent's message names.

const { RedisStore } = require("../..");

const store = new RedisStore({ url: process.env.URL_OF_REDIS });
const sids = Array.from({ length: 50 }, (_, n) => `${process.pid}:${n}`);

process.on("message", async (how) => {
  if (how === "exit") process.exit(0);
  await store.close();
  process.disconnect();
});

work().catch((error) => {
  if (error.code !== "ECLOSED") throw error;
});

async function work() {
  for (let round = 0; ; round += 1) {
    await Promise.all([store.length(), ...sids.map((sid) => store.set(sid, { sid }))]);
    const sessions = await Promise.all(sids.map((sid) => store.get(sid)));
    if (sessions.some((session, n) => session.sid !== sids[n])) throw new Error("wrong session");
    if (round === 0) process.send("works");
  }
}
