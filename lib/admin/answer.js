"use strict";

// The answers of the page: nobody keeps them, nobody frames them, and no script or style comes from
// anywhere else.

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "cache-control": "no-store",
  "content-security-policy": POLICY,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

class Answer {
  /**
   * @param {import("node:http").IncomingMessage} req
   * @param {import("node:http").ServerResponse} res
   */
  constructor(req, res) {
    this.req = req;
    this.res = res;
    /** Whether nobody waits for it any more. */
    this.isOver = Boolean(res.destroyed);
    res.once("close", () => {
      this.isOver = true;
    });
  }

  get isSent() {
    return this.res.headersSent || this.res.writableEnded;
  }

  /**
   * @param {number} status
   * @param {string} type
   * @param {string | Buffer} text
   */
  send(status, type, text) {
    const { req, res } = this;
    const bytes = Buffer.from(text);
    res.writeHead(status, {
      ...HEADERS,
      "content-type": `${type}; charset=utf-8`,
      "content-length": bytes.length,
    });
    res.end(req.method === "HEAD" ? undefined : bytes);
  }

  /**
   * @param {number} status
   * @param {string} text
   */
  text(status, text) {
    this.send(status, "text/plain", `${text}\n`);
  }

  /**
   * @param {number} status
   * @param {string} page
   */
  html(status, page) {
    this.send(status, "text/html", page);
  }

  /**
   * @param {number} status
   * @param {object} value
   */
  json(status, value) {
    this.send(status, "application/json", JSON.stringify(value));
  }
}

module.exports = { Answer };
