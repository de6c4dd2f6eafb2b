"use strict";

// Charts and tables of a run.

const { writeFileSync } = require("node:fs");
const path = require("node:path");
const { ROOT, formatTable, tidy, writeBetweenMarks } = require("../scripts/test-table.js");
const { WHAT, nameOf, nameOfLoad, writeCharts } = require("./charts.js");
const N = require("./names.js");
const { roundTrips } = require("./redis-wait.js");
const { ratio } = require("./statistics.js");

const MARKS = { document: "README.md", name: "bench", command: "npm run bench -- --full" };
const BASE_CALLS = 64;
const BASE_SIZE = 600;

/** The charts of a full run that the README shows. */
const README_CHARTS = ["throughput"];
/** The chart that RESULTS.md begins with: what users feel. */
const FIRST_CHART = "requests";

/**
 * Writes RESULTS.md, with all tables and charts, into a folder.
 * @param {object} results
 * @param {string} folder
 * @returns {{text: string, charts: object[]}} the text for the console (tables, targets,
 *   failures), and the charts for `renderReadme`
 */
function render(results, folder) {
  const charts = writeCharts(results, path.join(folder, "charts"));
  const tables = tablesOf(results, TABLES);
  const isFirst = ({ name }) => name === FIRST_CHART;
  const first = charts.filter(isFirst);
  const others = charts.filter((chart) => !isFirst(chart));
  const lines = ["# What was measured", ...imagesOf(first, folder), "", ...tables];
  lines.push(...imagesOf(others, folder));
  const file = path.join(folder, "RESULTS.md");
  writeFileSync(file, `${lines.join("\n")}\n`);
  tidy(file);
  const text = [...tables, ...targetLines(results), ...troubleLines(results)].join("\n");
  return { text, charts };
}

/** Writes the README's section on speed; `charts` are those that `render` has written. */
function renderReadme(results, charts) {
  const tables = tablesOf(results, [shortTable]);
  const shown = charts.filter(({ name }) => README_CHARTS.includes(name));
  writeBetweenMarks(MARKS, [...tables, ...imagesOf(shown, ROOT)]);
}

/** Markdown: a sentence about the run, and a table for each part that was measured. */
function tablesOf(results, tables) {
  const lines = aboutLine(results)
    .replace(/(.{1,100})( |$)/g, "$1\n")
    .trim()
    .split("\n");
  for (const table of tables) {
    const { title, header, rows } = table(results);
    if (rows.length > 0) lines.push("", `${title}:`, "", ...formatTable(header, rows));
  }
  return lines;
}

/** Markdown images of the charts, with paths relative to a folder. */
function imagesOf(charts, from) {
  return charts.flatMap(({ file, title }) => {
    const address = path.relative(from, file).split(path.sep).join("/");
    return ["", `![${title}](${address})`];
  });
}

function aboutLine({ date, machine, versions, mode, settings }) {
  const day = new Date(date).toLocaleDateString("en-GB", {
    day: "numeric",
    month: "long",
    year: "numeric",
    timeZone: "UTC",
  });
  const how = mode === "full" ? "" : " A short run says less.";
  return (
    `Measured on ${day}: ${machine.cpu}, ${machine.cores} cores, which Redis and the load ` +
    `share with the server; Node ${versions.node}, Redis ${versions["redis-server"]}, connect-redis ` +
    `${versions["connect-redis"]} with node-redis ${versions.redis}, connect-redis ` +
    `${versions["connect-redis-8"]} with ioredis ${versions.ioredis}, connect-redis-rs ` +
    `${versions["connect-redis-rs"]} (${versions.commit}). All are medians of ${roundsOf(settings)} ` +
    `rounds in which the peers take turns; ratios are of each round's own figures, and to connect-redis 10 ` +
    `with node-redis.${how}`
  );
}

/** How many rounds there were, from the fewest to the most. */
function roundsOf({ parts, ...settings }) {
  const of = ({ rounds, sizes = [] }) => [rounds, ...sizes.map((size) => size.rounds)];
  const all = parts.flatMap((part) => of(settings[part])).filter((rounds) => rounds !== undefined);
  const [least, most] = [Math.min(...all), Math.max(...all)];
  return least === most ? `${least}` : `${least} to ${most}`;
}

/** The figures that have targets, and their ratios. */
function operationTable({ operations = [] }) {
  const cells = operations.filter((cell) => cell.size === BASE_SIZE && isCompared(cell));
  const rows = cells.map((cell) => [
    cell.operation,
    cell.concurrency,
    thousands(cell.medians[N.REFERENCE].rate),
    thousands(cell.medians[N.OURS].rate),
    bold(times(ratio(cell, "rate", N.OURS, N.REFERENCE))),
    both(cell, "p99", milliseconds),
    times(ratio(cell, "p99", N.OURS, N.REFERENCE)),
    both(cell, "jsCpu", (us) => us.toFixed(1)),
    times(ratio(cell, "jsCpu", N.OURS, N.REFERENCE)),
    both(cell, "cpu", (us) => us.toFixed(1)),
    times(ratio(cell, "cpu", N.OURS, N.REFERENCE)),
    percent(ratio(cell, "rate", N.OURS, N.FLOOR)),
  ]);
  const header = ["", "calls at once", "connect-redis, k/s", "connect-redis-rs, k/s", ""];
  header.push("p99, ms", "", "JS-thread CPU, µs", "", "process CPU, µs", "");
  header.push("share of JSON alone");
  return {
    title:
      `Store operations on sessions of ${cells[0]?.bytes} bytes, in thousands a second (k/s), and ` +
      "latency and CPU (connect-redis → connect-redis-rs)",
    header,
    rows,
  };
}

/** The few figures for the README. */
function shortTable({ operations = [] }) {
  const cells = operations.filter(
    (cell) =>
      cell.size === BASE_SIZE && [1, BASE_CALLS].includes(cell.concurrency) && isCompared(cell),
  );
  const rows = cells.map((cell) => [
    cell.operation,
    cell.concurrency,
    thousands(cell.medians[N.REFERENCE].rate),
    thousands(cell.medians[N.OURS].rate),
    bold(times(ratio(cell, "rate", N.OURS, N.REFERENCE))),
    both(cell, "p99", milliseconds),
  ]);
  return {
    title: `Sessions of ${cells[0]?.bytes} bytes, in thousands of calls a second`,
    header: ["", "calls at once", "connect-redis", "connect-redis-rs", "", "p99, ms"],
    rows,
  };
}

function busyTable({ busyOperations = [] }) {
  const cells = busyOperations.filter(isCompared);
  return {
    title: "One call at a time while other processes keep all cores busy, in thousands a second",
    header: ["", "connect-redis", "connect-redis-rs", "", "p99, ms"],
    rows: cells.map((cell) => [
      cell.operation,
      thousands(cell.medians[N.REFERENCE].rate),
      thousands(cell.medians[N.OURS].rate),
      bold(times(ratio(cell, "rate", N.OURS, N.REFERENCE))),
      both(cell, "p99", milliseconds),
    ]),
  };
}

/** All peers, at one concurrency. */
function peerTable({ operations = [] }) {
  const cells = operations.filter(
    ({ size, concurrency }) => size === BASE_SIZE && concurrency === BASE_CALLS,
  );
  const peers = Object.values(N).filter((name) => cells.some(({ medians }) => medians[name]));
  const rows = peers.map((name) => [
    name,
    ...cells.map(({ medians }) => thousands(medians[name]?.rate)),
  ]);
  return {
    title: `All peers at ${BASE_CALLS} calls at once, the same sessions, in thousands a second`,
    header: ["", ...cells.map(({ operation }) => operation)],
    rows: peers.length > 3 ? rows : [],
  };
}

function sizeTable({ operations = [] }) {
  const cells = operations.filter((cell) => cell.concurrency === BASE_CALLS && isCompared(cell));
  const sizes = [...new Set(cells.map(({ bytes }) => bytes))].sort((a, b) => a - b);
  const named = [...new Set(cells.map(({ operation }) => operation))];
  const rows = named.map((operation) => [
    operation,
    ...sizes.map((bytes) => {
      const cell = cells.find((one) => one.operation === operation && one.bytes === bytes);
      return cell
        ? `${both(cell, "rate", thousands)} (${times(ratio(cell, "rate", N.OURS, N.REFERENCE))})`
        : "";
    }),
  ]);
  return {
    title:
      `By size of the session, at ${BASE_CALLS} calls at once, in thousands a second ` +
      "(connect-redis → connect-redis-rs)",
    header: ["", ...sizes.map((bytes) => `${bytes} bytes`)],
    rows: sizes.length > 1 ? rows : [],
  };
}

function topologyTable({ topologies = [] }) {
  const cells = topologies.filter(isCompared);
  return {
    title: `Over TLS, and on a cluster of three masters, at ${BASE_CALLS} calls at once, in thousands a second`,
    header: ["", "", "connect-redis", "connect-redis-rs", ""],
    rows: cells.map((cell) => [
      cell.topology,
      cell.operation,
      thousands(cell.medians[N.REFERENCE].rate),
      thousands(cell.medians[N.OURS].rate),
      bold(times(ratio(cell, "rate", N.OURS, N.REFERENCE))),
    ]),
  };
}

function serverTable({ server = [], loader }) {
  const peers = peersOf(server, [N.REFERENCE, N.IOREDIS, N.MEMORY, N.OURS]);
  const rows = server.map((cell) => [
    `${nameOf(cell.framework)}, ${WHAT[cell.route]}`,
    ...peers.map((name) => {
      const { rate, p99 } = cell.medians[name] ?? {};
      return rate === undefined
        ? `failed: ${cell.failed?.[name]}`
        : `${Math.round(rate)} (${milliseconds(p99)} ms)`;
    }),
    bold(times(ratio(cell, "rate", N.OURS, N.REFERENCE))),
    times(ratio(cell, "rate", N.OURS, N.MEMORY)),
  ]);
  return {
    title: `A server with express-session under the load of ${loader} on 64 connections, in requests a second (p99)`,
    header: ["", ...peers, "", "to MemoryStore"],
    rows,
  };
}

const REQUESTERS = [N.REFERENCE, N.OURS, N.BACKGROUND, N.TOUCH_AFTER, N.CACHE];

/** How long a request takes, with one table for a machine with nothing else to do, and one for a busy one. */
function requestTable(load) {
  return ({ requests = [] }) => {
    const cells = requests.filter((cell) => cell.load === load);
    const peers = peersOf(cells, REQUESTERS);
    const rows = cells.map((cell) => [
      cell.concurrency,
      `${cell.distance} ms`,
      ...peers.map((name) => {
        const { p50, p99 } = cell.medians[name] ?? {};
        return p50 === undefined ? "" : `${milliseconds(p50)} (${milliseconds(p99)})`;
      }),
    ]);
    const where = load === "busy" ? ", while other processes keep all cores busy" : "";
    return {
      title: `How long a request to an Express app takes${where}, in ms: median (p99)`,
      header: ["requests at once", "Redis is away by", ...peers],
      rows,
    };
  };
}

/** What the distance of Redis adds to a request. */
function waitTable({ requests = [] }) {
  const cells = requests.filter(({ concurrency, distance }) => concurrency === 1 && distance > 0);
  const peers = peersOf(cells, REQUESTERS);
  const rows = cells.map((cell) => [
    `${cell.load === "busy" ? "all cores busy, " : ""}${cell.distance} ms`,
    ...peers.map((name) => {
      const trips = roundTrips(requests, cell, name);
      return Number.isFinite(trips) ? Math.max(0, trips).toFixed(1) : "";
    }),
  ]);
  return {
    title:
      "What the distance of Redis adds to a request that is alone, in round trips: its median less " +
      "the one at 0 ms, divided by the distance",
    header: ["Redis is away by", ...peers],
    rows,
  };
}

function requestCpuTable({ requests = [] }) {
  const distance = Math.min(...requests.map((cell) => cell.distance).filter((ms) => ms >= 1));
  const cells = requests.filter((cell) => cell.distance === distance);
  const peers = peersOf(cells, REQUESTERS);
  const rows = cells.map((cell) => [
    nameOfLoad(cell.load, cell.concurrency),
    ...peers.map((name) => cell.medians[name]?.cpu?.toFixed(0) ?? ""),
  ]);
  return {
    title: `CPU of the app's process, with Redis ${distance} ms away, in microseconds a request`,
    header: ["", ...peers],
    rows,
  };
}

/** Whether Redis was as far away as it should be. */
function distanceTable({ distances = [] }) {
  const of = (load) => distances.filter((one) => one.load === load);
  const loads = [...new Set(distances.map(({ load }) => load))];
  return {
    title: "What a PING through the proxy that delays Redis took, in ms",
    header: ["Redis is away by", ...of(loads[0]).map(({ distance }) => `${distance} ms`)],
    rows: loads.map((load) => [
      load === "busy" ? "all cores busy" : "",
      ...of(load).map(({ ping }) => ping.toFixed(2)),
    ]),
  };
}

/** Those of the peers that some of the cells have. */
function peersOf(cells, peers) {
  return peers.filter((name) => cells.some(({ medians }) => medians[name]));
}

function bulkTable({ bulk = [] }) {
  const rows = bulk
    .filter(isCompared)
    .map((cell) => [
      cell.operation,
      cell.count.toLocaleString("en"),
      both(cell, "seconds", (seconds) => seconds.toPrecision(2)),
      bold(times(ratio(cell, "seconds", N.REFERENCE, N.OURS))),
      cell.medians[N.SCAN]?.seconds.toPrecision(2) ?? "",
      hundredths(ratio(cell, "seconds", N.OURS, N.SCAN)),
      both(cell, "stall", milliseconds),
      both(cell, "held", milliseconds),
      both(cell, "memoryMB", (megabytes) => megabytes.toFixed(0)),
      times(ratio(cell, "memoryMB", N.OURS, N.REFERENCE)),
    ]);
  const header = ["", "sessions", "time, s", "", "SCAN alone, s", "to SCAN alone"];
  header.push("event loop held, ms", "Redis held, ms", "memory, MB", "");
  return {
    title:
      "Going over all sessions (connect-redis → connect-redis-rs); SCAN alone, with UNLINK for clear, " +
      "is what Redis needs for a client that does nothing else",
    header,
    rows,
  };
}

function startupTable({ startup, idle }) {
  const rows = [];
  const row = (what, of, unit, figure, digits) => {
    const [theirs, ours] = [N.REFERENCE, N.OURS].map((name) => of?.medians[name]?.[figure]);
    if (theirs === undefined || ours === undefined) return;
    rows.push([what, `${theirs.toFixed(digits)} ${unit}`, `${ours.toFixed(digits)} ${unit}`]);
  };
  row("`require`", startup, "ms", "require", 1);
  row("start of the process to the first answer", startup, "ms", "firstGet", 0);
  const without = idle?.medians["without a store"];
  if (without) {
    const more = `a process (${without.rss.toFixed(0)} MB without)`;
    row(`memory of ${more} with an idle store`, idle, "MB", "rss", 0);
    row("… with a hundred", idle, "MB", "rss100", 0);
    row("heap of it with an idle store", idle, "MB", "heap", 1);
    row("… with a hundred", idle, "MB", "heap100", 1);
  }
  if (startup) rows.push(["the addon's file", "", `${startup.addonMB.toFixed(1)} MB`]);
  const header = ["", "connect-redis", "connect-redis-rs"];
  return { title: "To begin with, and at rest", header, rows };
}

/** Whether each target was met. */
function targetLines({ targets = [] }) {
  if (targets.length === 0) return [];
  const rows = targets.map(({ what, value, unit, least, most, isMet }) => [
    what,
    `${Number(value.toPrecision(3))} ${unit}`,
    least === undefined ? `≤ ${Number(most.toPrecision(3))}` : `≥ ${least}`,
    isMet ? "met" : "MISSED",
  ]);
  return ["", "Targets:", "", ...formatTable(["", "measured", "target", ""], rows)];
}

function troubleLines({ leftOut = [], failed = [] }) {
  return [
    ...leftOut.map(({ what, why }) => `\nleft out: ${what}: ${why}`),
    ...failed.map(({ what, why }) => `\nFAILED: ${what}: ${why}`),
  ];
}

function isCompared({ medians }) {
  return Boolean(medians[N.REFERENCE] && medians[N.OURS]);
}

/** A figure of connect-redis and of this store. */
function both({ medians }, figure, format) {
  return `${format(medians[N.REFERENCE][figure])} → ${format(medians[N.OURS][figure])}`;
}

function thousands(rate) {
  return rate === undefined ? "" : (rate / 1000).toFixed(1);
}

function milliseconds(ms) {
  return ms < 10 ? `${Number(ms.toPrecision(2))}` : ms.toFixed(0);
}

function times(value) {
  if (!Number.isFinite(value)) return "";
  return `${value < 1 ? value.toFixed(2) : value.toFixed(1)}×`;
}

function hundredths(value) {
  return Number.isFinite(value) ? `${value.toFixed(2)}×` : "";
}

function percent(value) {
  return Number.isFinite(value) ? `${Math.round(value * 100)} %` : "";
}

function bold(text) {
  return text && `**${text}**`;
}

const TABLES = [
  requestTable("idle"),
  requestTable("busy"),
  waitTable,
  requestCpuTable,
  distanceTable,
  operationTable,
  busyTable,
  peerTable,
  sizeTable,
  topologyTable,
  serverTable,
  bulkTable,
  startupTable,
];

module.exports = { render, renderReadme };
