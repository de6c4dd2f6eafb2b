"use strict";

// Stores of tests, and their sessions as express-session loads them.

const { RedisStore } = require("../..");

/**
 * Opens a store that is closed after the test.
 * @param {(() => unknown)[]} closing what closes something after the test, as in life-cycle.js
 * @param {object} options
 */
function openStore(closing, options) {
  const store = new RedisStore(options);
  closing.push(() => store.close());
  return store;
}

/** Resolves to a session, as express-session makes it for a request. */
const loadSession = async (store, sid) =>
  store.createSession({ sessionID: sid, sessionStore: store }, await store.get(sid));

module.exports = { loadSession, openStore };
