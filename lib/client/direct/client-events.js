"use strict";

// Tells the adoptions beside a client when it comes, goes, and moves.

const { isReady, relayOf } = require("../client-status.js");

/** Methods by which a client moves to another database or user, or ends. */
const MOVES = ["select", "auth", "hello", "reset"].flatMap((name) => [name, name.toUpperCase()]);
const ENDS = ["close", "destroy", "disconnect", "quit", "QUIT", "end"];

/** The adoptions that follow each client: told once a client, however many stores there are. */
const followers = new WeakMap();

/**
 * Has an adoption hear of a client: `ready`, `end`, `moving` before it moves or ends, `moved` after.
 * @returns {() => void} what ends it
 */
function follow(client, adoption) {
  let adoptions = followers.get(client);
  if (adoptions === undefined) {
    adoptions = new Set();
    followers.set(client, adoptions);
    listen(client, adoptions);
  }
  // Weakly, so that a store nobody has any more can go.
  const reference = new WeakRef(adoption);
  adoptions.add(reference);
  return () => adoptions.delete(reference);
}

function listen(client, adoptions) {
  const tell = (event) => {
    for (const reference of adoptions) {
      const adoption = reference.deref();
      if (adoption === undefined || adoption.isClosed) adoptions.delete(reference);
      else adoption.heard(event);
    }
  };
  const relay = relayOf(client);
  for (const [event, told] of [
    ["ready", "ready"],
    ["end", "end"],
    ["terminated", "end"],
    ["select", "moved"],
  ]) {
    relay.on(event, () => tell(told));
  }
  // Neither library says when it is moved, nor in time that it is closed: the calls say so.
  // (ioredis also calls them itself, to log in, before it is ready.)
  const whenReady = (event) => () => {
    if (isReady(client)) tell(event);
  };
  for (const name of MOVES) announce(client, name, whenReady("moving"), whenReady("moved"));
  // ioredis takes no notice of these by `call` under a name in capitals.
  const isMove = ([name]) => MOVES.includes(String(name).toLowerCase());
  for (const name of ["call", "callBuffer"]) {
    announce(client, name, whenReady("moving"), whenReady("moved"), isMove);
  }
  for (const name of ENDS) announce(client, name, () => tell("moving"));
}

/** Has `before` and `after` called around a method of a client, for the arguments that count. */
function announce(client, name, before, after = () => {}, counts = () => true) {
  const method = client[name];
  if (typeof method !== "function") return;
  const own = Object.getOwnPropertyDescriptor(client, name);
  Object.defineProperty(client, name, {
    configurable: true,
    writable: true,
    enumerable: own?.enumerable ?? false,
    value(...args) {
      if (!counts(args)) return method.apply(this, args);
      before();
      const returned = method.apply(this, args);
      after();
      return returned;
    },
  });
}

module.exports = { follow };
