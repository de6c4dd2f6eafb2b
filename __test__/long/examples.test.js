"use strict";

// Starts each example as a reader does, uses it as a browser does, and ends it.

const path = require("node:path");
const { startRedisServer } = require("../../scripts/redis-server.js");
const { startRedisCluster, startRedisSentinel } = require("../../scripts/redis-topologies.js");
const { openClusterInspector, openInspector } = require("../support/inspector.js");
const { start } = require("../support/run.js");

const TSX = [path.join(__dirname, "..", "..", "node_modules", "tsx", "dist", "cli.mjs")];
const typescript = [...TSX, "--tsconfig", "examples/tsconfig.json"];

async function single() {
  const server = await startRedisServer();
  const inspector = await openInspector(server);
  return { env: { REDIS_URL: server.url }, inspector, stop: () => server.stop() };
}

async function cluster() {
  const servers = await startRedisCluster();
  const inspector = await openClusterInspector(servers);
  return { env: { REDIS_NODES: servers.urls.join() }, inspector, stop: () => servers.stop() };
}

async function sentinel() {
  const servers = await startRedisSentinel();
  const inspector = await openInspector(servers.master);
  const at = servers.sentinels.map(({ host, port }) => `${host}:${port}`).join();
  const env = { REDIS_SENTINELS: at, REDIS_MASTER: servers.name };
  return { env, inspector, stop: () => servers.stop() };
}

test.each([
  ["node-redis.mjs", single, []],
  ["ioredis.mjs", single, []],
  ["cluster.mjs", cluster, []],
  ["sentinel.mjs", sentinel, []],
  ["typescript.ts", single, typescript],
  ["nestjs.ts", single, typescript],
])(
  "the example %s keeps a session in Redis, and ends on SIGTERM",
  async (file, servers, command) => {
    const environment = await servers();
    try {
      const seen = [];
      let visit;
      const args = [...command, path.join("examples", file)];
      const env = { ...environment.env, PORT: "0" };
      const { code, signal, stderr } = await start(args, env, (output, child) => {
        const [address] = /http:\/\/\S+/.exec(output) ?? [];
        if (!address || visit) return;
        visit = (async () => {
          try {
            let cookie;
            for (let n = 0; n < 3; n += 1) {
              const response = await fetch(address.replace("[::1]", "localhost"), {
                headers: cookie ? { cookie } : {},
              });
              cookie ??= response.headers.get("set-cookie").split(";")[0];
              seen.push(await response.json());
            }
            seen.push(await environment.inspector.keys("example:*"));
          } finally {
            child.kill("SIGTERM");
          }
        })();
      });
      await visit;
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
      expect(seen.slice(0, 3)).toEqual([{ views: 1 }, { views: 2 }, { views: 3 }]);
      expect(seen[3]).toHaveLength(1);
    } finally {
      await environment.inspector.close();
      await environment.stop();
    }
  },
);
