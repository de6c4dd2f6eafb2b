"use strict";

// A real browser, for tests of what a person sees.

const { chromium } = require("playwright-core");
const { findChromium } = require("../../scripts/chromium.js");

/** `test` or `describe` that needs a browser; left out if this machine has none. */
function needingBrowser(define) {
  if (findChromium() !== undefined) return define;
  return (name, ...rest) => define.skip(`${name} [left out: no Chromium]`, ...rest);
}

/** Starts a headless Chromium, which asks nobody but the test's own servers. */
function openBrowser() {
  return chromium.launch({
    executablePath: findChromium(),
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

module.exports = { needingBrowser, openBrowser };
