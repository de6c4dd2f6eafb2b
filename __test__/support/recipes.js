"use strict";

// The samples of docs/observing.md, for tests to run.

const { readFileSync } = require("node:fs");
const path = require("node:path");

const DOCUMENT = path.join(__dirname, "..", "..", "docs", "observing.md");

/**
 * The one sample that holds a word, on a Redis and a port of the test's own.
 * @param {string} word
 * @param {{url: string}} server
 */
function recipe(word, server) {
  const text = readFileSync(DOCUMENT, "utf8");
  const blocks = [...text.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code]) => code);
  const found = blocks.filter((code) => code.includes(word));
  if (found.length !== 1) throw new Error(`${found.length} samples hold ${word}`);
  return found[0]
    .replaceAll("redis://localhost:6379", server.url)
    .replaceAll("listen(3000)", "listen(0)");
}

module.exports = { recipe };
