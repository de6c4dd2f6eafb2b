"use strict";

/**
 * Says what is done, and how long the rest will take.
 * @param {number} total how long all is expected to take, in seconds
 * @param {() => void} save called when something is done
 */
function startProgress(total, save) {
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  let done = 0;
  return {
    say: (line) => console.log(line),
    /** @param {string} line @param {number} estimate what it was expected to take, in seconds */
    done(line, estimate) {
      done += estimate;
      // At the pace so far, as soon as there is one.
      const pace = done > 10 ? elapsed() / done : 1;
      const left = Math.max(0, total - done) * pace;
      console.log(`${line}   [${formatTime(left)} left]`);
      save();
    },
    minutes: () => elapsed() / 60,
  };
}

/** @param {number} seconds */
function formatTime(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

module.exports = { formatTime, startProgress };
