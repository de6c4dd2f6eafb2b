"use strict";

// The documents are correct: their links resolve, their commands exist, their samples run.

const { existsSync, readdirSync, readFileSync } = require("node:fs");
const path = require("node:path");
const { RedisStore } = require("connect-redis-rs");
const { send, startRedisServer } = require("../../scripts/redis-server.js");
const { scripts } = require("../../package.json");
const { run } = require("../support/run.js");

const ROOT = path.join(__dirname, "..", "..");
const DOCUMENTS = ["", "docs", "bench", "fuzz"].flatMap((folder) =>
  readdirSync(path.join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .map((name) => path.join(folder, name)),
);
/** Blocks of code; a blank line or indentation does not end them. */
const BLOCK = /^```(\w*)\n([\s\S]*?)^```$/gm;
/** Placeholders for a server in the samples: no name is looked up. */
const ELSEWHERE = /\b10\.0\.0\.\d\b|\b[\w.]+\.example\.com\b/g;

const read = (file) => readFileSync(path.join(ROOT, file), "utf8");

let server;

beforeAll(async () => {
  server = await startRedisServer();
});

afterAll(() => server?.stop());

test.each(DOCUMENTS)("the links of %s lead somewhere", (document) => {
  const text = read(document).replace(BLOCK, "");
  const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link]) => link)
    .filter((link) => !/^https?:/.test(link))
    .filter((link) => {
      const [file, anchor] = link.split("#");
      const target = file ? path.join(path.dirname(document), file) : document;
      if (!existsSync(path.join(ROOT, target))) return true;
      return anchor !== undefined && !anchorsOf(target).includes(anchor);
    });
  expect(broken).toEqual([]);
});

test.each([...DOCUMENTS, ".github/workflows/ci.yml", ".github/workflows/release.yml"])(
  "the commands of %s exist",
  (document) => {
    const named = [...read(document).matchAll(/npm run (?:--silent )?([a-z][\w:-]*)/g)];
    expect(named.map(([, name]) => name).filter((name) => !(name in scripts))).toEqual([]);
  },
);

test.each(
  DOCUMENTS.flatMap((document) =>
    [...read(document).matchAll(BLOCK)]
      .filter(([, language]) => language === "js")
      .map(([, , code], index) => [document, index + 1, code]),
  ),
)("%s: sample %i runs", async (_document, _number, code) => {
  const sample = code
    .replaceAll("redis://localhost:6379", server.url)
    .replaceAll(ELSEWHERE, "127.0.0.1")
    .replaceAll("listen(3000)", "listen(0)");
  const has = /^import .*\bRedisStore\b/m.test(sample);
  const { code: status, stderr } = await run(
    `${has ? "" : 'import { RedisStore } from "connect-redis-rs";'}
     ${sample}
     // An error in the background must not happen, so there is nothing to wait for.
     setTimeout(() => process.exit(0), 200);`,
  );
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
});

test("the user of docs/operating.md has the rights for all that a store does", async () => {
  const [, rules] = /ACL SETUSER sessions ([\s\S]*?)```/.exec(read("docs/operating.md"));
  const words = rules.replaceAll("\\\n", " ").replaceAll("'>a password'", ">sesame");
  const { port } = server;
  await send(port, "ACL", "SETUSER", "sessions", ...words.replaceAll("'", "").trim().split(/ +/));
  const url = `redis://sessions:sesame@127.0.0.1:${port}/1`;
  const store = new RedisStore({ url });
  const session = { cookie: { originalMaxAge: 60_000, expires: new Date(Date.now() + 60_000) } };
  await store.set("a", session);
  await store.touch("a", session);
  await store.get("a");
  expect(await store.length()).toBe(1);
  expect(await store.ids()).toEqual(["a"]);
  await store.all();
  await store.destroy("a");
  await store.clear();
  await store.close();
  expect(await send(port, "ACL", "LOG")).toBe("*0\r\n");
});

test("docs/options.md has each option", () => {
  const [, names] = /const KNOWN: [^=]*= \[([^\]]*)\]/.exec(read("src/napi/options/names.rs"));
  const known = names.match(/\w+/g);
  expect(known).toContain("url");
  const rows = read("docs/options.md")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|")[1])
    .join();
  expect(known.filter((name) => !rows.includes(`\`${name}\``))).toEqual([]);
});

/** The anchors that GitHub makes of a document's headings. */
function anchorsOf(document) {
  return [...read(document).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, "")
      .replaceAll(" ", "-"),
  );
}
