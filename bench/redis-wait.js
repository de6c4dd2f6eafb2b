"use strict";

// What Redis's distance adds to a request.

const { median } = require("./statistics.js");

/**
 * How much longer the median request takes than with Redis 0 ms away, in milliseconds: the median of the
 * rounds' differences. NaN if one of them was not measured.
 * @param {object[]} requests the cells of a run
 * @param {{load: string, concurrency: number, rounds: object[]}} cell one of them
 * @param {string} name the peer
 */
function redisWait(requests, cell, name) {
  const near = requests.find(
    ({ load, concurrency, distance }) =>
      distance === 0 && load === cell.load && concurrency === cell.concurrency,
  );
  const rows = near?.rounds ?? [];
  return median(rows.map((row, round) => cell.rounds[round]?.[name]?.p50 - row[name]?.p50));
}

/** The same as round trips to Redis. NaN with Redis 0 ms away. */
function roundTrips(requests, cell, name) {
  return cell.distance > 0 ? redisWait(requests, cell, name) / cell.distance : Number.NaN;
}

module.exports = { redisWait, roundTrips };
