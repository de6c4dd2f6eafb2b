"use strict";

// Calls that the app's client makes because the store's own connection was lost: when they are made once
// more, since the client has lost its connection, too.

const { Calls } = require("../lib/client/client-calls.js");
const { failure } = require("../lib/errors.js");
const { HandedBack } = require("../lib/client/handed-back.js");

const LOST = Object.assign(new Error("the connection was lost"), { code: "ECONNRESET" });

/** A call whose first attempt ends as the test says, and whose second one succeeds. */
function attempts() {
  const made = [];
  const attempt = () =>
    new Promise((resolve, reject) => {
      made.push({ resolve, reject });
      if (made.length > 1) resolve("again");
    });
  return { made, attempt };
}

test("a call is made once more if the client has lost its connection", async () => {
  const { made, attempt } = attempts();
  const handedBack = new HandedBack();
  const call = handedBack.carry("a", true, 60_000, attempt);
  made[0].reject(LOST);
  expect(await call).toBe("again");
  expect(handedBack.repeatable.size).toBe(0);
});

test.each([
  ["set", true],
  ["destroy", true],
  ["rotate", true],
  ["touch", true],
  ["get", false],
])("a save is not made once more after a later %s: %p", async (name, isLast) => {
  const { made, attempt } = attempts();
  const handedBack = new HandedBack();
  const call = handedBack.carry("a", true, 60_000, attempt);
  handedBack.supersede(name, "another");
  handedBack.supersede(name, "a");
  made[0].reject(LOST);
  expect(await call.catch(({ code }) => code)).toBe(isLast ? "ECONNRESET" : "again");
  expect(made.length).toBe(isLast ? 1 : 2);
  expect(handedBack.repeatable.size).toBe(0);
});

test("a save is not made once more after all sessions are cleared", async () => {
  const { made, attempt } = attempts();
  const handedBack = new HandedBack();
  const call = handedBack.carry("a", true, 60_000, attempt);
  handedBack.supersedeAll();
  made[0].reject(LOST);
  await expect(call).rejects.toBe(LOST);
});

test("the stores of a client share what was handed back", () => {
  const client = {};
  expect(HandedBack.of(client)).toBe(HandedBack.of(client));
  expect(HandedBack.of({})).not.toBe(HandedBack.of(client));
});

test("a save is made once more after one that was refused, and so never made", async () => {
  const { made, attempt } = attempts();
  const bounds = { limit: 60_000, length: 0, bytes: 0, failFast: false };
  const calls = new Calls({ bounds, client: "a client", failure });
  const call = calls.handedBack.carry("a", true, 60_000, attempt);
  const refused = calls.make(
    "set",
    "a",
    () => null,
    async () => null,
  );
  await expect(refused).rejects.toMatchObject({ code: "ENOBUFS" });
  made[0].reject(LOST);
  expect(await call).toBe("again");
});

test("a read is made once more whatever comes after it", async () => {
  const { made, attempt } = attempts();
  const handedBack = new HandedBack();
  const call = handedBack.carry("a", false, 60_000, attempt);
  handedBack.supersede("set", "a");
  made[0].reject(LOST);
  expect(await call).toBe("again");
});

test.each([
  ["when its time is over", 0, LOST],
  ["after an error of Redis", 60_000, Object.assign(new Error("OOM"), { code: "OOM" })],
])("a call is not made once more %s", async (_, left, error) => {
  const { made, attempt } = attempts();
  const call = new HandedBack().carry("a", true, left, attempt);
  made[0].reject(error);
  await expect(call).rejects.toBe(error);
  expect(made.length).toBe(1);
});
