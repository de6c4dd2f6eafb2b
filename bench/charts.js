"use strict";

// Charts of a run's medians, as SVG.

const { mkdirSync, rmSync, writeFileSync } = require("node:fs");
const path = require("node:path");
const echarts = require("echarts");
const N = require("./names.js");

const WIDTH = 900;
const PANEL_HEIGHT = 220;
/** The height of title, note and legend; the legend of many peers needs a second line. */
const HEAD_HEIGHT = 110;
const LEGEND_LINE = 44;
const LETTERS_IN_A_LINE = 100;
/** The space of a panel for its title above and its categories below. */
const PANEL_MARGIN = { top: 34, bottom: 36 };

const COLOURS = {
  [N.REFERENCE]: "#2f6db5",
  [N.IOREDIS]: "#8ab6e8",
  [N.MEMORY]: "#b9bec5",
  [N.OURS]: "#d9480f",
  [N.DIRECT]: "#f08c4a",
  [N.THROUGH]: "#f6c59d",
  [N.BACKGROUND]: "#f08c4a",
  [N.TOUCH_AFTER]: "#f6c59d",
  [N.CACHE]: "#2f9e44",
  [N.FLOOR]: "#495057",
  [N.BARE]: "#868e96",
  [N.BUN]: "#b07cc6",
  [N.LIMIT]: "#74a57f",
};
const TEXT = "#212529";
const QUIET = "#5c636a";
const LINES = "#dee2e6";

/**
 * Draws bar charts in panels, one below the other, with one legend.
 * @param {object} chart
 * @param {string} chart.title
 * @param {string} chart.note a line below it: what was measured, and on what
 * @param {string[]} chart.peers
 * @param {{name: string, unit: string, categories: string[], isLog?: boolean,
 *   value: (peer: string, place: number) => number | undefined}[]} chart.panels
 * @returns {string} SVG
 */
function drawBars({ title, note, peers, panels }) {
  const head = HEAD_HEIGHT + (peers.join("").length > LETTERS_IN_A_LINE ? LEGEND_LINE : 0);
  const height = head + panels.length * PANEL_HEIGHT;
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  const above = (place) => head + place * PANEL_HEIGHT;
  const option = {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: "sans-serif", color: TEXT },
    title: [
      {
        text: title,
        subtext: note,
        left: 20,
        top: 12,
        itemGap: 6,
        textStyle: { fontSize: 17, color: TEXT },
        subtextStyle: { fontSize: 12, color: QUIET },
      },
      ...panels.flatMap(({ name, unit, isLog }, place) => [
        {
          text: name,
          left: 20,
          top: above(place),
          textStyle: { fontSize: 13, color: TEXT },
        },
        {
          text: `${unit}${isLog ? " (logarithmic)" : ""}`,
          right: 20,
          top: above(place),
          textStyle: { fontSize: 12, fontWeight: "normal", color: QUIET },
        },
      ]),
    ],
    // In some fonts the texts are wider than echarts assumes.
    legend: { data: peers, left: 20, top: 68, itemGap: 36, textStyle: { color: TEXT } },
    grid: panels.map((_, place) => ({
      left: 70,
      right: 20,
      top: above(place) + PANEL_MARGIN.top,
      height: PANEL_HEIGHT - PANEL_MARGIN.top - PANEL_MARGIN.bottom,
    })),
    xAxis: panels.map(({ categories }, place) => ({
      gridIndex: place,
      data: categories,
      axisTick: { show: false },
      axisLine: { lineStyle: { color: "#868e96" } },
      axisLabel: { color: TEXT, interval: 0 },
    })),
    yAxis: panels.map((panel, place) => ({
      gridIndex: place,
      splitNumber: 4,
      splitLine: { lineStyle: { color: LINES } },
      axisLabel: { color: TEXT, formatter: brief },
      ...scaleOf(panel, peers),
    })),
    series: panels.flatMap((panel, place) => {
      const shown = peers.filter((peer) =>
        panel.categories.some((_, n) => isThere(panel.value(peer, n))),
      );
      return shown.map((peer) => ({
        type: "bar",
        name: peer,
        xAxisIndex: place,
        yAxisIndex: place,
        barGap: "8%",
        barCategoryGap: "16%",
        color: COLOURS[peer],
        data: panel.categories.map((_, n) => panel.value(peer, n) ?? "-"),
        label: {
          show: true,
          position: "top",
          distance: 2,
          fontSize: 10,
          color: TEXT,
          formatter: ({ value }) => (value === "-" ? "" : brief(value)),
        },
      }));
    }),
  };
  chart.setOption(option);
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}

/** A logarithmic scale begins a decade below its smallest bar, so that this bar is visible. */
function scaleOf({ categories, value, isLog }, peers) {
  if (!isLog) return { type: "value" };
  const values = peers.flatMap((peer) => categories.map((_, n) => value(peer, n))).filter(isThere);
  const exponent = (number) => Math.log10(Math.max(number, 1e-3));
  const min = 10 ** (Math.floor(Math.min(...values.map(exponent))) - 1);
  return {
    type: "log",
    min,
    startValue: min, // by default, bars begin at 1
    max: 10 ** Math.ceil(Math.max(...values.map(exponent)) + 0.1),
  };
}

function isThere(value) {
  return Number.isFinite(value);
}

/** A number with at most three digits: 0.042, 4.2, 720, 1.2 k, 720 k. */
function brief(value) {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  if (value >= 1000) return `${Math.round(value)}`;
  return `${Number(value.toPrecision(value < 1 ? 2 : 3))}`;
}

const OPERATIONS = ["get", "set", "touch"];
const BASE_SIZE = 600;
const BASE_CALLS = 64;
const COMPARED = [N.REFERENCE, N.IOREDIS, N.MEMORY, N.OURS, N.FLOOR];

/** The charts for which the results have figures, by file name. */
function chartsOf(results) {
  const { operations = [], server = [], bulk = [], requests = [] } = results;
  const where = `${results.machine.cpu}, ${results.machine.cores} cores; Node ${results.versions.node}, Redis ${results.versions["redis-server"]}; ${results.date.slice(0, 10)}`;
  const charts = {};

  const few = requests.filter(({ concurrency }) => concurrency <= MOST_IN_CHART);
  if (few.length > 0) {
    const distances = [...new Set(few.map(({ distance }) => distance))];
    charts.requests = {
      title: "How long a request takes, by the distance of Redis",
      note: `Express with express-session, signed-in users; medians; ${where}`,
      peers: Object.keys(COLOURS).filter((peer) => few.some(({ medians }) => medians[peer])),
      panels: few
        .filter(({ distance }) => distance === distances[0])
        .map(({ load, concurrency }) => ({
          name: nameOfLoad(load, concurrency),
          unit: "milliseconds, less is better",
          categories: distances.map((distance) => `Redis ${distance} ms away`),
          value: (peer, n) =>
            few.find(
              (cell) =>
                cell.load === load &&
                cell.concurrency === concurrency &&
                cell.distance === distances[n],
            )?.medians[peer]?.p50,
        })),
    };
  }

  const base = operations.filter(({ size }) => size === BASE_SIZE);
  const bytes = base[0]?.bytes;
  const concurrencies = [...new Set(base.map(({ concurrency }) => concurrency))];
  const byCalls = (title, figure, unit, peers, isLog) => ({
    title,
    note: `sessions of ${bytes} bytes, by calls at once; medians; ${where}`,
    peers: peers.filter((peer) => base.some(({ medians }) => isThere(medians[peer]?.[figure]))),
    panels: OPERATIONS.map((operation) => ({
      name: operation,
      unit,
      isLog,
      categories: concurrencies.map((calls) => `${calls} call${calls === 1 ? "" : "s"}`),
      value: (peer, n) =>
        base.find((cell) => cell.operation === operation && cell.concurrency === concurrencies[n])
          ?.medians[peer]?.[figure],
    })),
  });
  if (base.length > 0) {
    charts.throughput = byCalls(
      "Operations a second",
      "rate",
      "operations a second, more is better",
      COMPARED,
    );
    charts.latency = byCalls(
      "The slowest hundredth of calls (p99)",
      "p99",
      "milliseconds, less is better",
      COMPARED.filter((peer) => peer !== N.FLOOR),
      true,
    );
    charts.cpu = byCalls(
      "CPU that an operation takes of the thread that runs JavaScript",
      "jsCpu",
      "microseconds, less is better",
      COMPARED,
    );
    charts.peers = {
      title: `All peers, ${BASE_CALLS} calls at once`,
      note: `sessions of ${bytes} bytes; medians; ${where}`,
      peers: Object.keys(COLOURS).filter((peer) => base.some(({ medians }) => medians[peer])),
      panels: OPERATIONS.map((operation) => ({
        name: operation,
        unit: "operations a second, more is better",
        categories: [""],
        value: (peer) =>
          base.find((cell) => cell.operation === operation && cell.concurrency === BASE_CALLS)
            ?.medians[peer]?.rate,
      })),
    };
  }

  const sizes = [...new Set(operations.map(({ size }) => size))].sort((a, b) => a - b);
  if (sizes.length > 1) {
    charts.sizes = {
      title: "Operations a second, by size of the session",
      note: `${BASE_CALLS} calls at once; medians; ${where}`,
      peers: COMPARED,
      panels: OPERATIONS.map((operation) => ({
        name: operation,
        unit: "operations a second, more is better",
        isLog: true,
        categories: sizes.map((size) => (size < 1000 ? `${size} B` : `${size / 1000} kB`)),
        value: (peer, n) =>
          operations.find(
            (cell) =>
              cell.operation === operation &&
              cell.concurrency === BASE_CALLS &&
              cell.size === sizes[n],
          )?.medians[peer]?.rate,
      })),
    };
  }

  if (server.length > 0) {
    const panel = (name, figure, unit) => ({
      name,
      unit,
      categories: server.map(({ framework, route }) => `${nameOf(framework)}, ${WHAT[route]}`),
      value: (peer, n) => server[n].medians[peer]?.[figure],
    });
    charts.server = {
      title: "A server with express-session under load",
      note: `64 connections (${results.loader}), 1000 sessions of about ${BASE_SIZE} bytes; medians; ${where}`,
      peers: COMPARED.filter((peer) => server.some(({ medians }) => medians[peer])),
      panels: [
        panel("Requests", "rate", "requests a second, more is better"),
        panel("The slowest hundredth of requests (p99)", "p99", "milliseconds, less is better"),
        panel("CPU of the JS thread", "jsCpu", "microseconds a request, less is better"),
      ],
    };
  }

  const count = Math.max(0, ...bulk.map((cell) => cell.count));
  if (count > 0) {
    const largest = bulk.filter((cell) => cell.count === count);
    const panel = (name, figure, unit, isLog) => ({
      name,
      unit: `${unit}, less is better`,
      isLog,
      categories: largest.map(({ operation }) => operation),
      value: (peer, n) => largest[n].medians[peer]?.[figure],
    });
    charts.bulk = {
      title: `Going over ${count.toLocaleString("en")} sessions`,
      note: `one call in a fresh process; medians; ${where}`,
      peers: COMPARED.filter((peer) => largest.some(({ medians }) => medians[peer])),
      panels: [
        panel("Time", "seconds", "seconds"),
        panel("The longest the event loop was held", "stall", "milliseconds", true),
        panel("The longest Redis answered nobody else", "held", "milliseconds", true),
        panel("Memory the process grew by", "memoryMB", "MB"),
      ],
    };
  }
  return charts;
}

const WHAT = { "/read": "reading", "/change": "changing" };

/** With more requests at once, they wait for the CPU rather than for Redis. */
const MOST_IN_CHART = 10;

function nameOfLoad(load, concurrency) {
  const requests = `${concurrency} request${concurrency === 1 ? "" : "s"} at once`;
  return load === "busy" ? `${requests}, while other processes keep all cores busy` : requests;
}

function nameOf(framework) {
  return framework === "express" ? "Express 5" : "http";
}

/**
 * Writes the charts, and removes all older ones from the folder.
 * @returns {{name: string, file: string, title: string}[]} the charts that were written
 */
function writeCharts(results, folder) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return Object.entries(chartsOf(results)).map(([name, chart]) => {
    const file = path.join(folder, `${name}.svg`);
    writeFileSync(file, `${drawBars(chart)}\n`);
    return { name, file, title: chart.title };
  });
}

module.exports = { WHAT, nameOf, nameOfLoad, writeCharts };
