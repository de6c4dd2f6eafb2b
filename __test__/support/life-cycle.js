"use strict";

const { startRedisServer } = require("../../scripts/redis-server.js");
const { openInspector } = require("./inspector.js");

/**
 * Starts an environment before the tests of a file or of a group, and empties it before each test. After
 * each test it closes what the test has opened, the last first.
 * @param {() => Promise<{inspector: object, stop: () => Promise<void>}>} start
 * @param {(used: {environment: object, inspector: object, closing: (() => unknown)[]}) => void} use is
 *   called before each test; functions that close something go into `closing`
 */
function useEnvironment(start, use) {
  let environment;
  let closing;

  beforeAll(async () => {
    environment = await start();
  }, 60_000);

  afterAll(async () => {
    await environment?.inspector.close();
    await environment?.stop();
  });

  beforeEach(async () => {
    closing = [];
    const { inspector } = environment;
    use({ environment, inspector, closing });
    await inspector.flushDb();
  });

  afterEach(async () => {
    for (const close of (closing ?? []).reverse()) await close();
  });
}

/**
 * The same with a Redis of this machine.
 * @param {(used: {server: object, inspector: object, closing: (() => unknown)[]}) => void} use
 */
function useRedis(use) {
  useEnvironment(
    async () => {
      const server = await startRedisServer();
      return { server, inspector: await openInspector(server), stop: () => server.stop() };
    },
    ({ environment: { server }, ...used }) => use({ server, ...used }),
  );
}

module.exports = { useEnvironment, useRedis };
