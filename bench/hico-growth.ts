/**
 * How time and memory of a HiCo pretraining step on the `cpu` device grow with the batch and with the queue:
 *
 *     node --import tsx bench/hico-growth.ts [--encoder gru] [--width 128] [--batches 32,64,128,256]
 *                                            [--queues 2048,4096,8192,16384,32768,65536] [--steps 5] [--threads 2]
 *                                            [--json FILE] [--svg FILE]
 *
 * Batches are taken at K 2048, queues at batch 64. Every size runs in a process of its own: its peak is no other's. Sizes
 * run twice, up and down, so that a busy minute falls on both ends; the median of all steps and the lower of the peaks
 * count, and beside them the time of all cores, which other work on the machine disturbs less. Each curve is held to a straight line (`linear-growth.ts` says what a step in a curve is). Exit code 1 if there
 * is one. On two quiet cores it takes about two minutes.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { svgChart, type Chart, type Series } from "../src/report/index.ts";
import { trainAlone, type Alone } from "./hico-alone.ts";
import { BATCH, QUEUE } from "./hico-shapes.ts";
import { linearGrowth, STEP, type Growth } from "./linear-growth.ts";
import { median } from "../src/bench/measure.ts";

const { values: options } = parseArgs({
  options: {
    encoder: { type: "string", default: "gru" },
    width: { type: "string", default: "128" },
    batches: { type: "string", default: "32,64,128,256" },
    queues: { type: "string", default: "2048,4096,8192,16384,32768,65536" },
    steps: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    json: { type: "string" },
    svg: { type: "string" },
  },
});
const sizesOf = (name: "batches" | "queues"): number[] => {
  const sizes = options[name].split(",").map(Number);
  if (sizes.length >= 2 && sizes.every((size, i) => Number.isInteger(size) && size > (sizes[i - 1] ?? 0))) return sizes;
  throw new Error(`--${name} is "${options[name]}"; it must be at least two ascending whole numbers, such as 32,64`);
};
/** What grows, and what stays; both pass through the published step. */
const sweeps = [
  { name: "batch", sizes: sizesOf("batches"), at: (batch: number) => ({ batch, queue: QUEUE }), rest: `K ${QUEUE}` },
  { name: "K", sizes: sizesOf("queues"), at: (queue: number) => ({ batch: BATCH, queue }), rest: `batch ${BATCH}` },
] as const;

type Size = ReturnType<(typeof sweeps)[number]["at"]>;
const keyOf = ({ batch, queue }: Size) => `batch ${batch}, K ${queue}`;

const sizes = new Map<string, Size>(
  sweeps.flatMap(({ sizes, at }) => sizes.map((size) => [keyOf(at(size)), at(size)])),
);
const measured = new Map<string, Alone[]>();
for (const [key, size] of [...sizes, ...[...sizes].reverse()]) {
  const alone = trainAlone(options.encoder, Number(options.width), {
    ...size,
    steps: Number(options.steps),
    threads: Number(options.threads),
  });
  measured.set(key, [...(measured.get(key) ?? []), alone]);
  console.error(`${key}: ${median(alone.ms).toFixed(1)} ms a step, peak ${alone.peakMb.toFixed(0)} MB`);
}

interface Cost {
  readonly name: string;
  readonly of: (runs: readonly Alone[]) => number;
  /** See `linearGrowth`. */
  readonly slack?: number;
}

const TIME: readonly Cost[] = [
  { name: "ms a step", of: (runs) => median(runs.flatMap(({ ms }) => ms)) },
  { name: "ms of all cores", of: (runs) => Math.min(...runs.map(({ coreMs }) => coreMs)) },
];
const MEMORY: readonly Cost[] = [
  // V8's heap is largest while plans are made; how much of it is garbage then depends on when V8 collects.
  { name: "peak resident MB", of: (runs) => Math.min(...runs.map(({ peakMb }) => peakMb)), slack: 64 },
  { name: "MB of tensors and plans", of: (runs) => Math.min(...runs.map(({ deviceMb }) => deviceMb)) },
];

const curves = sweeps.flatMap(({ name, sizes, at, rest }) =>
  [TIME, MEMORY].flatMap((costs) =>
    costs.map((cost) => ({
      along: name,
      rest,
      costs,
      cost: cost.name,
      growth: linearGrowth(
        sizes,
        sizes.map((size) => cost.of(measured.get(keyOf(at(size)))!)),
        cost.slack,
      ),
    })),
  ),
);
const model = `HiCo pretraining step, ${options.encoder}, d ${options.width}, ${options.threads} threads`;
for (const { along, rest, cost, growth } of curves)
  printCurve(`${model}: ${cost} by ${along} (${rest})`, along, growth);
if (options.json)
  writeFileSync(
    options.json,
    JSON.stringify({ ...options, step: STEP, curves: curves.map(({ costs: _, ...curve }) => curve) }, null, 1),
  );
if (options.svg) {
  const panels = sweeps.flatMap(({ name }) =>
    [TIME, MEMORY].map((kind) => chartOf(curves.filter(({ along, costs }) => along === name && costs === kind))),
  );
  writeFileSync(options.svg, svgChart(panels, { columns: 2 }));
}
const stepped = curves.filter(({ growth }) => growth.steps.length > 0);
for (const { along, cost, growth } of stepped) {
  console.log(`a step in ${cost}, by ${along}: at ${growth.steps.join(", ")}`);
}
if (stepped.length === 0) console.log(`no step: no interval takes over ${100 * STEP} % more than the line's slope`);
process.exit(stepped.length > 0 ? 1 : 0);

function printCurve(title: string, along: string, { intercept, slope, points }: Growth): void {
  console.log(`\n${title}\nline: ${intercept.toFixed(1)} + ${slope.toPrecision(3)} · ${along}`);
  console.log([along, "measured", "line", "off", "× before", "beyond slope"].map((word) => word.padStart(14)).join(""));
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  for (const { size, cost, line, ratio, excess } of points) {
    const cells = [
      String(size),
      cost.toFixed(1),
      line.toFixed(1),
      percent(cost / line - 1),
      Number.isNaN(ratio) ? "" : ratio.toFixed(2),
      Number.isNaN(ratio) ? "" : percent(excess),
    ];
    console.log(cells.map((cell) => cell.padStart(14)).join(""));
  }
}

/** Curves over the same sizes, each with its straight line. */
function chartOf(drawn: readonly (typeof curves)[number][]): Chart {
  const [{ along, rest, costs, growth }] = drawn;
  const largest = growth.points[growth.points.length - 1].size;
  // Small sizes of a doubling series would have their labels on each other.
  const ticks = growth.points.map(({ size }) => size).filter((size) => size > largest / 16);
  return {
    title: `${costs === TIME ? "Time" : "Memory"} of a step by ${along} (${rest})`,
    x: { label: along, ticks, range: [0, largest] },
    y: { range: [0, 1.08 * Math.max(...drawn.flatMap((curve) => curve.growth.points.map(({ cost }) => cost)))] },
    series: [
      ...drawn.map(
        (curve): Series => ({
          kind: "line",
          name: curve.cost,
          points: curve.growth.points.map(({ size, cost }) => [size, cost]),
        }),
      ),
      ...drawn.map(
        (curve, i): Series => ({
          kind: "line",
          name: i === 0 ? "straight lines" : "",
          dashed: true,
          dots: false,
          color: "#8c8c8c",
          points: curve.growth.points.map(({ size, line }) => [size, line]),
        }),
      ),
    ],
  };
}
