"use strict";

// `connect-redis-rs/admin`: a page that shows the sessions and ends them, as a middleware of Express. It
// asks `authorize` before anything else, shows no session id and no value that is not on its allow-list,
// and keeps nothing between two requests.

const { randomBytes } = require("node:crypto");
const { readFileSync } = require("node:fs");
const path = require("node:path");
const { RedisStoreError, invalid } = require("../errors.js");
const { Handles } = require("../sessions/handles.js");
const { kState } = require("../store-backend.js");
const { Answer } = require("./answer.js");
const { renderAway, renderList, renderSession } = require("./html.js");
const { isSameOrigin, readBody } = require("./requests.js");
const { Sessions } = require("./sessions.js");

/**
 * @typedef {import("node:http").IncomingMessage & {baseUrl?: string, body?: unknown}} Req
 * @typedef {import("node:http").ServerResponse} Res
 * @typedef {import("../store-backend.js").Store & import("../types.js").Store} Store
 */

/**
 * @typedef {object} Options
 * @property {(req: Req, res: Res) => unknown} authorize
 * @property {boolean | ((req: Req) => unknown)} [write]
 * @property {readonly string[]} [show]
 * @property {string | Uint8Array} [secret]
 */

/** The handles of this process, if there is no `secret`. */
const processKey = randomBytes(32);

/** @param {string} file */
const asset = (file) => readFileSync(path.join(__dirname, "browser", file));

/** @type {Record<string, {type: string, text: Buffer}>} */
const ASSETS = {
  "/page.css": { type: "text/css", text: asset("page.css") },
  "/page.js": { type: "text/javascript", text: asset("page.js") },
};

/** @type {Record<string, (request: Request) => Promise<void>>} */
const PAGES = {
  "/": list,
  "/session": show,
  "/count": count,
  "/metrics": metrics,
};

/** @type {Record<string, (request: Request) => Promise<void>>} */
const ACTIONS = { "/destroy": destroy, "/destroy-all-of": destroyAllOf };

/**
 * @typedef {object} Request one that is authorized
 * @property {Store} store
 * @property {Req} req
 * @property {InstanceType<typeof Answer>} answer
 * @property {URLSearchParams} query
 * @property {string} base the path at which the page is mounted
 * @property {InstanceType<typeof Sessions>} sessions
 * @property {() => Promise<boolean>} mayWrite
 * @property {(entry: Record<string, unknown>) => void} audit
 */

/**
 * Makes the middleware. Throws a TypeError for options that cannot be used.
 * @param {Store} store
 * @param {Options} options
 */
function admin(store, options) {
  checkOptions(store, options);
  const { authorize, write = false, show: shown = [], secret = processKey } = options;
  const key = typeof secret === "string" ? secret : Buffer.from(secret);
  const sessions = new Sessions(store, new Handles(store, key), shown);
  /** @param {Req} req */
  const isAllowed = async (req) =>
    (typeof write === "function" ? await write(req) : write) === true;

  /**
   * @param {Req} req
   * @param {Res} res
   * @param {(error?: unknown) => void} next
   */
  return async function sessionsAdmin(req, res, next) {
    const answer = new Answer(req, res);
    /** @param {Record<string, unknown>} entry */
    const audit = (entry) => process.nextTick(() => store.emit("audit", entry, req));
    try {
      const refusal = await refusalOf(() => authorize(req, res));
      if (answer.isSent) return; // `authorize` itself has answered, by a login page say.
      if (refusal !== undefined) {
        audit({ action: "refused", reason: refusal });
        answer.text(403, "You may not see this page.");
        return;
      }
      const { pathname, query } = addressOf(req);
      const base = req.baseUrl ?? "";
      const mayWrite = () => isAllowed(req);
      await route(pathname, { store, req, answer, query, base, sessions, mayWrite, audit });
    } catch (error) {
      if (answer.isSent) next(error);
      else if (error instanceof RedisStoreError) away(answer, req, error);
      else next(error);
    }
  };
}

/**
 * The path and the query of a request. Not by `URL`, to which `//count` is a host.
 * @param {Req} req
 */
function addressOf({ url = "/" }) {
  const [path, ...query] = url.replace(/^https?:\/\/[^/?]*/i, "").split("?");
  return { pathname: path || "/", query: new URLSearchParams(query.join("?")) };
}

/**
 * Why a request is refused; undefined if it is not. Only `true` lets it in: a promise that is not awaited,
 * say, must not.
 * @param {() => unknown} authorize
 */
async function refusalOf(authorize) {
  try {
    const given = await authorize();
    return given === true ? undefined : "authorize did not return true";
  } catch (error) {
    return error instanceof Error ? error : "authorize threw";
  }
}

/**
 * @param {string} pathname
 * @param {Request} request
 */
async function route(pathname, request) {
  const { req, answer, audit } = request;
  const isRead = req.method === "GET" || req.method === "HEAD";
  if (isRead && Object.hasOwn(ASSETS, pathname)) {
    const { type, text } = ASSETS[pathname];
    answer.send(200, type, text);
  } else if (isRead && Object.hasOwn(PAGES, pathname)) await PAGES[pathname](request);
  else if (req.method === "POST" && Object.hasOwn(ACTIONS, pathname)) {
    const refusal = isSameOrigin(req)
      ? (await request.mayWrite())
        ? undefined
        : "write is off"
      : "the request comes from elsewhere";
    if (refusal === undefined) await ACTIONS[pathname](request);
    else {
      audit({ action: "refused", reason: refusal });
      answer.json(403, { error: "You may not do this." });
    }
  } else if ([ASSETS, PAGES, ACTIONS].some((paths) => Object.hasOwn(paths, pathname))) {
    answer.text(405, "This path does not take this method.");
  } else answer.text(404, "There is no such page.");
}

/** @param {Request} request */
async function list({ answer, query, base, sessions, mayWrite, audit }) {
  const user = query.get("user")?.trim() || undefined;
  const at = query.get("at") ?? "";
  const { canSearch } = sessions;
  const page =
    user === undefined
      ? await sessions.page(at)
      : canSearch
        ? await sessions.ofUser(user)
        : { sessions: [] };
  audit(user === undefined ? { action: "list" } : { action: "search", user });
  answer.html(200, renderList({ ...page, base, at, user, canSearch, mayWrite: await mayWrite() }));
}

/** @param {Request} request */
async function show({ answer, query, base, sessions, mayWrite, audit }) {
  const handle = query.get("handle") ?? "";
  const place = { at: query.get("at") ?? "", user: query.get("user") ?? undefined };
  const session = await sessions.read(handle, place, () => !answer.isOver);
  if (session === undefined && answer.isOver) return;
  audit({ action: "show", handle: session?.handle });
  const status = session === undefined ? 404 : 200;
  answer.html(status, renderSession({ session, base, place, mayWrite: await mayWrite() }));
}

/** @param {Request} request */
async function count({ answer, sessions }) {
  answer.json(200, { count: await sessions.count() });
}

/** @param {Request} request */
async function metrics({ answer, store }) {
  answer.json(200, { status: store.status, ...store.metrics() });
}

/** @param {Request} request */
async function destroy({ req, answer, sessions, audit }) {
  const { handle, at = "", of } = await readBody(req);
  const place = { at: `${at}`, user: typeof of === "string" ? of : undefined };
  const isDestroyed = await sessions.destroy(`${handle}`, place);
  audit({ action: "destroy", handle: isDestroyed ? handle : undefined, destroyed: +isDestroyed });
  if (isDestroyed) answer.json(200, { destroyed: 1 });
  else answer.json(404, { error: "There is no such session any more. Load the page again." });
}

/** @param {Request} request */
async function destroyAllOf({ req, answer, store, sessions, audit }) {
  const { user } = await readBody(req);
  if (typeof user !== "string" || user === "" || !sessions.canSearch) {
    answer.json(400, { error: "Whose sessions? The store needs the option user." });
    return;
  }
  const destroyed = await store.destroyAllOf(user);
  audit({ action: "destroyAllOf", user, destroyed });
  answer.json(200, { destroyed });
}

/**
 * Redis is away: a page says so, and tries again.
 * @param {InstanceType<typeof Answer>} answer
 * @param {Req} req
 * @param {InstanceType<typeof RedisStoreError>} error
 */
function away(answer, req, error) {
  const isPage = req.method !== "POST" && /^\/(session)?(\?|$)/.test(req.url ?? "/");
  if (isPage) answer.html(503, renderAway({ base: req.baseUrl ?? "", error }));
  else answer.json(503, { error: error.message });
}

/**
 * @param {any} store
 * @param {any} options
 */
function checkOptions(store, options) {
  /** @param {string} what */
  const wrong = (what) => invalid(`admin: ${what}`);
  if (store?.[kState] === undefined) throw wrong("the first argument must be a RedisStore");
  if (typeof options?.authorize !== "function") {
    throw wrong(
      "the option authorize must be a function that returns true for those who may see the page",
    );
  }
  const { authorize: _, write, show, secret, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw wrong(`unknown option ${unknown}; it takes authorize, write, show, secret`);
  }
  if (write !== undefined && typeof write !== "boolean" && typeof write !== "function") {
    throw wrong(`the option write must be true, false or a function, got ${typeof write}`);
  }
  const areNames = Array.isArray(show) && show.every((name) => typeof name === "string");
  if (show !== undefined && !areNames) {
    throw wrong("the option show must be an array of names of members");
  }
  const isBytes = typeof secret === "string" || secret instanceof Uint8Array;
  if (secret !== undefined && !(isBytes && secret.length >= 16)) {
    throw wrong("the option secret must have 16 bytes or more");
  }
}

module.exports = { admin };
