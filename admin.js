"use strict";

// The entry `connect-redis-rs/admin`. A file of its own name, for what does not know `exports`.

module.exports = require("./lib/admin/index.js");
