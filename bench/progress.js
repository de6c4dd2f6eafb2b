"use strict";

/**
 * Prints what is done, and how long the rest will take.
 * @param {number} total the estimated time of the run, in seconds
 * @param {() => void} save called when a part is done
 */
function startProgress(total, save) {
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1000;
  let done = 0;
  return {
    say: (line) => console.log(line),
    /** @param {string} line @param {number} estimate its estimated time, in seconds */
    done(line, estimate) {
      done += estimate;
      // At the pace so far, if that is known.
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
