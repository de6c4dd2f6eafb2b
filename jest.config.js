"use strict";

module.exports = {
  testEnvironment: "node",
  testMatch: ["<rootDir>/__test__/**/*.test.js"],
  testTimeout: 30_000,
};
