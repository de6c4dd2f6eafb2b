"use strict";

// The events of sessions (`events`), each once over all processes. Redis's own notifications need a
// setting that managed servers refuse, come to every process and get lost; so the sessions' deadlines are
// kept in sorted sets, and who takes a deadline out emits the event.

const { clearTimeout, setTimeout } = require("../clock.js");
const { CHUNK, DEADLINE_SETS } = require("./index-commands.js");

/** Milliseconds between two looks, if the app does not say. */
const INTERVAL = 1000;
/** The longest that a timer takes. */
const LONGEST = 2 ** 31 - 1;

/**
 * @typedef {InstanceType<typeof import("./index-commands.js").IndexCommands>} IndexCommands
 */

/**
 * The milliseconds between two looks, by the option `events`; undefined if there are no events.
 * @param {any} events
 * @param {import("../types.js").Invalid} invalid
 */
function intervalOf(events, invalid) {
  if (events === undefined || events === null || events === false) return undefined;
  if (events === true) return INTERVAL;
  const { interval } = typeof events === "object" ? events : { interval: Number.NaN };
  if (interval === undefined || interval === null) return INTERVAL;
  if (typeof interval === "number" && interval >= 1 && interval <= LONGEST) return interval;
  throw invalid(
    `RedisStore: the option events must be true or { interval }, a number of milliseconds from 1, got ${typeof events === "object" ? `an interval of ${typeof interval === "number" ? interval : `type ${typeof interval}`}` : `a value of type ${typeof events}`}`,
  );
}

/**
 * Looks for sessions that have expired, until `sweeper` is gone or says that it is closed.
 * @param {WeakRef<{sweep: () => Promise<boolean>}>} sweeper
 * @param {number} interval
 */
function watch(sweeper, interval) {
  /** @type {NodeJS.Timeout} */
  let timer;
  const look = async () => {
    const alive = sweeper.deref();
    if (alive === undefined) return;
    // What cannot be looked at now, because Redis is away, is looked at later.
    const goesOn = await alive.sweep().catch((error) => {
      if (error?.code === "NOPERM") warnOfNoRight(error);
      return true;
    });
    if (goesOn) start(interval);
  };
  const start = (/** @type {number} */ ms) => {
    timer = setTimeout(look, ms);
    timer.unref();
  };
  // Processes that were started together do not look together.
  start(Math.random() * interval);
  return () => clearTimeout(timer);
}

let hasWarned = false;

/** @param {Error} error */
function warnOfNoRight({ message }) {
  if (hasWarned) return;
  hasWarned = true;
  process.emitWarning(`RedisStore: the event expired does not come: ${message}`, {
    code: "CONNECT_REDIS_RS_NO_EXPIRED",
  });
}

/**
 * Takes out the deadlines that are over. A session that lives on gets its true end.
 * @param {IndexCommands} commands
 * @param {(sid: string) => Promise<number>} pttl milliseconds that a session has left; -1 for ever, -2
 *   if it is gone
 * @param {(sid: string) => void} expired
 */
async function sweepDeadlines(commands, pttl, expired) {
  for (let set = 0; set < DEADLINE_SETS; set += 1) {
    for (;;) {
      const sids = await commands.due(set, Date.now());
      await Promise.all(
        sids.map(async (sid) => {
          const left = await pttl(sid);
          if (left === -2) {
            if (await commands.takeDeadline("events", sid)) expired(sid);
          } else {
            const end = left === -1 ? Number.POSITIVE_INFINITY : Date.now() + left + 1;
            await commands.postponeDeadline(sid, end);
          }
        }),
      );
      if (sids.length < CHUNK) break;
    }
  }
}

module.exports = { intervalOf, sweepDeadlines, watch };
