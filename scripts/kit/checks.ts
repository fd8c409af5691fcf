/** The checks of the kit's program, cheap ones first, and what one of them finds. */
import fc from "fast-check";
import * as engine from "../../src/index.ts";
import type { Backend, Tensor } from "../../src/index.ts";
import * as nn from "../../src/nn/index.ts";
import {
  arbitraries,
  checkCompiled,
  checkDeterminism,
  checkEngine,
  checkGradient,
  checkKernel,
  checkModule,
  checkOp,
  checkPrograms,
  conformanceText,
  faultsOf,
  gradcheck,
  openEngine,
} from "../../src/testing/index.ts";
import type { Checked } from "../../src/testing/index.ts";
import { ATTENTION_AND_CONTRAST } from "./attention.ts";
import type { KitCase, KitCases } from "./case.ts";
import { CELLS, checkDispatches, manySteps } from "./cells.ts";
import { COMPILED } from "./compiled.ts";
import { checkRefusals, checkUnits, KERNELS } from "./kernels.ts";
import { LOSSES_AND_DERIVATIVES } from "./losses.ts";
import { checkModuleSizes, checkPlansKept, checkTracesKept } from "./memory.ts";
import { OPERATIONS } from "./operations.ts";
import { RESAMPLED } from "./resampling.ts";
import { SEQUENCES } from "./sequences.ts";
import { SPATIAL } from "./spatial.ts";
import { LAYERS, TRAINING } from "./training.ts";

/** What fails first is enough. */
const FIRST = { smallest: false } as const;

interface Check {
  readonly name: string;
  run(): Promise<unknown>;
}

const CASES: KitCases = {
  ...OPERATIONS,
  ...SEQUENCES,
  ...ATTENTION_AND_CONTRAST,
  ...LOSSES_AND_DERIVATIVES,
  ...CELLS,
  ...SPATIAL,
  ...RESAMPLED,
  ...TRAINING,
  ...KERNELS,
};

/** Values and gradients of a case on a device, with named sizes up to `sizes`. */
function onDevice(one: KitCase, device: Backend, seed: number, sizes: number, runs: number): Promise<void> {
  const { f, meaning, inputs, gradientTolerance, gradients } = one;
  const tolerance = device.kind === "cpu" ? (one.onCpu ?? one.tolerance) : one.tolerance;
  const options = { device, seed, sizes, runs, tolerance, gradientTolerance, gradients, ...FIRST };
  return meaning ? checkKernel(f, meaning, inputs, options) : checkOp(f, inputs, options);
}

/** What gives no tensor of its own: several results in one list. */
const flat = (result: unknown): Tensor[] =>
  result instanceof engine.Tensor ? [result] : Object.values(result as object).flatMap(flat);

/** What `f` gives, bent: then second derivatives meet the results of operations beside what these are made of. */
const bent =
  (f: Checked): Checked =>
  (...inputs) => {
    const result = f(...inputs);
    const outputs = result instanceof engine.Tensor ? [result] : result;
    return outputs.map((y) => (y.dtype === "f32" ? y.add(y.square().mul(0.25)) : y));
  };

const reference = new engine.ReferenceDevice();

/** Results side by side in memory on one thread, of rows and units whose numbers no power of two divides. */
async function onOneThread(before: Backend, seed: number): Promise<void> {
  const device = await engine.device("cpu", { threads: 1 });
  const f: Checked = (a, b, w) => [
    a.softplus().sum(0),
    a.matmul(w),
    a.sub(a.mean(1, true)).tanh(),
    b.exp().sum(1),
    b.matmul(w).relu(),
    a.sum([0, 1]),
    b.mul(2),
    a.transpose().mul(0.5),
    b.mul(b).sum(0),
  ];
  const inputs = [
    [277, 301],
    [17, 301],
    [301, 19],
  ];
  await checkOp(f, inputs, { device, seed, runs: 2, tolerance: 1e-4, gradientTolerance: 1e-3, ...FIRST });
  engine.setDefaultDevice(device);
  try {
    await checkUnits();
  } finally {
    engine.setDefaultDevice(before);
  }
}

/** Of every kind: with k shared out, with two areas of workgroup memory, without any. An adapter has but one of them. */
const TILES = ["shared 4x1 4x4 k8", "shared 4x1 4x4 k16 s2", "shared 8x2 4x4 k8 d", "registers 8x2 4x2"] as const;

/** Products on a device of their own, which takes this tile for all of them. */
async function byTile(tile: string, seed: number): Promise<void> {
  const before = process.env.HICO_MATMUL_TILE;
  process.env.HICO_MATMUL_TILE = tile;
  const device = await engine.device("webgpu");
  if (before === undefined) delete process.env.HICO_MATMUL_TILE;
  else process.env.HICO_MATMUL_TILE = before;
  const f: Checked = (a, b) => [a.matmul(b), b.transpose().matmul(a.transpose())];
  const inputs = [
    { shape: ["n", "k"], views: false },
    { shape: ["k", "m"], views: false },
  ] as const;
  try {
    await checkOp(f, inputs, { device, seed, runs: 3, sizes: 45, gradients: false, ...FIRST });
  } finally {
    device.close();
  }
}

/** Cases of what real GPUs have kernels of their own for: several invocations share a sum, others fill a tile together. */
const FOR_GPUS = [
  ...["means and spread of long rows", "many long columns", "largest and smallest", "softmax", "matmul"],
  ...["products with work before and after", "a cell over time"],
];

/** A case on a device of its own, by the kernels meant for real GPUs on whatever adapter. */
async function byKernelsForGpus(one: KitCase, seed: number): Promise<void> {
  const device = await engine.device("webgpu", { profile: "gpu" });
  try {
    await onDevice(one, device, seed, one.large || 20, 2);
  } finally {
    device.close();
  }
}

/** All checks, the cheap ones first; gradients in float64 are those of no device in particular. */
function checksFor(device: Backend, seed: number): Check[] {
  const cases = Object.entries(CASES);
  const named = Object.keys(LAYERS).map((name) => ({ name, layer: LAYERS[name] }));
  const draw = arbitraries(fc);
  const graphs = (steps: number, times: number): Promise<void> =>
    fc.assert(
      fc.asyncProperty(draw.graph({ steps }), async (graph) => {
        const inputs = graph.inputs.map((operand) => operand.tensor());
        await checkOp(graph.f, inputs, { device, tolerance: 1e-4 });
      }),
      { numRuns: times, seed, endOnFailure: true },
    );
  const suite = async (only: readonly string[] = []): Promise<void> => {
    const under = await openEngine("hico", { backend: device.kind });
    // Whoever runs this may be stopped meanwhile: that an answer takes for ever is told by the processor's time alone.
    const report = await checkEngine(under, { most: 1, only, timeout: 600_000 });
    if (faultsOf(report).length === 0) return;
    const text = conformanceText(report);
    // What is wrong stands behind the table.
    throw new Error(text.slice(text.indexOf("\n\n")).trim());
  };
  return [
    ...cases.map(([name, one]) => ({ name, run: () => onDevice(one, device, seed, 4, 3) })),
    ...(device.kind === "webgpu"
      ? []
      : cases
          .filter(([, { order, gradients }]) => order !== 0 && gradients !== false)
          .map(([name, { f, inputs, order = 2 }]) => ({
            name: `gradient of ${name}`,
            run: () =>
              checkGradient(bent(f), inputs, { seed, order: order as 1 | 2, runs: 2, sizes: 2, samples: 12, ...FIRST }),
          }))),
    // What an operation is without a kernel, which on this device nothing else would run.
    ...(device.kind === "cpu" ? cases.filter(([, { meaning, gradients }]) => meaning && gradients !== false) : []).map(
      ([name, one]) => ({
        name: `without kernels: ${name}`,
        run: () => onDevice(one, reference, seed, 4, 1),
      }),
    ),
    ...cases
      .filter(([, { large }]) => large !== 0)
      .map(([name, one]) => ({
        name: `large ${name}`,
        run: () => onDevice(one, device, seed + 1, one.large ?? 20, 4),
      })),
    ...named.flatMap(({ name, layer: [make, inputs] }) => [
      {
        name: `layer ${name}`,
        run: async () => {
          const layer = make();
          const f = (...given: Tensor[]): Tensor[] => flat(layer.forward(...(given as never[])));
          await checkOp(f, inputs, { device, seed, runs: 2, gradientTolerance: 1e-3, ...FIRST });
          const functional = { forward: f as never, namedParameters: () => layer.namedParameters(), layer };
          // Parameters of recurrences lie in a table of their own, where no other can stand for them.
          if (device.kind !== "webgpu" && !(layer instanceof nn.GRU || layer instanceof nn.LSTM))
            await checkModule(functional, inputs, { seed, runs: 1, samples: 8, ...FIRST });
          await checkCompiled(f, inputs, {
            seed,
            runs: 2,
            states: [true, false].map((training) => (call) => {
              layer.train(training);
              return call();
            }),
            tolerance: 1e-4,
            ...FIRST,
          });
        },
      },
    ]),
    ...Object.entries(COMPILED).map(([name, { f, inputs, states, tolerance, needs }]) => ({
      name: `compiled ${name}`,
      run: async () => {
        engine.setDefaultDevice(needs === undefined || device.supports(needs) ? device : reference);
        try {
          await checkCompiled(f, inputs, { seed, runs: 3, states, tolerance, ...FIRST });
        } finally {
          engine.setDefaultDevice(device);
        }
      },
    })),
    { name: "refusals", run: () => checkRefusals(device.kind === "cpu") },
    ...(device.kind === "reference" ? [] : [{ name: "memory of plans", run: checkPlansKept }]),
    ...(device.kind === "cpu"
      ? [
          { name: "memory of traces", run: checkTracesKept },
          { name: "sizes of modules", run: () => checkModuleSizes(device as engine.CpuDevice) },
        ]
      : []),
    ...(device.kind === "webgpu" ? TILES : []).map((tile) => ({
      name: `products by the tile ${tile}`,
      run: () => byTile(tile, seed),
    })),
    ...(device.kind === "webgpu" ? FOR_GPUS : []).map((name) => ({
      name: `by kernels for GPUs: ${name}`,
      run: () => byKernelsForGpus(CASES[name], seed),
    })),
    ...(device instanceof engine.WebGpuDevice
      ? [{ name: "dispatches of a cell", run: () => checkDispatches(device) }]
      : []),
    { name: "programs", run: () => checkPrograms({ ...engine, ...nn }, { runs: 200, seed, ...FIRST }) },
    { name: "graphs", run: () => graphs(5, 30) },
    {
      name: "the same bits",
      run: () =>
        checkDeterminism(
          (a, b) => [a.matmul(b).tanh().sum(0), a.sum(), b.softplus().mean(1)],
          [
            [67, 301],
            [301, 130],
          ],
          {
            ...{ device, seed, runs: 1 },
            ...FIRST,
          },
        ),
    },
    {
      name: "the same bits of rows at steps of their own",
      run: () =>
        checkDeterminism(
          manySteps,
          [
            [48, 40],
            [60, 48, 40],
            [160, 40],
          ],
          { ...{ device, seed, runs: 1 }, ...FIRST },
        ),
    },
    ...(device.kind === "cpu" ? [{ name: "side by side on one thread", run: () => onOneThread(device, seed) }] : []),
    { name: "suite", run: () => suite() },
    { name: "long graphs", run: () => graphs(14, 60) },
    {
      name: "gradient of graphs",
      run: () =>
        fc.assert(
          fc.asyncProperty(draw.graph({ steps: 4 }), async (graph) => {
            await gradcheck(
              graph.f,
              graph.inputs.map((operand) => operand.tensor()),
              { samples: 4 },
            );
          }),
          { numRuns: 10, seed, endOnFailure: true },
        ),
    },
  ];
}

export interface Asked {
  readonly device: Backend;
  readonly seed: number;
  /** Parts of names of checks that run before the others, in this order. */
  readonly first?: readonly string[];
  /** Parts of names of checks that run at all; default all. */
  readonly only?: readonly string[];
  /** Whether a check has passed already, by its name: then it does not run; default: none has. */
  readonly passed?: (name: string) => boolean;
  /** Seconds of the processor after which no check begins; default: all run. */
  readonly seconds?: number;
  /** Is told of every check what it took. */
  readonly told?: (name: string, milliseconds: number) => void;
  /** Is told of what every check finds; then the others run all the same, and what the first found is the result. */
  readonly finds?: (check: string, message: string) => void;
}

/** Runs checks until one finds something. */
export async function runChecks({
  device,
  seed,
  first = [],
  only = [],
  passed = () => false,
  seconds = Infinity,
  told,
  finds,
}: Asked): Promise<{
  readonly checks: number;
  /** How many did not run. */
  readonly left?: number;
  readonly found?: { readonly check: string; readonly message: string };
}> {
  /** Which of the words a check's name has in it, the first of them; their number where it has none. */
  const rank = (words: readonly string[], { name }: Check): number => {
    const at = words.findIndex((word) => name.toLowerCase().includes(word.toLowerCase()));
    return at < 0 ? words.length : at;
  };
  const asked = checksFor(device, seed).filter(
    (check) => !passed(check.name) && (only.length === 0 || rank(only, check) < only.length),
  );
  const ordered = asked.sort((a, b) => rank(first, a) - rank(first, b));
  let found: { readonly check: string; readonly message: string } | undefined;
  for (const [n, check] of ordered.entries()) {
    const { user, system } = process.cpuUsage();
    if (user + system > 1e6 * seconds) return { checks: n, left: ordered.length - n, found };
    const start = performance.now();
    try {
      await check.run();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      found ??= { check: check.name, message: message.slice(0, 600) };
      if (!finds) return { checks: n + 1, found };
      finds(check.name, error instanceof TypeError ? `${error.stack}` : message);
      continue;
    }
    told?.(check.name, performance.now() - start);
  }
  return { checks: ordered.length, found };
}
