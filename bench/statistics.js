"use strict";

// Measures peers in turn, and takes the medians of the rounds.

/** The median: of an even count, the mean of the two in the middle. NaN for an empty list. */
function median(numbers) {
  const sorted = numbers.filter((number) => Number.isFinite(number)).sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The value below which a share of the values lies. NaN if there is none.
 * @param {Float64Array} sorted
 * @param {number} share from 0 to less than 1
 */
function percentile(sorted, share) {
  return sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
}

/**
 * Measures peers one after the other, in several rounds. Each round begins with another peer, so that
 * other load on the machine, and garbage of the measurement before, affects all peers alike. A peer
 * that fails is left out of later rounds.
 * @param {string[]} names the peers
 * @param {number} rounds
 * @param {(name: string, round: number) => Promise<Record<string, number>>} measure
 * @returns {Promise<{rounds: Record<string, object>[], medians: Record<string, object>,
 *   failed?: Record<string, string>}>} the figures, by peer
 */
async function takeTurns(names, rounds, measure) {
  const taken = [];
  const failed = {};
  for (let round = 0; round < rounds; round += 1) {
    const row = {};
    taken.push(row);
    for (let n = 0; n < names.length; n += 1) {
      const name = names[(n + round) % names.length];
      if (name in failed) continue;
      try {
        row[name] = await measure(name, round);
      } catch (error) {
        failed[name] = error.message;
      }
    }
  }
  const cell = { rounds: taken, medians: mediansOf(taken, names) };
  return Object.keys(failed).length > 0 ? { ...cell, failed } : cell;
}

function mediansOf(rounds, names) {
  const medians = {};
  for (const name of names) {
    const of = rounds.map((row) => row[name]).filter(Boolean);
    if (of.length === 0) continue;
    medians[name] = {};
    for (const field of Object.keys(of[0])) {
      const numbers = of.map((figures) => figures[field]);
      if (numbers.every((number) => typeof number === "number")) {
        medians[name][field] = median(numbers);
      }
    }
  }
  return medians;
}

/**
 * The median of the rounds' ratios of a figure between two peers. Within a round the machine is
 * equally fast for both. NaN if the figure is missing for one of them.
 */
function ratio(cell, field, name, to) {
  return median((cell?.rounds ?? []).map((row) => row[name]?.[field] / row[to]?.[field]));
}

module.exports = { median, percentile, ratio, takeTurns };
