"use strict";

// What the command prints: answers on stdout, progress and errors on stderr.

const { clearInterval, setInterval } = require("node:timers");

/** How often progress is told, in milliseconds, on a terminal and elsewhere. */
const TTY_EVERY = 500;
const ELSEWHERE_EVERY = 2000;

class Output {
  /**
   * @param {NodeJS.WriteStream} stdout
   * @param {NodeJS.WriteStream} stderr
   * @param {boolean} isJson
   */
  constructor(stdout, stderr, isJson) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.isJson = isJson;
    /** Why nothing more can be printed: its reader has enough (EPIPE), or the disk is full. */
    this.error = /** @type {NodeJS.ErrnoException | undefined} */ (undefined);
    this.stopped = new Promise((resolve) => {
      stdout.on("error", (error) => {
        this.error ??= error;
        resolve(undefined);
      });
    });
  }

  /**
   * Prints a line, and waits while the reader is behind. After an error it prints nothing.
   * @param {object} answer for `--json`
   * @param {string} text
   */
  async line(answer, text) {
    if (this.error) return;
    const line = this.isJson ? JSON.stringify(answer) : text;
    if (this.stdout.write(`${line}\n`)) return;
    const drained = new Promise((resolve) => this.stdout.once("drain", () => resolve(undefined)));
    await Promise.race([drained, this.stopped]);
  }

  /** Resolves when all lines are out; rejects if they cannot be, but for a reader that has enough. */
  async flush() {
    await new Promise((resolve) => this.stdout.write("", resolve));
    if (this.error !== undefined && this.error.code !== "EPIPE") throw this.error;
  }

  /**
   * Tells on stderr what is under way, until `done` is called.
   * @param {(seen: number) => string} say
   */
  progress(say) {
    const isTty = Boolean(this.stderr.isTTY);
    let seen = 0;
    let hasTold = false;
    const tell = () => {
      this.stderr.write(isTty ? `\r\u001b[K${say(seen)}` : `${say(seen)}\n`);
      hasTold = true;
    };
    const timer = setInterval(tell, isTty ? TTY_EVERY : ELSEWHERE_EVERY);
    return {
      /** @param {number} count */
      seen(count) {
        seen = count;
      },
      done: () => {
        clearInterval(timer);
        if (isTty && hasTold) this.stderr.write("\r\u001b[K");
      },
    };
  }
}

/**
 * A text of a session as a terminal may have it: without what moves its cursor.
 * @param {string} text
 */
function printable(text) {
  return text.replace(/\p{C}/gu, (character) => {
    const code = /** @type {number} */ (character.codePointAt(0));
    return `\\u{${code.toString(16)}}`;
  });
}

/**
 * How long something lasts, in its largest unit.
 * @param {number} ms
 */
function duration(ms) {
  const seconds = Math.max(Math.round(ms / 1000), 0);
  for (const [unit, length] of /** @type {const} */ ([
    ["d", 86400],
    ["h", 3600],
    ["min", 60],
  ])) {
    if (seconds >= 2 * length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${seconds} s`;
}

module.exports = { Output, duration, printable };
