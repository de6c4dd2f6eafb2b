"use strict";

const { readdirSync, readFileSync, statSync } = require("node:fs");
const path = require("node:path");

const LIB = path.join(__dirname, "../lib");
/** The rooms of lib/, from the lowest; the files of lib/ itself belong to none. */
const ROOMS = ["addon", "observe", "native", "client"];
/** The files of lib/ that stand above every room. */
const ABOVE = ["store.js", "store-backend.js"];

const files = readdirSync(LIB, { recursive: true }).filter((file) => file.endsWith(".js"));

/** The files of lib/ that a file requires. */
function requiredBy(file) {
  const text = readFileSync(path.join(LIB, file), "utf8");
  const paths = [...text.matchAll(/require\("(\.[^"]*)"\)/g)].map(([, to]) => to);
  return paths.map((to) => path.relative(LIB, path.join(LIB, path.dirname(file), to)));
}

function roomOf(file) {
  return ROOMS.indexOf(file.split(path.sep)[0]);
}

test("a room of lib/ requires only from rooms below it", () => {
  const upwards = [];
  for (const file of files.filter((file) => roomOf(file) >= 0)) {
    for (const to of requiredBy(file)) {
      if (roomOf(to) > roomOf(file) || ABOVE.includes(to)) upwards.push(`${file} requires ${to}`);
    }
  }
  expect(upwards).toEqual([]);
});

test("the loader of the addon requires nothing else of lib/", () => {
  const others = files
    .filter((file) => roomOf(file) === 0)
    .flatMap(requiredBy)
    .filter((to) => roomOf(to) !== 0 && !to.startsWith(".."));
  expect(others).toEqual([]);
});

test("each required path of lib/ is a file, so that these tests see every one", () => {
  const paths = files.flatMap(requiredBy);
  expect(paths.length).toBeGreaterThan(files.length);
  for (const to of paths) expect(statSync(path.join(LIB, to)).isFile()).toBe(true);
});
