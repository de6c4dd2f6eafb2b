"use strict";
module.exports = { render: () => "" };
