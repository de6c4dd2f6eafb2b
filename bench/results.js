"use strict";

// The file of results: JSON that a person can read, too.

const { renameSync, writeFileSync } = require("node:fs");

const LINE = 120;

/** Writes results, or nothing: who interrupts it finds the ones before. */
function writeResults(file, results) {
  writeFileSync(`${file}.new`, `${format(JSON.parse(JSON.stringify(results, brief)), "")}\n`);
  renameSync(`${file}.new`, file);
}

/** Four digits are more than a measurement has. */
function brief(_, value) {
  if (typeof value !== "number" || Number.isInteger(value)) return value;
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : undefined;
}

/** As JSON.stringify with an indent, but what fits into a line stays in one. */
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
