"use strict";

// A connection of the store's own that follows an app's client: it goes where the client goes,
// opens and closes with it, and is given up for the client where it could go elsewhere.

const { lookup } = require("node:dns/promises");
const { isIP } = require("node:net");
const { AsyncLocalStorage } = require("node:async_hooks");
const { clearTimeout, setTimeout } = require("node:timers");
const { follow } = require("./client-events.js");
const { isEnded, isReady, relayOf } = require("./client-status.js");
const { read } = require("./inspect.js");
const { isWatched } = require("./tracers.js");

/** How often, in milliseconds, a node-redis client in use is asked whether it is where it was. */
const CHECK_EVERY = 1000;
/** How long, in milliseconds, a client that is ready may take to answer CLIENT INFO. */
const ANSWER_WITHIN = 2000;
/** After how long, in milliseconds, it is tried again where there was no answer or no connection. */
const AGAIN_AFTER = 5000;
/** How often CLIENT INFO may cost a client its connection before it is never asked again. */
const STRIKES = 2;

/** What carries the calls if no connection of our own does. */
const CLIENT = "client";

/** The adoptions of each client, by what their stores have in common. */
const adoptions = new WeakMap();

/**
 * The adoption that all stores of a client share if they have the same timeouts: there is one
 * connection beside the client for all of them, until the last of them has gone.
 * @param {object} terms what the stores have in common
 * @param {() => object} meansOf makes the means of a new one
 */
function adoptionOf(client, terms, meansOf) {
  if (!adoptions.has(client)) adoptions.set(client, new Map());
  const ofClient = adoptions.get(client);
  const key = JSON.stringify(terms);
  if (ofClient.get(key)?.isClosed ?? true) {
    ofClient.set(key, new Adoption(client, { ...meansOf(), isForced: terms.isForced }));
  }
  return ofClient.get(key);
}

class Adoption {
  /**
   * @param {object} client
   * @param {object} means
   * @param {(server: import("./inspect.js").Server, hear: (event: string) => void) =>
   *   import("../native/connection.js").Connection} means.connect
   * @param {boolean} means.isForced whether the app wants nothing but a connection of our own
   * @param {(reason: string) => Error} means.refusal
   * @param {(decision: string) => void} means.log
   */
  constructor(client, { connect, isForced, refusal, log }) {
    Object.assign(this, { client, connect, isForced, refusal, log });
    /** The stores: how each emits an event, and its calls that the client carries. */
    this.members = new Set();
    /** What is done here for all stores is done in no caller's async context. */
    this.outside = AsyncLocalStorage.snapshot();
    /** Our own connection, while there is one in use, and where it goes. */
    this.own = undefined;
    this.where = undefined;
    /** Resolves when what is under way on a connection that was given up is answered. */
    this.parting = undefined;
    /** The client's methods when it was taken: a test may put others in their place. */
    this.methods = methodsOf(client);
    this.library = read(client).library;
    /** Whether the client carries the calls, because it is not safe to go past it. */
    this.isByClient = false;
    /** Whether the client has carried a call because it was not ready. */
    this.isWanted = false;
    /** Whether it is being found out what carries the calls, and the calls that wait for it. */
    this.isDeciding = false;
    this.held = [];
    /** Counts the reasons to decide anew. */
    this.epoch = 0;
    this.isClosed = false;
    this.timer = undefined;
    this.isChecking = false;
    this.unfollow = follow(client, this);
  }

  get transport() {
    return this.isByClient || this.isTraced() ? "client" : "native";
  }

  /** Whether somebody watches the commands of the client, who must see those of the sessions, too. */
  isTraced() {
    return !this.isForced && isWatched(this.library);
  }

  /**
   * What carries a call that is made now: a connection or `CLIENT`; undefined while that is not
   * known: see `hold`.
   */
  current() {
    const { client, own } = this;
    // A client that has ended rejects the call itself.
    if (this.isClosed || isEnded(client)) {
      if (own !== undefined) this.leave();
      return CLIENT;
    }
    const isTraced = this.isTraced();
    if (own !== undefined && !isTraced && this.isUntouched()) {
      if (this.timer === undefined) this.checkSoon();
      return own;
    }
    if (own !== undefined) {
      this.methods = methodsOf(client);
      this.moved();
    }
    if (this.parting !== undefined) return undefined;
    if (this.isByClient || isTraced) return CLIENT;
    // Whether a call waits for the client, and for how long, is for the client's options to say.
    if (!isReady(client) && !this.isForced) {
      this.isWanted = true;
      return CLIENT;
    }
    return undefined;
  }

  /** Whether the client's methods are those that a connection of our own stands for. */
  isUntouched() {
    const { get, set, expire, del, sendCommand } = this.methods;
    const { client } = this;
    return (
      client.get === get &&
      client.set === set &&
      client.expire === expire &&
      client.del === del &&
      client.sendCommand === sendCommand
    );
  }

  /** Has `run` called, in turn, with what carries the calls, or with the error why nothing does. */
  hold(run) {
    this.held.push(run);
    if (this.isDeciding) return;
    this.isDeciding = true;
    this.outside(() => this.find()).then(
      (carrier) => this.decided(carrier),
      (error) => this.decided(undefined, error),
    );
  }

  decided(carrier, error) {
    this.isDeciding = false;
    this.release(carrier, error);
  }

  release(carrier, error) {
    const { held } = this;
    this.held = [];
    for (const run of held) run(carrier, error);
  }

  async find() {
    for (;;) {
      await this.parting;
      const { epoch } = this;
      const found = await this.tryToAdopt();
      // What the client was asked before must not be overtaken by what goes beside it.
      if (found.own) await this.clientIsIdle();
      if (epoch === this.epoch && !this.isClosed) return this.take(found);
      found.own?.retire();
      if (this.isClosed) return CLIENT;
    }
  }

  /** Resolves when each call that the client carries now has its answer. */
  async clientIsIdle() {
    await Promise.all(Array.from(this.members, ({ calls }) => calls.carried()));
  }

  /**
   * A connection to where the client is, or why there is none. `passing` says that it may be
   * otherwise with the next call, `isForNow` that it may be in a while.
   * @returns {Promise<{own?: import("../native/connection.js").Connection, where?: object, place?: string,
   *   why?: string, passing?: boolean, isForNow?: boolean}>}
   */
  async tryToAdopt() {
    const { client } = this;
    const { why, server, name, at: place, isCluster } = read(client);
    if (why) return { why: `${name}: ${why}` };
    if (this.isTraced()) return { why: "its commands are traced", passing: true };
    if (this.isForced) {
      if (await untilReady(client)) return { why: "the client is closed", passing: true };
    } else if (!isReady(client)) {
      return { why: "the client is not ready", passing: true };
    }
    if (strikesOf(client) >= STRIKES && !this.isForced) {
      return { why: "the server drops connections on which it is asked CLIENT INFO" };
    }
    let where;
    let at;
    try {
      where = await within(ANSWER_WITHIN, server(), "its credentialsProvider does not answer");
      at = await addressed(where);
    } catch (error) {
      return { why: `cannot tell where and as whom it logs in: ${error?.message ?? error}` };
    }
    // A cluster has one database, and no `select` or `auth` to leave it by.
    const answer = isCluster ? { error: undefined } : await this.whoAmI();
    if (isEnded(client)) return { why: "the client is closed", passing: true };
    if (answer.error) {
      const why = `CLIENT INFO by the client fails: ${answer.error.message}`;
      if (!this.isForced) return { why, isForNow: answer.error.code === "ETIMEDOUT" };
    } else if (!isCluster) {
      const elsewhere = differs(answer, where);
      if (elsewhere) return { why: elsewhere };
    }
    let own;
    let connected;
    try {
      [own, connected] = this.open(at);
    } catch (error) {
      return { why: `a connection of the store's own is not possible: ${error.message}` };
    }
    const failure = (await connected) ?? (await this.lacksRights(own));
    if (failure && !this.isForced) {
      own.retire();
      return { why: `a connection of the store's own is no good: ${failure}`, isForNow: true };
    }
    return { own, where, place };
  }

  /** Opens a connection, which tells this of itself. It must not hold this, or neither could go. */
  open(at) {
    const adoption = new WeakRef(this);
    let connection;
    const hear = (event) => adoption.deref()?.told(connection?.deref(), event);
    const own = this.connect(at, hear);
    connection = new WeakRef(own);
    return [own, own.connected];
  }

  /** Why nothing can be written over our own connection: a missing right, a server that is a replica. */
  async lacksRights(own) {
    try {
      // Of a session that is not there, so nothing comes of it.
      await own.probe();
    } catch (error) {
      return error.message;
    }
    return undefined;
  }

  /** Puts into effect what has been found; returns what carries the calls. */
  take({ own, where, place, why, passing, isForNow }) {
    if (own) {
      this.own = own;
      this.where = where;
      this.isByClient = false;
      this.log(`transport native: a connection of the store's own to ${place}`);
      this.emit("ready");
      return own;
    }
    if (this.isForced && !passing) throw this.refusal(why);
    if (!passing) {
      this.isByClient = true;
      this.log(`transport client: ${why}`);
      if (isForNow) this.tryAgainLater();
    }
    return CLIENT;
  }

  /** Has all stores emit an event. */
  emit(event) {
    for (const member of this.members) member.emit(event);
  }

  tryAgainLater() {
    const { epoch } = this;
    const again = () => {
      if (epoch === this.epoch && !this.isClosed) this.moved();
    };
    setTimeout(again, AGAIN_AFTER).unref();
  }

  /** What the server says of the client's connection, in time: `{db, user}`, or `{error}`. */
  async whoAmI(ms = ANSWER_WITHIN) {
    const { client } = this;
    try {
      const asked =
        typeof client.call === "function"
          ? client.call("CLIENT", "INFO")
          : client.sendCommand(["CLIENT", "INFO"]);
      const info = String(await unharmed(client, asked, ms));
      const field = (name) => new RegExp(`(?:^| )${name}=(\\S*)`).exec(info)?.[1];
      // In the middle of an app's transaction the answer is QUEUED.
      if (field("db") === undefined) throw new Error("the answer is none");
      return { db: field("db"), user: field("user") };
    } catch (error) {
      return { error };
    }
  }

  /**
   * Looks, in a while, whether the client is still where it was: a node-redis client, as ioredis
   * tells of every `select`. (And where an app has sent MULTI by itself, as with ioredis it can, no
   * command may come in between.)
   */
  checkSoon() {
    this.timer = this.outside(() =>
      setTimeout(() => {
        this.timer = undefined;
        if (typeof this.client.isOpen === "boolean") this.check();
      }, CHECK_EVERY),
    );
    this.timer.unref();
  }

  async check() {
    const { own, epoch } = this;
    if (own === undefined || this.isChecking) return;
    this.isChecking = true;
    try {
      const { why, server, isCluster } = read(this.client);
      const where = why ? undefined : await server();
      const isSame = where !== undefined && sameServer(where, this.where);
      // However long it takes: only one such question is under way.
      const asks = isSame && !isCluster;
      const answer = asks ? await this.whoAmI(Number.POSITIVE_INFINITY) : {};
      if (epoch !== this.epoch) return;
      // No answer says nothing: the client may be away, or busy.
      if (!isSame || (asks && !answer.error && differs(answer, where))) this.moved();
    } catch {
      // Who cannot be read any more is not followed.
      if (epoch === this.epoch) this.moved();
    } finally {
      this.isChecking = false;
    }
  }

  /** The client may be elsewhere from now on: it is to be found out before the next call. */
  moved() {
    this.isByClient = false;
    this.leave();
  }

  /** Gives up our own connection; what is under way there is finished. */
  leave() {
    this.epoch += 1;
    const { own } = this;
    if (own === undefined) return;
    this.own = undefined;
    const parting = own.idle().then(() => {
      if (this.parting === parting) this.parting = undefined;
    });
    this.parting = parting;
    own.retire();
  }

  /** Our own connection has told of an event in its life. */
  told(connection, event) {
    if (connection === undefined || connection !== this.own) return;
    if (event === "reconnecting") {
      // The client goes on, until it is known to be safe again.
      if (!this.isForced) this.leave();
      this.emit("reconnecting");
    } else if (event === "ready" && this.isForced) this.emit("ready");
    // It has ended by itself, as a panic makes it: another is to be had.
    else if (event === "end") this.leave();
  }

  /** The client has told of an event in its life, or is about to move or to end. */
  heard(event) {
    if (this.isClosed) return;
    // What was called before the client moves, or ends, is to come before that there, too.
    if (event === "moving") this.release(CLIENT);
    else if (event === "end") this.leave();
    else if (event === "moved") this.moved();
    else if (this.own) this.check();
    // Who is back may be where it should be again.
    else if (this.isByClient) this.moved();
    else if (this.isWanted) this.hold(() => {});
    if (event === "ready") this.isWanted = false;
  }

  /** A store has gone; the last one closes the connection. */
  async left(member, isAtOnce) {
    this.members.delete(member);
    if (this.members.size > 0) return;
    if (isAtOnce) await this.close();
    else {
      this.leave();
      this.close();
    }
  }

  close() {
    this.isClosed = true;
    this.unfollow();
    clearTimeout(this.timer);
    const { own } = this;
    this.own = undefined;
    return own?.close();
  }
}

/** The methods whose work a connection of our own does. */
function methodsOf({ get, set, expire, del, sendCommand }) {
  return { get, set, expire, del, sendCommand };
}

/** A server by the address that a client's own `family` makes of its name. */
async function addressed(where) {
  const { host, family, tls } = where;
  const isName = typeof host === "string" && isIP(host) === 0;
  if (!isName || (family !== 4 && family !== 6)) return where;
  const { address } = await lookup(host, family);
  // Its certificate is for the name.
  return { ...where, host: address, tls: tls && { servername: host, ...tls } };
}

/** Waits for a promise, so many milliseconds. */
async function within(ms, promise, otherwise) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    const error = Object.assign(new Error(otherwise), { code: "ETIMEDOUT" });
    timer = setTimeout(() => reject(error), ms);
    timer.unref();
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** How often it has cost a client its connection to be asked. */
const strikes = new WeakMap();

function strikesOf(client) {
  return strikes.get(client) ?? 0;
}

/** Waits for an answer of a client that is ready; one that costs it its connection is counted. */
async function unharmed(client, asked, ms) {
  let harm;
  const harmed = new Promise((_resolve, reject) => {
    harm = () => {
      forgetQuestion(client);
      reject(new Error("the connection was lost over it"));
    };
  });
  const harms = ["close", "end", "reconnecting"];
  const relay = relayOf(client);
  for (const event of harms) relay.on(event, harm);
  try {
    const answered = Promise.race([asked, harmed]);
    return await (Number.isFinite(ms) ? within(ms, answered, "no answer") : answered);
  } catch (error) {
    const isAnswer = /^[A-Z]+ /.test(error?.message);
    const isHarm = !isAnswer && error?.code !== "ETIMEDOUT" && !isEnded(client);
    if (isHarm) strikes.set(client, strikesOf(client) + 1);
    Promise.resolve(asked).catch(() => {});
    throw error;
  } finally {
    for (const event of harms) relay.off(event, harm);
  }
}

/** Takes CLIENT INFO off what ioredis sends again on its next connection: it would lose that, too. */
function forgetQuestion({ prevCommandQueue: queue }) {
  const place = queue?.toArray().findIndex(({ command }) => {
    const words = [command.name, ...command.args].map(String);
    return words.join(" ").toUpperCase() === "CLIENT INFO";
  });
  if (place >= 0) queue.removeOne(place);
}

/**
 * Waits until a client is ready to be asked; true where it has ended instead. One that opens with
 * its first command (ioredis's lazyConnect) is ready for that.
 */
function untilReady(client) {
  return new Promise((resolve) => {
    const relay = relayOf(client);
    const look = () => {
      if (!isReady(client) && client.status !== "wait" && !isEnded(client)) return;
      relay.off("ready", look);
      relay.off("end", look);
      relay.off("terminated", look);
      resolve(isEnded(client));
    };
    relay.on("ready", look);
    relay.on("end", look);
    relay.on("terminated", look);
    look();
  });
}

function sameServer(a, b) {
  const isSame = (name) => a[name] === b[name];
  const isAlike = (name) => JSON.stringify(a[name]) === JSON.stringify(b[name]);
  return (
    ["host", "port", "path", "database", "username"].every(isSame) &&
    ["cluster", "sentinel"].every(isAlike)
  );
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

module.exports = { CLIENT, adoptionOf };
