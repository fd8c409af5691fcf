/**
 * How exact are reductions of long tensors? Sum, mean, variance, sums of long rows and columns and dot products of random
 * numbers of [0, 1) and of one number repeated, against float64 on the host.
 *
 *     node --import tsx scripts/long-sums.ts [--device cpu] [--elements 10000001,33554435] [--limit 2e-6,3e-6]
 *
 * Prints the largest relative error of each; exit code 1 where one is above the limit of its length. Lengths must have
 * a small divisor, by which they are cut into rows.
 */
import { parseArgs } from "node:util";
import type { Tensor } from "../src/index.ts";
import { tensor, useDevice } from "../src/index.ts";

const { values: given } = parseArgs({
  options: {
    device: { type: "string", default: process.env.HICO_DEVICE ?? "cpu" },
    elements: { type: "string", default: "10000001,33554435" },
    limit: { type: "string", default: "2e-6,3e-6" },
  },
});

const random = (n: number): Float32Array => {
  let state = 1;
  return Float32Array.from({ length: n }, () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32);
};

const sum = (n: number, at: (i: number) => number): number => {
  let total = 0;
  for (let i = 0; i < n; i++) total += at(i);
  return total;
};

/** Every reduction by its name, with the values that it must have. */
function cases(x: Float32Array): (readonly [string, (t: Tensor) => Tensor, readonly number[]])[] {
  const n = x.length;
  const rows = [3, 5, 7, 11, 13].find((k) => n % k === 0) ?? 1;
  const long = n / rows;
  const [total, squares] = [sum(n, (i) => x[i]), sum(n, (i) => x[i] * x[i])];
  const mean = total / n;
  const each = (at: (row: number, i: number) => number) =>
    Array.from({ length: rows }, (_, row) => sum(long, (i) => at(row, i)));
  return [
    ["sum", (t) => t.sum(), [total]],
    ["mean", (t) => t.mean(), [mean]],
    ["variance", (t) => t.variance(), [sum(n, (i) => (x[i] - mean) ** 2) / n]],
    ["row sums", (t) => t.reshape([rows, long]).sum(1), each((row, i) => x[row * long + i])],
    ["column sums", (t) => t.reshape([long, rows]).sum(0), each((row, i) => x[i * rows + row])],
    ["dot, by product and sum", (t) => t.mul(t).sum(), [squares]],
    ["dot, by matmul", (t) => t.reshape([1, n]).matmul(t.reshape([n, 1])), [squares]],
  ];
}

const device = await useDevice(given.device);
const limits = given.limit.split(",").map(Number);
for (const [k, text] of given.elements.split(",").entries()) {
  const n = Number(text);
  const limit = limits[k] ?? limits[0];
  for (const [kind, data] of [
    ["random", random(n)],
    ["0.1", new Float32Array(n).fill(0.1)],
  ] as const) {
    const x = await tensor(data, { copy: false }).mul(1).realize();
    for (const [name, f, exact] of cases(data)) {
      // Of one number repeated the variance is 0, and what is found is rounding.
      if (kind === "0.1" && name === "variance") continue;
      const found = await f(x).read();
      const error = Math.max(...exact.map((v, i) => Math.abs(found[i] / v - 1)));
      const over = !(error <= limit);
      if (over) process.exitCode = 1;
      console.log(`${device.kind} ${n} ${kind} ${name}: ${error.toExponential(2)}${over ? `, above ${limit}` : ""}`);
    }
    x.dispose();
  }
}
device.close();
