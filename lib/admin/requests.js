"use strict";

// The requests that change something: where they come from, and what they say.

/** A header that neither a form nor a link can send, nor a page of another origin without being allowed. */
const HEADER = "x-connect-redis-rs";
/** Bytes of a body that are read. */
const MAX_BODY = 4096;

/**
 * Whether a request comes from the page itself.
 * @param {import("node:http").IncomingMessage} req
 */
function isSameOrigin({ headers }) {
  if (headers[HEADER] !== "admin") return false;
  const site = headers["sec-fetch-site"];
  // The browser knows best, also behind a proxy that changes Host. Old ones, and pages without TLS, have
  // only Origin.
  if (site !== undefined) return site === "same-origin";
  try {
    return new URL(`${headers.origin}`).host === headers.host;
  } catch {
    return false;
  }
}

/**
 * The members of a body of JSON; none if it is something else. The app may have read it already.
 * @param {import("node:http").IncomingMessage & {body?: unknown}} req
 * @returns {Promise<Record<string, unknown>>}
 */
async function readBody(req) {
  if (req.readableEnded || isObject(req.body)) return isObject(req.body) ? req.body : {};
  let text = "";
  for await (const chunk of req.setEncoding("utf8")) {
    text += chunk;
    if (text.length > MAX_BODY) return {};
  }
  try {
    const body = JSON.parse(text);
    return isObject(body) ? body : {};
  } catch {
    return {};
  }
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, unknown>}
 */
function isObject(value) {
  return value !== null && typeof value === "object";
}

module.exports = { isSameOrigin, readBody };
