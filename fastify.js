"use strict";

// The entry `connect-redis-rs/fastify`. A file of its own name, for what does not know `exports`.

module.exports = require("./lib/fastify.js");
