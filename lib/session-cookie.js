"use strict";

// The cookie of a stored session, which another program may have written, or left out:
// express-session throws over one that it cannot use, at every request of that session. In JS because
// express-session's own Cookie decides what it can use.

/**
 * @typedef {new (options: object) => import("express-session").Cookie &
 *   {serialize(name: string, value: string): string}} CookieClass
 */

/** A path that every version of the package cookie takes; another path is tried. */
const PLAIN_PATH = /^[\x20-\x3a\x3d-\x7e]*$/;
/** @type {(value: any) => value is string} */
const isText = (value) => typeof value === "string";
/** @type {(...words: string[]) => (value: any) => boolean} */
const isOneOf =
  (...words) =>
  (value) =>
    isText(value) && words.includes(value.toLowerCase());
const isSameSite = isOneOf("lax", "strict", "none");
/** @type {(value: any) => boolean} */
const isDate = (value) => value instanceof Date && !Number.isNaN(value.getTime());
/**
 * A time that a Date can be made of, counted from now.
 * @type {(ms: any) => boolean}
 */
const isTime = (ms) => typeof ms === "number" && isDate(new Date(Date.now() + ms));
/** @type {(value: any) => boolean} */
const isFlag = (value) => ["boolean", "string", "number"].includes(typeof value);

/**
 * What express-session's Cookie takes of each of its members, when it is neither undefined nor null.
 * @type {Record<string, (value: any) => boolean>}
 */
const MEMBERS = {
  originalMaxAge: isTime,
  expires: (value) =>
    (typeof value === "string" || value instanceof Date) && !Number.isNaN(Number(new Date(value))),
  secure: isFlag,
  httpOnly: isFlag,
  partitioned: isFlag,
  domain: isText,
  path: isText,
  sameSite: (value) => typeof value === "boolean" || isSameSite(value),
  priority: isOneOf("low", "medium", "high"),
  // What sets the expiry, too; the second is the Cookie's own field, as v8 and msgpack store it.
  maxAge: isTime,
  _expires: isDate,
};
/** Functions of a Cookie: a stored member must not take their place. */
const RESERVED = ["serialize", "toJSON"];

/**
 * A stored cookie as express-session can use it: the same object if it can, else one with what is
 * usable of it. Nothing usable gives express-session's own defaults.
 * @param {any} cookie
 * @param {CookieClass} Cookie express-session's
 */
exports.soundCookie = function soundCookie(cookie, Cookie) {
  if (cookie === null || typeof cookie !== "object") return {};
  if (isSound(cookie) && isWritable(cookie, Cookie)) return cookie;
  /** @type {Record<string, any>} */
  const sound = {};
  for (const name of Object.keys(MEMBERS)) {
    // What is not there must not take the place of the Cookie's defaults: path, httpOnly.
    const value = cookie[name];
    if (value !== undefined && value !== null && isUsable(name, value)) sound[name] = value;
  }
  // A number, as some programs write a date.
  const { expires } = cookie;
  if (typeof expires === "number" && isUsable("expires", new Date(expires))) {
    sound.expires = new Date(expires);
  }
  for (const name of ["path", "domain"]) {
    if (!isWritable({ [name]: sound[name] }, Cookie)) delete sound[name];
  }
  return sound;
};

/** @param {Record<string, any>} cookie */
function isSound(cookie) {
  for (const name in MEMBERS) if (!isUsable(name, cookie[name])) return false;
  return !RESERVED.some((name) => Object.hasOwn(cookie, name));
}

/**
 * @param {string} name
 * @param {any} value
 */
function isUsable(name, value) {
  return value === undefined || value === null || MEMBERS[name](value);
}

/**
 * Whether the package cookie takes the path and the domain; they are as its version wants them.
 * @param {Record<string, any>} cookie
 * @param {CookieClass} Cookie
 */
function isWritable({ path, domain }, Cookie) {
  if (!domain && (!path || PLAIN_PATH.test(path))) return true;
  try {
    new Cookie({ path: path ?? undefined, domain: domain ?? undefined }).serialize("name", "value");
    return true;
  } catch {
    return false;
  }
}
