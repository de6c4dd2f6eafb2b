"use strict";

// A connection of the store's own that follows an app's client: it goes where the client goes,
// opens and closes with it, and is given up for the client where it could go elsewhere.

const { lookup } = require("node:dns/promises");
const { isIP } = require("node:net");
const { clearTimeout, setTimeout } = require("node:timers");
const { follow } = require("./following.js");
const { hasBeenReady, isEnded, isReady, relayOf } = require("./presence.js");
const { read } = require("./read.js");

/** How often, in milliseconds, a node-redis client in use is asked whether it is where it was. */
const CHECK_EVERY = 1000;
/** How long, in milliseconds, a client that is ready may take to answer CLIENT INFO. */
const ANSWER_WITHIN = 2000;
/** After how long, in milliseconds, it is tried again where there was no answer or no connection. */
const AGAIN_AFTER = 5000;
/** How often CLIENT INFO may cost a client its connection before it is never asked again. */
const STRIKES = 2;

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
   * @param {(event: string) => void} means.emit has the store emit an event
   */
  constructor(client, means) {
    Object.assign(this, means);
    this.client = client;
    /** The store's own connection, where there is one in use, and where it goes. */
    this.own = undefined;
    this.where = undefined;
    /** The client's methods when it was taken: a test may put others in their place. */
    this.methods = methodsOf(client);
    /** Whether the client carries the calls, because it is not safe to go past it. */
    this.isByClient = false;
    /** Whether it is being found out who carries the calls, and the calls that wait for it. */
    this.isDeciding = false;
    this.held = [];
    /** Counts the reasons to decide anew. */
    this.epoch = 0;
    this.isClosed = false;
    this.timer = undefined;
    this.isChecking = false;
    follow(client, this);
  }

  get transport() {
    return this.isByClient ? "client" : "native";
  }

  /** Whether the client has been ready before. */
  get wasReady() {
    return hasBeenReady(this.client);
  }

  /** What carries a call that is made now; undefined while that is not known: see `hold`. */
  current() {
    const { client, own } = this;
    if (own !== undefined && !isEnded(client)) {
      const { get, set, expire, del } = this.methods;
      const { get: gets, set: sets, expire: expires, del: dels } = client;
      if (gets === get && sets === set && expires === expire && dels === del) {
        if (this.timer === undefined) this.checkSoon();
        return own;
      }
      this.methods = methodsOf(client);
      this.moved();
    } else if (own !== undefined) this.leave();
    // A client that has ended rejects the call itself.
    return this.isByClient || this.isClosed || isEnded(client) ? this.byClient : undefined;
  }

  /** Has `run` called, in turn, with what carries the calls, or with the error why nothing does. */
  hold(run) {
    this.held.push(run);
    if (this.isDeciding) return;
    this.isDeciding = true;
    this.find().then(
      (link) => this.decided(link),
      (error) => this.decided(undefined, error),
    );
  }

  decided(link, error) {
    this.isDeciding = false;
    this.release(link, error);
  }

  release(link, error) {
    const { held } = this;
    this.held = [];
    for (const run of held) run(link, error);
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
   * otherwise with the next call, `isForNow` that it may be in a while.
   * @returns {Promise<{own?: Link, where?: object, place?: string, why?: string, passing?: boolean,
   *   isForNow?: boolean}>}
   */
  async tryToAdopt() {
    const { why, server, name, at: place, isCluster } = read(this.client);
    if (why) return { why: `${name}: ${why}` };
    if (await untilReady(this.client)) return { why: "the client is closed", passing: true };
    if (strikesOf(this.client) >= STRIKES && !this.isForced) {
      return { why: "the server drops connections on which it is asked CLIENT INFO" };
    }
    let where;
    let at;
    try {
      where = await within(ANSWER_WITHIN, server(), "its credentialsProvider does not answer");
      at = await addressed(where);
    } catch (error) {
      return { why: `it cannot be had whom and where it logs in: ${error?.message ?? error}` };
    }
    // A cluster has one database, and no `select` or `auth` to leave it by.
    const answer = isCluster ? { error: undefined } : await this.whoAmI();
    if (isEnded(this.client)) return { why: "the client is closed", passing: true };
    if (answer.error) {
      const why = `CLIENT INFO by the client fails: ${answer.error.message}`;
      if (!this.isForced) return { why, isForNow: answer.error.code === "ETIMEDOUT" };
    } else if (!isCluster) {
      const elsewhere = differs(answer, where);
      if (elsewhere) return { why: elsewhere };
    }
    let own;
    try {
      own = this.connect(at);
    } catch (error) {
      return { why: `a connection of the store's own is not possible: ${error.message}` };
    }
    const failure = (await own.connected) ?? (await this.lacksRights(own));
    if (failure && !this.isForced) {
      own.native.retire();
      return { why: `a connection of the store's own is no good: ${failure}`, isForNow: true };
    }
    return { own, where, place };
  }

  /** What the user may not do that the store's own connection does, and a client need not. */
  async lacksRights({ native }) {
    try {
      // Of a session that is not there, so nothing comes of it.
      await native.touch("connect-redis-rs", Date.now(), undefined, 1);
    } catch (error) {
      if (error?.code === "NOPERM") return error.message;
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
    return this.byClient;
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
    this.timer = setTimeout(() => {
      this.timer = undefined;
      if (typeof this.client.isOpen === "boolean") this.check();
    }, CHECK_EVERY);
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

  /** Gives up the store's own connection; what is under way there is finished. */
  leave() {
    this.epoch += 1;
    const { own } = this;
    this.own = undefined;
    own?.native.retire();
  }

  /** The store's own connection is lost: the client goes on, until it is known to be safe again. */
  lost(link) {
    if (this.own === link && !this.isForced) this.leave();
  }

  /** The store's own connection has ended by itself, as a panic makes it: another is to be had. */
  ended(link) {
    if (this.own === link) this.leave();
  }

  /** The client has told of an event in its life, or is about to move or to end. */
  heard(event) {
    if (this.isClosed) return;
    // What was called before the client moves, or ends, is to come before that there, too.
    if (event === "moving") this.release(this.byClient);
    else if (event === "end") this.leave();
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

/** The methods whose work a connection of the store's own does. */
function methodsOf({ get, set, expire, del }) {
  return { get, set, expire, del };
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

module.exports = { Adoption };
