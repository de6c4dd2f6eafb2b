"use strict";

// The figures of npm run bench that are computed.

const { redisWait, roundTrips } = require("../bench/redis-wait.js");
const { percentile } = require("../bench/statistics.js");

test.each([
  [0, 1],
  [0.5, 6],
  [0.89, 9],
  [0.99, 10],
])("of ten values, the share %p lies below number %p", (share, value) => {
  const sorted = Float64Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(percentile(sorted, share)).toBe(value);
});

test("nothing has no percentile", () => {
  expect(percentile(new Float64Array(0), 0.5)).toBeNaN();
});

describe("what the distance of Redis adds to a request", () => {
  const cell = (distance, medians, where = {}) => ({
    ...{ load: "idle", concurrency: 1, distance, ...where },
    rounds: medians.map((p50) => (p50 === undefined ? {} : { store: { p50 } })),
  });
  const near = cell(0, [1, 1.5, 1.25]);
  const others = [cell(0, [9, 9, 9], { load: "busy" }), cell(0, [8, 8, 8], { concurrency: 10 })];

  test("is the median of the rounds' differences to the same load with Redis 0 ms away", () => {
    const far = cell(2, [5, 5.5, 9]);
    expect(redisWait([...others, near, far], far, "store")).toBe(4);
    expect(roundTrips([...others, near, far], far, "store")).toBe(2);
  });

  test("counts the rounds in which both were measured", () => {
    const far = cell(2, [undefined, 7.5, undefined]);
    expect(redisWait([near, far], far, "store")).toBe(6);
  });

  test("is unknown if one was not measured, and in round trips at 0 ms", () => {
    const far = cell(2, [5, 5.5, 9]);
    expect(redisWait([...others, far], far, "store")).toBeNaN();
    expect(redisWait([near, far], far, "another")).toBeNaN();
    expect(roundTrips([near, far], near, "store")).toBeNaN();
  });
});
