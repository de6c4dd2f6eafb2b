"use strict";

// A peer in its own process: opens its store, and measures it on request.

const { fill, measure } = require("./load.js");
const { openPeer } = require("./peers.js");
const { serve } = require("./processes.js");
const { liven } = require("./sessions.js");

let peer;
let session;

serve({
  async open(name, where) {
    peer = await openPeer(name, where);
  },
  /** Stores a session under every sid; `measure` uses it. */
  async fill(made) {
    session = liven(made);
    if (peer.prepare) peer.prepare(session);
    else await fill(peer.store, session);
  },
  measure: (how) => measure(peer.store, session, how),
  close: () => peer.close(),
});
