"use strict";

// A connection of the store's own that follows an app's client: it goes where the client goes,
// opens and closes with it, and is given up for the client if it could go elsewhere.

const { AsyncLocalStorage } = require("node:async_hooks");
const { clearTimeout, setTimeout } = require("../../clock.js");
const { follow } = require("./client-events.js");
const { ANSWER_WITHIN, differs, mayNotAsk, whoAmI, within } = require("./client-info.js");
const { addressed, sameServer } = require("./same-server.js");
const { isEnded, isReady, untilReady } = require("../client-status.js");
const { inspect } = require("../inspect.js");
const { isWatched } = require("../tracers.js");

/** Milliseconds between two checks whether a node-redis client in use is still where it was. */
const CHECK_EVERY = 1000;
/** Milliseconds until the next attempt, if there was no answer or no connection. */
const AGAIN_AFTER = 5000;
/** What carries the calls if no connection of our own does. */
const CLIENT = "client";

/** @typedef {InstanceType<typeof import("../../native/connection.js").Connection>} OwnConnection */
/** @typedef {OwnConnection | typeof CLIENT} Carrier what carries calls */
/** @typedef {(carrier: Carrier, error?: any) => void} Run has a carrier unless there is an error */
/** @typedef {import("../inspect.js").Server} Server */

/**
 * @typedef {object} Member a store
 * @property {(event: string) => void} emit
 * @property {InstanceType<typeof import("../client-calls.js").Calls>} calls those that the client carries
 */

/**
 * @typedef {object} Means
 * @property {(server: object, onEvent: (event: string) => void) => OwnConnection} connect
 * @property {boolean} isForced whether the app wants only a connection of the store's own
 * @property {(reason: string) => Error} refusal
 * @property {(why: string) => void} onClient is called if the client carries the calls
 * @property {(decision: string) => void} log
 */

/**
 * The direct connections of each client, by what their stores have in common.
 * @type {WeakMap<object, Map<string, DirectConnection>>}
 */
const directConnections = new WeakMap();

/**
 * The direct connection that all stores of a client share if they have the same timeouts: there is one
 * connection beside the client for all of them, until the last of them has gone.
 * @param {import("../../types.js").AnyClient} client
 * @param {{isForced: boolean}} terms what the stores have in common
 * @param {() => Omit<Means, "isForced">} meansOf makes the means of a new one
 * @returns {DirectConnection}
 */
function directConnectionOf(client, terms, meansOf) {
  if (!directConnections.has(client)) directConnections.set(client, new Map());
  const ofClient = /** @type {Map<string, DirectConnection>} */ (directConnections.get(client));
  const key = JSON.stringify(terms);
  if (ofClient.get(key)?.isClosed ?? true) {
    ofClient.set(key, new DirectConnection(client, { ...meansOf(), isForced: terms.isForced }));
  }
  return /** @type {DirectConnection} */ (ofClient.get(key));
}

class DirectConnection {
  /**
   * @param {import("../../types.js").AnyClient} client
   * @param {Means} means
   */
  constructor(client, { connect, isForced, refusal, onClient, log }) {
    this.client = client;
    this.connect = connect;
    this.isForced = isForced;
    this.refusal = refusal;
    this.onClient = onClient;
    this.log = log;
    /**
     * The stores: how each emits an event, and its calls that the client carries.
     * @type {Set<Member>}
     */
    this.members = new Set();
    /** Work for all stores runs in no caller's async context. */
    this.outside = AsyncLocalStorage.snapshot();
    /**
     * The store's own connection, while one is in use, and where it goes.
     * @type {OwnConnection | undefined}
     */
    this.own = undefined;
    /** @type {Server | undefined} */
    this.where = undefined;
    /**
     * Resolves when what is under way on a connection that was given up is answered.
     * @type {Promise<void> | undefined}
     */
    this.parting = undefined;
    /** The client's methods at first: a test may put others in their place. */
    this.methods = methodsOf(client);
    this.library = inspect(client).library;
    /** Whether the client carries the calls, because it is not safe to go past it. */
    this.usesClient = false;
    /** Whether the client has carried a call because it was not ready. */
    this.isWanted = false;
    /** Whether it is being decided what carries the calls, and the calls that wait for that. */
    this.isDeciding = false;
    /** @type {Run[]} */
    this.parked = [];
    /** Counts the reasons to decide anew. */
    this.epoch = 0;
    this.isClosed = false;
    /** @type {NodeJS.Timeout | undefined} */
    this.timer = undefined;
    this.isChecking = false;
    this.unfollow = follow(client, this);
  }

  get transport() {
    return this.usesClient || this.isTraced() ? "client" : "native";
  }

  /** Whether somebody traces the commands of the client, and must see those of the sessions, too. */
  isTraced() {
    return !this.isForced && isWatched(this.library);
  }

  /**
   * Returns what carries a call that is made now: a connection or `CLIENT`; undefined while that is not
   * decided: see `park`.
   * @returns {Carrier | undefined}
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
    if (this.usesClient || isTraced) return CLIENT;
    // Whether a call waits for the client, and how long, is up to the client's options.
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

  /**
   * Calls `run`, in turn, with what carries the calls, or with the error why nothing does.
   * @param {Run} run
   */
  park(run) {
    this.parked.push(run);
    if (this.isDeciding) return;
    this.isDeciding = true;
    this.outside(() => this.find()).then(
      (carrier) => this.decided(carrier),
      (error) => this.decided(undefined, error),
    );
  }

  /**
   * @param {Carrier} [carrier]
   * @param {any} [error]
   */
  decided(carrier, error) {
    this.isDeciding = false;
    this.release(carrier, error);
  }

  /**
   * @param {Carrier} [carrier]
   * @param {any} [error]
   */
  release(carrier, error) {
    const { parked } = this;
    this.parked = [];
    for (const run of parked) run(/** @type {Carrier} */ (carrier), error);
  }

  async find() {
    for (;;) {
      await this.parting;
      const { epoch } = this;
      const found = await this.tryToConnect();
      // Earlier calls through the client must not be overtaken by calls beside it.
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
   * Returns a connection to where the client is, or why there is none. `passing`: this may change with
   * the next call. `isForNow`: it may change in a while.
   * @returns {Promise<{own?: OwnConnection, where?: Server, place?: string,
   *   why?: string, passing?: boolean, isForNow?: boolean}>}
   */
  async tryToConnect() {
    const { client } = this;
    const { why, server, name, at: place, isCluster } = inspect(client);
    if (why) return { why: `${name}: ${why}` };
    if (this.isTraced()) return { why: "its commands are traced", passing: true };
    if (this.isForced) {
      if (await untilReady(client)) return { why: "the client is closed", passing: true };
    } else if (!isReady(client)) {
      return { why: "the client is not ready", passing: true };
    }
    if (mayNotAsk(client) && !this.isForced) {
      return { why: "the server drops connections on which it is asked CLIENT INFO" };
    }
    let where;
    let at;
    try {
      where = await within(
        ANSWER_WITHIN,
        /** @type {Promise<Server>} */ (server?.()),
        "its credentialsProvider does not answer",
      );
      at = await addressed(where);
    } catch (error) {
      return { why: `cannot tell where and as whom it logs in: ${error?.message ?? error}` };
    }
    // A cluster has one database, and no `select` or `auth` to leave it by.
    const answer = isCluster ? { error: undefined } : await whoAmI(client);
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

  /**
   * Opens a connection, which emits events to this. It must not hold this, or neither could go.
   * @param {Server} at
   * @returns {[OwnConnection, OwnConnection["connected"]]}
   */
  open(at) {
    const direct = new WeakRef(this);
    /** @type {WeakRef<OwnConnection> | undefined} */
    let connection;
    /** @param {string} event */
    const onEvent = (event) => direct.deref()?.onOwnEvent(connection?.deref(), event);
    const own = this.connect(at, onEvent);
    connection = new WeakRef(own);
    return [own, own.connected];
  }

  /**
   * Returns why nothing can be written over the store's own connection: no right, or a replica.
   * @param {OwnConnection} own
   */
  async lacksRights(own) {
    try {
      // It touches a session that does not exist.
      await own.probe();
    } catch (error) {
      return error.message;
    }
    return undefined;
  }

  /**
   * Puts into effect what was found; returns what carries the calls.
   * @param {Awaited<ReturnType<DirectConnection["tryToConnect"]>>} found
   */
  take({ own, where, place, why, passing, isForNow }) {
    if (own) {
      this.own = own;
      this.where = where;
      this.usesClient = false;
      this.log(`transport native: a connection of the store's own to ${place}`);
      this.emit("ready");
      return own;
    }
    if (this.isForced && !passing) throw this.refusal(why ?? "");
    if (!passing) {
      this.usesClient = true;
      this.log(`transport client: ${why}`);
      this.onClient(why ?? "");
      if (isForNow) this.tryAgainLater();
    }
    return CLIENT;
  }

  /**
   * Emits an event on every store.
   * @param {string} event
   */
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

  /**
   * Checks, in a while, whether the client is still where it was: only a node-redis client, since
   * ioredis emits every `select`. (And if an app has sent MULTI by itself, as it can with ioredis, no
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
      const { why, server, isCluster } = inspect(this.client);
      const where = why ? undefined : await server?.();
      const isSame = where !== undefined && sameServer(where, /** @type {Server} */ (this.where));
      // Without a limit: only one such check runs at a time.
      const asks = isSame && !isCluster;
      const answer = asks ? await whoAmI(this.client, Number.POSITIVE_INFINITY) : {};
      if (epoch !== this.epoch) return;
      // No answer means nothing: the client may be away, or busy.
      if (!isSame || (asks && !answer.error && differs(answer, where))) this.moved();
    } catch {
      // A client that cannot be inspected any more is not followed.
      if (epoch === this.epoch) this.moved();
    } finally {
      this.isChecking = false;
    }
  }

  /** The client may be elsewhere from now on: the next call finds out first. */
  moved() {
    this.usesClient = false;
    this.leave();
  }

  /** Gives up the store's own connection; what is in flight there is finished. */
  leave() {
    this.epoch += 1;
    const { own } = this;
    if (own === undefined) return;
    this.own = undefined;
    const parting = own.retire().then(() => {
      if (this.parting === parting) this.parting = undefined;
    });
    this.parting = parting;
  }

  /**
   * Handles an event of the store's own connection.
   * @param {OwnConnection | undefined} connection
   * @param {string} event
   */
  onOwnEvent(connection, event) {
    if (connection === undefined || connection !== this.own) return;
    if (event === "reconnecting") {
      // The client goes on, until it is known to be safe again.
      if (!this.isForced) this.leave();
      this.emit("reconnecting");
    } else if (event === "ready" && this.isForced) this.emit("ready");
    // It ended by itself, by a panic: another one is needed.
    else if (event === "end") this.leave();
  }

  /**
   * Handles an event of the client, which may be about to move or to end.
   * @param {string} event
   */
  onClientEvent(event) {
    if (this.isClosed) return;
    // Calls made before the client moves, or ends, must reach the client before that.
    if (event === "moving") this.release(CLIENT);
    else if (event === "end") this.leave();
    else if (event === "moved") this.moved();
    else if (this.own) this.check();
    // A client that is back may be where it should be again.
    else if (this.usesClient) this.moved();
    else if (this.isWanted) this.park(() => {});
    if (event === "ready") this.isWanted = false;
  }

  /**
   * A store has gone; the last one closes the connection.
   * @param {Member} member
   * @param {boolean} isAtOnce whether what is pending rejects
   */
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

/**
 * The methods whose work a connection of our own does.
 * @param {import("../../types.js").AnyClient} client
 */
function methodsOf({ get, set, expire, del, sendCommand }) {
  return { get, set, expire, del, sendCommand };
}

module.exports = { CLIENT, directConnectionOf };
