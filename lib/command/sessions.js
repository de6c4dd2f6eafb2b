"use strict";

// What the command does with the sessions of a store.

const { createInterface } = require("node:readline/promises");
const { isHandle } = require("../hashed-ids.js");
const { destroyFound } = require("../sessions/destroy.js");
const { Handles } = require("../sessions/handles.js");
const { membersOf } = require("../sessions/members.js");
const { readFound, readIds, readPage, search } = require("../sessions/pages.js");
const { KEYS, UsageError } = require("./arguments.js");
const { duration, printable } = require("./output.js");

/**
 * @typedef {import("./arguments.js").Request} Request
 * @typedef {InstanceType<typeof import("./output.js").Output>} Output
 * @typedef {import("../sessions/pages.js").Found} Found
 * @typedef {import("../store-backend.js").Store & import("../types.js").Store} Store
 */

/** Sessions that are read at once. */
const PAGE = 200;

const DONE = 0;
const NOT_FOUND = 1;

/**
 * The key of the handles: they are the same in each process, so that `destroy` takes what `list` has
 * printed. Whoever can make them of guessed sids can also read the sids in Redis.
 */
const HANDLES_KEY = "connect-redis-rs sessions";

/** @param {Store} store */
const handlesOf = (store) => new Handles(store, HANDLES_KEY);

/**
 * @typedef {object} Task
 * @property {Request} request
 * @property {Store} store
 * @property {InstanceType<typeof Handles>} handles of the store
 * @property {Output} output
 * @property {NodeJS.ReadStream} stdin
 */

/**
 * The actions by their names; each returns the exit code.
 * @type {Record<Request["action"], (task: Task) => Promise<number>>}
 */
const actions = { count, list, show, destroy };

/** @param {Task} task */
async function count(task) {
  const { request, store, output } = task;
  const { user } = request.values;
  await checkHashIds(task);
  const progress = output.progress(() => "counting …");
  try {
    const number = user === undefined ? await store.length() : await store.countOf(user);
    await output.line({ count: number }, `${number}`);
    return DONE;
  } finally {
    progress.done();
  }
}

/** @param {Task} task */
async function list(task) {
  const { request, output } = task;
  await checkHashIds(task);
  const progress = output.progress((seen) => `${seen} sessions listed`);
  let listed = 0;
  let sealed = 0;
  try {
    for await (const session of sessionsOf(task)) {
      if (listed === request.limit || output.error) break;
      await output.line(...lineOf(session, task));
      listed += 1;
      sealed += session.isSealed ? 1 : 0;
      progress.seen(listed);
    }
    return DONE;
  } finally {
    progress.done();
    tellSealed(output, sealed);
  }
}

/**
 * The sessions of the user that is asked for, else all, each once.
 * @param {Task} task
 * @returns {AsyncGenerator<Found>}
 */
async function* sessionsOf({ request, store, handles }) {
  const { user } = request.values;
  if (user !== undefined) {
    for (const { id, data, expires } of await store.sessionsOf(user)) {
      yield { sid: id, data, expires: expires?.getTime() };
    }
    return;
  }
  const seen = new Set();
  for (let position = /** @type {string | undefined} */ (""); position !== undefined; ) {
    const { sessions, next } = await readPage(store, position, PAGE);
    for (const session of sessions) {
      const handle = handles.of(session.sid);
      if (!seen.has(handle)) yield session;
      seen.add(handle);
    }
    position = next;
  }
}

/** @param {Task} task */
async function show(task) {
  const { request, store, output } = task;
  const [handle] = request.handles;
  for await (const found of foundBy(handle, task)) {
    const session = await readFound(store, found);
    if (session === undefined) break;
    if (output.isJson) await output.line(...lineOf(session, task));
    else for (const line of linesOf(session, task)) await output.line({}, line);
    tellSealed(output, session.isSealed ? 1 : 0);
    return DONE;
  }
  return notFound(output, handle);
}

/** @param {Task} task */
async function destroy(task) {
  const { request, store, output } = task;
  const { user, all } = request.values;
  const handles = new Set(request.handles);
  // All of them before the first session is gone.
  for (const handle of handles) matcherOf(handle, task);
  const what = all
    ? "all sessions"
    : user === undefined
      ? "the sessions"
      : "all sessions of the user";
  if (!(await isAgreed(`Destroy ${what}? [y/N] `, task))) {
    output.stderr.write("nothing was destroyed\n");
    return NOT_FOUND;
  }
  if (user !== undefined) {
    await checkHashIds(task);
    const destroyed = await store.destroyAllOf(user);
    await output.line({ destroyed }, `${destroyed} destroyed`);
    return DONE;
  }
  if (all) {
    const progress = output.progress(() => "destroying …");
    try {
      const destroyed = await store.length();
      await store.clear();
      await output.line({ destroyed }, `${destroyed} destroyed`);
      return DONE;
    } finally {
      progress.done();
    }
  }
  let code = DONE;
  for (const handle of handles) {
    if (await destroyOne(handle, task))
      await output.line({ handle, destroyed: 1 }, `${handle} destroyed`);
    else code = notFound(output, handle);
  }
  return code;
}

/**
 * @param {string} handle
 * @param {Task} task
 */
async function destroyOne(handle, task) {
  for await (const { sid } of foundBy(handle, task)) {
    await destroyFound(task.store, sid);
    return true;
  }
  return false;
}

/**
 * What tells whether an id is that of a handle.
 * @param {string} handle
 * @param {Task} task
 */
function matcherOf(handle, { handles }) {
  const isIt = handles.matcher(handle);
  if (isIt !== undefined) return isIt;
  throw new UsageError(`${JSON.stringify(handle.slice(0, 40))} is no handle: list prints them`);
}

/**
 * The session of a handle, if there is one.
 * @param {string} handle
 * @param {Task} task
 */
async function* foundBy(handle, task) {
  const { store, output } = task;
  const isIt = matcherOf(handle, task);
  const progress = output.progress((seen) => `${seen} sessions searched`);
  try {
    yield* search(store, isIt, { progress: progress.seen });
  } finally {
    progress.done();
  }
}

/**
 * The sids in a user's list lead to no session if the keys hold hashed ids, and the other way round. The
 * store would take them for ended, and out of the list.
 * @param {Task} task
 */
async function checkHashIds({ request, store }) {
  if (request.values.user === undefined) return;
  const { hashIds } = request.store;
  /** @type {string[]} */
  let ids = [];
  for (let at = /** @type {string | undefined} */ (""); at !== undefined && ids.length === 0; ) {
    const { records, next } = await readIds(store, at, PAGE);
    ids = records;
    at = next;
  }
  const isHashed = ids.some(isHandle);
  if (isHashed && hashIds === undefined) {
    throw new UsageError(
      "the keys hold hashed ids: with --user, add --hash-ids and the value of the store's option hashIds",
    );
  }
  if (ids.length > 0 && !isHashed && hashIds === true) {
    throw new UsageError(
      "the keys hold no hashed ids: give --hash-ids the value of the store's option hashIds, or leave it out",
    );
  }
}

/**
 * @param {Output} output
 * @param {number} count
 */
function tellSealed({ stderr }, count) {
  if (count === 0) return;
  const what = count === 1 ? "1 session is" : `${count} sessions are`;
  stderr.write(`${what} sealed, and cannot be opened: put the app's keys into ${KEYS}\n`);
}

/**
 * @param {Output} output
 * @param {string} handle
 */
function notFound(output, handle) {
  output.stderr.write(`${handle}: no such session\n`);
  return NOT_FOUND;
}

/**
 * Whether whoever runs the command has agreed, by --yes or on the terminal.
 * @param {string} question
 * @param {Task} task
 */
async function isAgreed(question, { request, output, stdin }) {
  if (request.values.yes) return true;
  if (!stdin.isTTY) throw new UsageError("nobody is there to ask: add --yes");
  const terminal = createInterface({ input: stdin, output: output.stderr });
  try {
    return /^y(es)?$/i.test(await terminal.question(question));
  } catch (/** @type {any} */ error) {
    if (error?.code === "ABORT_ERR") return false; // The end of the input.
    throw error;
  } finally {
    terminal.close();
  }
}

/**
 * A session in one line: as JSON, and as text.
 * @param {Found} session
 * @param {Task} task
 * @returns {[answer: object, text: string]}
 */
function lineOf(session, { request, handles }) {
  const { sid, data, expires, size, isSealed } = session;
  const handle = handles.of(sid);
  const members = membersOf(data, request.show);
  const end = expires === undefined ? null : new Date(expires).toISOString();
  const named = members?.map(({ name, value, type }) => {
    const what = value === undefined ? type : JSON.stringify(printable(value));
    return `${printable(name)}=${what}`;
  });
  const columns = [
    handle,
    ending(expires).padStart(8),
    `${size ?? "?"} B`.padStart(10),
    named?.join(" ") ?? (isSealed ? "sealed" : "cannot be read"),
  ];
  const answer = { handle, expires: end, size, members: members ?? null };
  return [isSealed ? { ...answer, sealed: true } : answer, columns.join("  ")];
}

/**
 * A session in several lines.
 * @param {Found} session
 * @param {Task} task
 */
function linesOf({ sid, data, expires, size, isSealed }, { request, handles }) {
  const members = membersOf(data, request.show);
  const end = expires === undefined ? "" : ` (${new Date(expires).toISOString()})`;
  const rows = members?.map(({ name, type, size: bytes, value }) => {
    const shown = value === undefined ? "" : `  ${printable(value)}`;
    return `  ${printable(name).padEnd(20)}  ${type.padEnd(8)}${`${bytes} B`.padStart(10)}${shown}`;
  });
  return [
    `handle   ${handles.of(sid)}`,
    `ends in  ${ending(expires)}${end}`,
    `size     ${size ?? "?"} B`,
    ...(rows ?? [isSealed ? "its text is sealed" : "its text cannot be read"]),
  ];
}

/** @param {number | undefined} expires */
function ending(expires) {
  return expires === undefined ? "never" : duration(expires - Date.now());
}

module.exports = { actions, handlesOf };
