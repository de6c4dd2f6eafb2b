"use strict";

// The option `onUnavailable: "skip"`: express-session goes on without sessions between a store's
// `disconnect` and its `connect`.

const { nextTick } = process;

/**
 * Has a store emit `disconnect` when Redis is away and `connect` when it is there again.
 * @param {import("node:events").EventEmitter} store
 * @returns {(isAway: boolean) => void} to call whenever that changes
 */
function skipWhileAway(store) {
  let wasAway = false;
  // Redis may have been away before express-session listened: it must learn of that, too.
  store.on("newListener", (event, listener) => {
    if (event === "disconnect" && wasAway) nextTick(() => wasAway && listener.call(store));
  });
  const reference = new WeakRef(store);
  return (isAway) => {
    if (isAway === wasAway) return;
    wasAway = isAway;
    reference.deref()?.emit(isAway ? "disconnect" : "connect");
  };
}

module.exports = { skipWhileAway };
