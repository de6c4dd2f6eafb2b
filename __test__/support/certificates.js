"use strict";

// What tests with TLS need: certificates, and whether there can be such tests.

const { makeCertificates, tlsArgs } = require("../../scripts/certificates.js");
const { hasTls } = require("../../scripts/redis-server.js");

/** Why what needs a redis-server with TLS cannot be had, if so. */
const LACKS_TLS = hasTls() ? undefined : "this redis-server has no TLS";

/** `test` or `describe` for what needs a redis-server with TLS; left out if this machine has none. */
function needingTls(define) {
  if (LACKS_TLS === undefined) return define;
  return (name, ...rest) => define.skip(`${name} [left out: ${LACKS_TLS}]`, ...rest);
}

module.exports = { LACKS_TLS, makeCertificates, needingTls, tlsArgs };
