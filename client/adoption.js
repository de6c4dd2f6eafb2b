"use strict";

// A connection of the store's own that follows an app's client: it goes where the client goes,
// opens and closes with it, and is given up for the client where it could go elsewhere.

const { clearTimeout, setTimeout } = require("node:timers");
const { read } = require("./read.js");

/** How often, in milliseconds, a client in use is asked whether it is still where it was. */
const CHECK_EVERY = 1000;
/** Methods by which a client moves to another database or user. */
const MOVES = ["select", "auth", "hello", "reset"].flatMap((name) => [name, name.toUpperCase()]);

/**
 * @typedef {object} Link a native object, and whose connection it uses
 * @property {object} native
 * @property {Promise<string | undefined>} connected why its first attempt to connect has failed;
 *   undefined where it has not
 */

class Adoption {
  /**
   * @param {object} client
   * @param {object} means
   * @param {Link} means.byClient what carries the calls where the client does
   * @param {(server: import("./read.js").Server) => Link} means.connect
   * @param {boolean} means.isForced whether the app wants nothing but a connection of the store's own
   * @param {(reason: string) => Error} means.refusal
   * @param {(decision: string) => void} means.log
   */
  constructor(client, means) {
    Object.assign(this, means);
    this.client = client;
    /** The store's own connection, where there is one in use. */
    this.own = undefined;
    /** Whether the client carries the calls, because it is not safe to go past it. */
    this.isByClient = false;
    /** While it is not known who carries the calls: a promise of who does. */
    this.deciding = undefined;
    /** Counts the reasons to decide anew. */
    this.epoch = 0;
    this.isClosed = false;
    this.timer = undefined;
    this.misses = 0;
    follow(client, this);
  }

  get transport() {
    return this.isByClient ? "client" : "native";
  }

  /** What carries a call that is made now; undefined while that is not known: see `decide`. */
  current() {
    if (this.own !== undefined) {
      if (isEnded(this.client)) this.leave();
      else {
        if (this.timer === undefined) this.checkSoon();
        return this.own;
      }
    }
    // A client that has ended rejects the call itself.
    if (this.isByClient || this.isClosed || isEnded(this.client)) return this.byClient;
    return undefined;
  }

  /** A promise of what carries the calls. It is the same for all calls that are made meanwhile. */
  decide() {
    if (this.deciding === undefined) {
      const deciding = this.find().finally(() => {
        if (this.deciding === deciding) this.deciding = undefined;
      });
      this.deciding = deciding;
    }
    return this.deciding;
  }

  async find() {
    for (;;) {
      const { epoch } = this;
      const found = await this.tryToAdopt();
      if (epoch === this.epoch && !this.isClosed) return this.take(found);
      found.own?.native.retire();
      if (this.isClosed) return this.byClient;
    }
  }

  /**
   * A connection to where the client is, or why there is none. `passing` says that it may be
   * otherwise with the next call.
   * @returns {Promise<{own?: object, why?: string, passing?: boolean, where?: string}>}
   */
  async tryToAdopt() {
    const { why, server, name } = read(this.client);
    if (why) return { why: `${name}: ${why}` };
    let where;
    try {
      where = await server();
    } catch (error) {
      return { why: `its credentials cannot be had: ${error.message}`, passing: true };
    }
    const answer = await this.whoAmI();
    if (answer.error) {
      if (isEnded(this.client)) return { why: "the client is closed", passing: true };
      if (!this.isForced)
        return { why: `CLIENT INFO by the client fails: ${answer.error.message}` };
    } else {
      const elsewhere = differs(answer, where);
      if (elsewhere) return { why: elsewhere };
    }
    const own = this.connect(where);
    const failure = await own.connected;
    if (failure && !this.isForced) {
      own.native.retire();
      return { why: `a connection of the store's own cannot be made: ${failure}` };
    }
    return { own, where: where.path ?? `${where.host}:${where.port}` };
  }

  /** Puts into effect what has been found; returns what carries the calls. */
  take({ own, why, passing, where }) {
    if (own) {
      this.own = own;
      this.isByClient = false;
      this.misses = 0;
      this.log(`transport native: a connection of the store's own to ${where}`);
      return own;
    }
    if (this.isForced && !passing) throw this.refusal(why);
    if (!passing) {
      this.isByClient = true;
      this.log(`transport client: ${why}`);
    }
    return this.byClient;
  }

  /** What the server says of the client's connection: `{db, user}`, or `{error}`. */
  async whoAmI() {
    const { client } = this;
    try {
      const info = String(
        typeof client.call === "function"
          ? await client.call("CLIENT", "INFO")
          : await client.sendCommand(["CLIENT", "INFO"]),
      );
      const field = (name) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(info)?.[1];
      return { db: field("db"), user: field("user") };
    } catch (error) {
      return { error };
    }
  }

  /** Looks, in a while, whether the client is still where it was. */
  checkSoon() {
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.check();
    }, CHECK_EVERY);
    this.timer.unref();
  }

  async check() {
    const { own, epoch } = this;
    if (own === undefined) return;
    const { why, server } = read(this.client);
    const answer = await this.whoAmI();
    if (epoch !== this.epoch || answer.error) return;
    const where = why ? undefined : await server().catch(() => undefined);
    if (epoch !== this.epoch) return;
    // The client is connected: so must the store's own connection be, or it goes the wrong way.
    this.misses = own.native.status === "ready" ? 0 : this.misses + 1;
    if (!where || differs(answer, where) || this.misses > 2) this.moved();
  }

  /** The client may be elsewhere from now on: it is to be found out before the next call. */
  moved() {
    this.isByClient = false;
    this.leave();
  }

  /** Gives up the store's own connection; what is under way there is finished. */
  leave() {
    this.epoch += 1;
    const { own } = this;
    this.own = undefined;
    own?.native.retire();
  }

  /** The store's own connection is lost: the next may need other credentials. */
  async lost(link) {
    const { why, server } = read(this.client);
    const where = why ? undefined : await server().catch(() => undefined);
    if (where) link.native.logInAs(where.username, where.password);
  }

  /** The client has told of an event in its life. */
  heard(event) {
    if (this.isClosed) return;
    if (event === "end") this.leave();
    else if (event === "moved") this.moved();
    else if (this.own) this.check();
    // Who is back may be where it should be again.
    else if (this.isByClient) this.moved();
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    const { own } = this;
    this.own = undefined;
    return own?.native.close();
  }
}

/** Says how a server's answer to CLIENT INFO differs from a server that was read, if it does. */
function differs({ db, user }, { database, username }) {
  if (db !== String(database)) return `the client is in database ${db}, not in ${database}`;
  // A server before Redis 6.2 does not say.
  if (user !== undefined && user !== (username ?? "default")) {
    return "the client is logged in as another user than its options say";
  }
  return undefined;
}

/** Whether a client has been closed, or has given up. One that was never opened may still open. */
function isEnded(client) {
  return typeof client.isOpen === "boolean" ? !client.isOpen : client.status === "end";
}

/** The adoptions that follow each client: one set of listeners a client, however many stores. */
const followers = new WeakMap();

function follow(client, adoption) {
  let adoptions = followers.get(client);
  if (adoptions === undefined) {
    adoptions = new Set();
    followers.set(client, adoptions);
    listen(client, adoptions);
  }
  // Weakly, so that a store nobody has any more can go.
  adoptions.add(new WeakRef(adoption));
}

function listen(client, adoptions) {
  const tell = (event) => {
    for (const reference of adoptions) {
      const adoption = reference.deref();
      if (adoption === undefined || adoption.isClosed) adoptions.delete(reference);
      else adoption.heard(event);
    }
  };
  for (const [event, told] of [
    ["ready", "ready"],
    ["end", "end"],
    ["terminated", "end"],
    ["select", "moved"],
  ]) {
    client.on(event, () => tell(told));
  }
  for (const name of MOVES) {
    const method = client[name];
    if (typeof method !== "function") continue;
    // Neither library says when it has been moved: the calls that move it say so.
    const own = Object.getOwnPropertyDescriptor(client, name);
    Object.defineProperty(client, name, {
      configurable: true,
      writable: true,
      enumerable: own?.enumerable ?? false,
      value(...args) {
        const returned = method.apply(this, args);
        tell("moved");
        return returned;
      },
    });
  }
}

module.exports = { Adoption };
