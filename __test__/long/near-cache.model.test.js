"use strict";

// A near cache against a model that knows when what was written: no copy is older than it may be,
// whatever happens to the network and to the servers. SOAK_MINUTES says how long all tests together take.

const { setTimeout: wait } = require("node:timers/promises");
const { RedisStore } = require("../..");
const { send, startRedisServer } = require("../../scripts/redis-server.js");
const {
  failOver,
  mastersOf,
  moveSlots,
  slotsOf,
  startRedisCluster,
} = require("../../scripts/redis-topologies.js");
const { interleave } = require("../support/near-cache-model.js");
const { startProxy } = require("../support/proxy.js");
const { startWith } = require("../support/servers.js");

const MAX_STALE = 60;
const ROUND = 6000;
const MINUTES = Number(process.env.SOAK_MINUTES ?? 0);
/** How many rounds each server is tried; three tests share the time of a soak. */
const ROUNDS = Math.max(2, Math.ceil((MINUTES * 60_000) / 3 / (ROUND + 1000)));
const LIMIT = (ROUNDS + 10) * (ROUND + 10_000);

const closing = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const random = (n) => Math.floor(Math.random() * n);
const oneOf = (list) => list[random(list.length)];

function open(options) {
  const store = new RedisStore({
    cache: { maxStale: MAX_STALE },
    touchAfter: 60,
    commandTimeout: 2000,
    ...options,
  });
  closing.push(() => store.close());
  return store;
}

/** Runs the rounds. Something must come from copies, and something must be read. */
async function soak(near, writer, disturb) {
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = near.metrics().cache;
    const { wrong, reads, failed } = await interleave({
      near,
      writer,
      maxStale: MAX_STALE,
      ms: ROUND,
      name: `round-${round}`,
      disturb,
    });
    expect(wrong).toEqual([]);
    const after = near.metrics().cache;
    expect(reads).toBeGreaterThan(100);
    expect(failed).toBeLessThan(reads);
    expect(after.hits).toBeGreaterThan(before.hits);
    expect(after.misses).toBeGreaterThan(before.misses);
  }
}

test.each([undefined, "Valkey 9"])(
  "behind_a_network_that_stalls_and_breaks_no_copy_is_too_old (%s)",
  async (version) => {
    const server = await startWith(version, () => startRedisServer());
    closing.push(() => server.stop());
    const proxy = await startProxy(server);
    closing.push(() => proxy.stop());
    const near = open({ url: proxy.url });
    await soak(near, { url: server.url }, async () => {
      const happens = random(6);
      if (happens === 0) {
        proxy.delay(oneOf([10, 50, 200]));
        await wait(random(400));
        proxy.delay(0);
      } else if (happens === 1) {
        await proxy.refuse();
        await wait(random(100));
        await proxy.heal();
      } else if (happens === 2) proxy.cut(1 + random(3000));
      else if (happens === 3) await send(server.port, "CLIENT", "KILL", "TYPE", "normal");
      else if (happens === 4) {
        await send(server.port, "CONFIG", "SET", "tracking-table-max-keys", oneOf([1, 5, 1000000]));
      } else {
        await send(server.port, "CLIENT", "PAUSE", 50 + random(200), oneOf(["ALL", "WRITE"]));
      }
      await wait(random(500));
    });
  },
  LIMIT,
);

test(
  "in_a_cluster_whose_slots_move_and_whose_masters_change_no_copy_is_too_old",
  async () => {
    // By default, a master refuses every command while it thinks that a slot is not served.
    const args = ["--cluster-require-full-coverage", "no"];
    const cluster = await startRedisCluster({ masters: 3, replicas: 1, args });
    closing.push(() => cluster.stop());
    const nodes = { cluster: cluster.urls };
    const near = open(nodes);
    const changes = { failovers: 0, moves: 0 };
    const change = async () => {
      const masters = await mastersOf(cluster);
      const [from] = masters.splice(random(masters.length), 1);
      if ((changes.failovers + changes.moves) % 4 === 0) {
        await failOver(cluster, from);
        changes.failovers += 1;
        return;
      }
      const slots = await slotsOf(from);
      const some = slots.slice(random(slots.length - 20)).slice(0, 20);
      await moveSlots(cluster, from, oneOf(masters), some);
      changes.moves += 1;
      await wait(200);
    };
    // Nodes that do not agree are left alone until they do.
    await soak(near, nodes, () =>
      cluster
        .isWhole()
        .then(change)
        .catch(() => {}),
    );
    expect(changes.failovers).toBeGreaterThan(0);
    expect(changes.moves).toBeGreaterThan(0);
  },
  LIMIT,
);
