"use strict";

// get and set over TLS and on a cluster, at 64 calls.

const { makeCertificates, tlsArgs } = require("../scripts/certificates.js");
const { freePort, hasTls, startRedisServer } = require("../scripts/redis-server.js");
const { startRedisCluster } = require("../scripts/redis-topologies.js");
const { lineOf, openPeerProcess } = require("./operations.js");
const { makeSession, sizeOf } = require("./sessions.js");
const { takeTurns } = require("./statistics.js");

const OPERATIONS = ["get", "set"];
const CONCURRENCY = 64;
const SIZE = 600;
const MASTERS = 3;
/** The estimated time to start and stop the servers, in seconds. */
const SERVERS_SECONDS = 4;

const TOPOLOGIES = {
  async TLS() {
    if (!hasTls()) throw new Error("this redis-server has no TLS");
    const certificates = await makeCertificates();
    process.once("exit", certificates.remove);
    const port = await freePort();
    const server = await startRedisServer({ args: tlsArgs(certificates, port) });
    const stop = async () => {
      await server.stop();
      certificates.remove();
    };
    return { where: { url: `rediss://localhost:${port}`, ca: certificates.ca }, stop };
  },

  async cluster() {
    const cluster = await startRedisCluster({ masters: MASTERS });
    return { where: { nodes: cluster.urls }, stop: cluster.stop };
  },
};

function plan(settings) {
  return (
    Object.keys(TOPOLOGIES).length * (SERVERS_SECONDS + OPERATIONS.length * estimateOf(settings))
  );
}

/** The estimated time of one cell, in seconds. */
function estimateOf({ peers, rounds, seconds }) {
  return peers.length * rounds * (1.75 * seconds + 0.02);
}

async function run({ settings, results, progress, leaveOut }) {
  const made = makeSession(SIZE);
  results.topologies = [];
  for (const [topology, start] of Object.entries(TOPOLOGIES)) {
    let servers;
    try {
      servers = await start();
    } catch (error) {
      leaveOut(topology, error.message);
      continue;
    }
    try {
      await measureAt(topology, servers.where, { made, settings, results, progress, leaveOut });
    } finally {
      await servers.stop();
    }
  }
}

async function measureAt(topology, where, { made, settings, results, progress, leaveOut }) {
  const opened = new Map();
  for (const [n, name] of settings.peers.entries()) {
    try {
      opened.set(name, await openPeerProcess(name, { ...where, prefix: `peer${n}:` }, made));
    } catch (error) {
      leaveOut(`${name} with ${topology}`, error.message);
    }
  }
  for (const operation of OPERATIONS) {
    const how = { operation, concurrency: CONCURRENCY, seconds: settings.seconds };
    const cell = await takeTurns([...opened.keys()], settings.rounds, (name) =>
      opened.get(name).measure(how),
    );
    const about = {
      topology,
      operation,
      bytes: sizeOf(made),
      size: SIZE,
      concurrency: CONCURRENCY,
    };
    const measured = { ...about, ...cell };
    results.topologies.push(measured);
    progress.done(`${topology.padEnd(8)} ${lineOf(measured)}`, estimateOf(settings));
  }
  for (const peer of opened.values()) await peer.stop();
}

module.exports = { plan, run };
