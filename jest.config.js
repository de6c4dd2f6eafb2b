"use strict";

module.exports = {
  testEnvironment: "node",
  testMatch: ["<rootDir>/__test__/**/*.test.js"],
  // Else jest finds the platforms' packages there as if they were installed.
  modulePathIgnorePatterns: ["<rootDir>/npm/"],
  testTimeout: 30_000,
  reporters: ["default", "<rootDir>/__test__/support/summary.js"],
  // Each file's worker is a fresh one: the libraries of all clients together are large.
  maxWorkers: 2,
  workerIdleMemoryLimit: "200MB",
};
