"use strict";

// What the programs and libraries of Linux say of themselves in their first bytes.

const { closeSync, fstatSync, openSync, readSync } = require("node:fs");

/**
 * Whether a program is of a system with musl: it names its loader. Not asked of process.report, which
 * looks names up on the network, nor of ldd, which a small image lacks.
 * @param {string} program
 */
function isForMusl(program) {
  return read(program)?.head.includes("/ld-musl-") ?? false;
}

/**
 * Whether a library ends before the table at its end: the system's loader would not say so, but end
 * the process (SIGBUS).
 * @param {string} library
 */
function isCutOff(library) {
  const { head, size = 0 } = read(library) ?? {};
  if (head === undefined || head.readUInt32BE(0) !== 0x7f454c46) return false;
  const [start, entry, count] = [
    Number(head.readBigUInt64LE(0x28)), // e_shoff
    head.readUInt16LE(0x3a), // e_shentsize
    head.readUInt16LE(0x3c), // e_shnum
  ];
  return size < start + entry * count;
}

/**
 * A file's first bytes, zeros if there are fewer, and its size. Undefined if it cannot be read.
 * @param {string} file
 */
function read(file) {
  const head = Buffer.alloc(4096);
  try {
    const opened = openSync(file, "r");
    try {
      readSync(opened, head, 0, head.length, 0);
      return { head, size: fstatSync(opened).size };
    } finally {
      closeSync(opened);
    }
  } catch {
    return undefined;
  }
}

module.exports = { isCutOff, isForMusl };
