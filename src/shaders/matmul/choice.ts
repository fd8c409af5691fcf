/**
 * Which tile a product gets: the cheapest of many by a model of what its kernel costs.
 *
 * The cost is relative: multiply-adds done, padding included, times what each costs when its loads are counted in,
 * divided by how much of the adapter the workgroups keep busy. Big tiles load little for each multiply-add, small ones
 * waste less at the edges and give more workgroups. The constants for CPU-backed adapters are fitted to measurements
 * (bench/matmul-tiles.ts); those for real GPUs follow from the width of their shared-memory and arithmetic pipes, and
 * the autotuner (./autotune.ts) corrects them where it runs.
 */
import type { AdapterProfile } from "../kernel.ts";
import type { MatmulProblem, MatmulTile, RegisterTile, SharedTile, VectorAxis } from "./product.ts";
import { sharedBytes } from "./shared.ts";

/** The tile to use when nothing was measured. */
export function chooseTile(problem: MatmulProblem, profile: AdapterProfile): MatmulTile {
  return candidateTiles(problem, profile, 1)[0];
}

/**
 * The `count` tiles that promise most, the best first: what an autotuner should measure. At most two of a shape of
 * results an invocation, since tiles that differ in their workgroups alone are mostly alike. On a GPU the last third are
 * the first ones with double buffering, which the model says nothing about.
 */
export function candidateTiles(problem: MatmulProblem, profile: AdapterProfile, count = 6): MatmulTile[] {
  const turned = oriented(problem);
  const tiles =
    profile.kind === "cpu"
      ? registerTiles(profile).map((tile) => ({ tile, cost: registerCost(turned, tile) }))
      : sharedTiles(turned, profile).map((tile) => ({ tile, cost: sharedCost(turned, tile) }));
  const alike = new Map<string, number>();
  const sorted = tiles
    .sort((p, q) => p.cost - q.cost)
    .filter(({ tile }) => {
      const shape = `${tile.rows}x${tile.columns}`;
      alike.set(shape, (alike.get(shape) ?? 0) + 1);
      return alike.get(shape)! <= 2;
    })
    .slice(0, count)
    .map(({ tile }) => tile);
  const axes: [VectorAxis, VectorAxis] = [turned.a.vectorAxis, turned.b.vectorAxis];
  const doubled = sorted
    .flatMap((tile): SharedTile[] => (tile.kind === "shared" ? [{ ...tile, double: true }] : []))
    .filter((tile) => sharedBytes(tile, ...axes) <= profile.maxWorkgroupBytes)
    .slice(0, Math.floor(count / 3));
  return [...sorted.slice(0, count - doubled.length), ...doubled];
}

/**
 * True when Cᵀ = Bᵀ·Aᵀ is computed instead. Lanes of a vec4 lie along n; with fewer than 4 columns most would idle,
 * while a matrix-vector product has rows in plenty.
 */
export function isTransposed(problem: { readonly m: number; readonly n: number }): boolean {
  return problem.n < 4 && problem.m > problem.n;
}

/** The product as its kernel computes it. */
function oriented(problem: MatmulProblem): MatmulProblem {
  return isTransposed(problem) ? { ...problem, m: problem.n, n: problem.m, a: problem.b, b: problem.a } : problem;
}

/** Loads for each multiply-add of a block of `rows` × 4·`columns`. */
function loadsPerProduct(rows: number, columns: number): number {
  return (rows + 4 * columns) / (4 * rows * columns);
}

function roundUp(size: number, block: number): number {
  return Math.ceil(size / block) * block;
}

/** Workgroups that are wanted on a CPU-backed adapter, so that its threads finish together. */
const CPU_WORKGROUPS = 8;
/** Workgroups' worth of time lost while the last ones run. */
const CPU_TAIL = 1;
/** A load in units of a multiply-add (fitted over tiles from 4x2 to 16x4: 7 on SwiftShader, 4 on lavapipe). */
const CPU_LOAD = 5.5;
/** Starting a workgroup, in units of a vec4 multiply-add. */
const CPU_WORKGROUP = 300;
/**
 * Compiling a kernel for each of its accumulators, in the same units: 8 ms on SwiftShader, spread over 2000 runs. It
 * decides for small products only, whose time does not matter.
 */
const CPU_COMPILE = 3000;

function registerTiles(profile: AdapterProfile): RegisterTile[] {
  const tiles: RegisterTile[] = [];
  for (const rows of [16, 8, 4, 2, 1]) {
    for (const columns of [4, 3, 2, 1]) {
      for (const workgroup of [
        [4, 2],
        [8, 1],
        [2, 4],
        [1, 8],
        [8, 8],
      ] as const) {
        if (workgroup[0] * workgroup[1] > profile.maxInvocations) continue;
        tiles.push({ kind: "registers", rows, columns, workgroup });
      }
    }
  }
  return tiles;
}

/** Workgroups that compute a product, and the work of one on its block. */
function registerWork({ batch, m, n, k, a }: MatmulProblem, tile: RegisterTile): { blocks: number; each: number } {
  const {
    rows,
    columns,
    workgroup: [x, y],
  } = tile;
  // A block that is not of 4 rows cannot use that 4 rows are neighbours in memory.
  const scattered = a.vectorAxis === "outer" && rows % 4 !== 0 ? 0.2 : 0;
  const product = 1 + CPU_LOAD * loadsPerProduct(rows, columns) * (1 + scattered);
  return {
    blocks: batch * Math.ceil(m / (rows * y)) * Math.ceil(n / (4 * columns * x)),
    each: rows * y * columns * x * k * product + CPU_WORKGROUP,
  };
}

function registerCost(problem: MatmulProblem, tile: RegisterTile): number {
  const { blocks, each } = registerWork(problem, tile);
  return (roundUp(blocks, CPU_WORKGROUPS) + CPU_TAIL) * each + CPU_COMPILE * tile.rows * tile.columns;
}

/** The tile of a product that one workgroup computes alone, over and over. */
export function ownTile(
  problem: MatmulProblem,
  invocations: number,
  times: number,
  profile: AdapterProfile,
): RegisterTile {
  const turned = oriented(problem);
  const cost = (tile: RegisterTile): number => {
    const { blocks, each } = registerWork(turned, tile);
    return times * blocks * each + CPU_COMPILE * tile.rows * tile.columns;
  };
  const tiles: RegisterTile[] = [];
  for (const rows of [16, 8, 4, 2, 1]) {
    for (const columns of profile.kind === "cpu" ? [4, 3, 2, 1] : [1]) {
      for (let y = 1; y <= invocations; y *= 2) {
        tiles.push({ kind: "registers", rows, columns, workgroup: [invocations / y, y] });
      }
    }
  }
  return tiles.sort((p, q) => cost(p) - cost(q))[0];
}

/** Invocations that fill a middling GPU. */
const GPU_INVOCATIONS = 16384;
/** A vec4-wide read of workgroup memory, and a read of global memory, in units of a multiply-add. */
const GPU_SHARED_LOAD = 4;
const GPU_GLOBAL_LOAD = 8;
/** The two barriers of a step, in units of a multiply-add of one invocation. */
const GPU_BARRIERS = 30;

function sharedTiles(problem: MatmulProblem, profile: AdapterProfile): SharedTile[] {
  const tiles: SharedTile[] = [];
  const axes: [VectorAxis, VectorAxis] = [problem.a.vectorAxis, problem.b.vectorAxis];
  for (const [rows, columns] of [
    [8, 2],
    [8, 1],
    [4, 2],
    [4, 1],
  ]) {
    for (const x of [16, 8, 4]) {
      for (const y of [16, 8, 4, 2, 1]) {
        for (const slices of [1, 2, 4, 8, 16]) {
          const threads = x * y * slices;
          // Fewer than 64 invocations leave lanes of wide subgroups idle.
          if (threads < 64 || threads > Math.min(256, profile.maxInvocations)) continue;
          for (const kTile of [8, 16, 32, 64]) {
            if (kTile % slices !== 0) continue;
            const tile: SharedTile = { kind: "shared", rows, columns, workgroup: [x, y], kTile, slices };
            if (sharedBytes(tile, ...axes) <= profile.maxWorkgroupBytes) tiles.push(tile);
          }
        }
      }
    }
  }
  return tiles;
}

function sharedCost({ batch, m, n, k }: MatmulProblem, tile: SharedTile): number {
  const {
    rows,
    columns,
    workgroup: [x, y],
    kTile,
    slices,
  } = tile;
  const blockM = rows * y;
  const blockN = 4 * columns * x;
  const workgroups = batch * Math.ceil(m / blockM) * Math.ceil(n / blockN);
  const products = 4 * rows * columns;
  const each =
    1 +
    GPU_SHARED_LOAD * loadsPerProduct(rows, columns) +
    (GPU_GLOBAL_LOAD * (blockM + blockN)) / (blockM * blockN) +
    GPU_BARRIERS / ((products * kTile) / slices);
  // Adding up the slices costs two barriers and a write and a read of all results for each.
  const sums = (slices - 1) * (GPU_BARRIERS + 2 * products) * x * y;
  const work = blockM * blockN * roundUp(k, kTile) * each + sums;
  const threads = workgroups * x * y * slices;
  return (workgroups * work) / Math.min(1, threads / GPU_INVOCATIONS);
}
