"use strict";

// The file of results: JSON that a person can also read.

const { renameSync, writeFileSync } = require("node:fs");

const LINE = 120;

/** Writes the results atomically: if it is interrupted, the file still has the results before. */
function writeResults(file, results) {
  writeFileSync(`${file}.new`, `${format(JSON.parse(JSON.stringify(results, brief)), "")}\n`);
  renameSync(`${file}.new`, file);
}

/** Rounds to four digits, more than the precision of a measurement. */
function brief(_, value) {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : undefined;
}

/** Like JSON.stringify with an indent, but a value that fits into a line stays in one line. */
function format(value, indent) {
  const line = JSON.stringify(value);
  if (typeof value !== "object" || value === null || line.length + indent.length <= LINE)
    return line;
  const inner = `${indent} `;
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const items = Object.entries(value).map(([name, item]) => {
    const text = format(item, inner);
    return `${inner}${Array.isArray(value) ? "" : `${JSON.stringify(name)}: `}${text}`;
  });
  return `${open}\n${items.join(",\n")}\n${indent}${close}`;
}

module.exports = { writeResults };
