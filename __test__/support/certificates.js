"use strict";

// For tests with TLS: certificates, and whether this machine's redis-server has TLS.

const { makeCertificates, tlsArgs } = require("../../scripts/certificates.js");
const { hasTls } = require("../../scripts/redis-server.js");

/** Why tests with TLS are left out; undefined if they can run. */
const NO_TLS = hasTls() ? undefined : "this redis-server has no TLS";

/** `test` or `describe` that needs a redis-server with TLS; left out if this machine has none. */
function needingTls(define) {
  if (NO_TLS === undefined) return define;
  return (name, ...rest) => define.skip(`${name} [left out: ${NO_TLS}]`, ...rest);
}

module.exports = { NO_TLS, makeCertificates, needingTls, tlsArgs };
