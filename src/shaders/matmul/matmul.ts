/**
 * Matrix multiplication as a WGSL generator: C[b, m, n] = Σ_k A[b, m, k] · B[b, k, n], in f32.
 *
 * The generator knows the loop nest and nothing of memory: operands are read through callbacks that return WGSL
 * expressions (so strides, broadcast batches, transposes and fused elementwise work are the caller's), and results
 * are written through callbacks too. Two loop nests exist, one a file: register tiles (./registers.ts) for
 * adapters that run on a CPU, shared-memory tiles (./shared.ts) for real GPUs. Sizes are compiled in.
 *
 * Tiling after K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008
 * (which operand stays where), and NVIDIA's CUTLASS (block, thread and sliced-k levels on a GPU).
 */
import type { AdapterProfile } from "../kernel.ts";
import { isTransposed } from "./choice.ts";
import type { MatmulShader, MatmulSpec, MatmulTile, VectorAxis } from "./product.ts";
import { emitRegisters } from "./registers.ts";
import { emitShared } from "./shared.ts";

export { candidateTiles, chooseTile } from "./choice.ts";

/** A short, unique text for a tile, for example `registers 16x4 8x1`; `parseTile` reads it back. */
export function formatTile(tile: MatmulTile): string {
  const [x, y] = tile.workgroup;
  const base = `${tile.kind} ${tile.rows}x${tile.columns} ${x}x${y}`;
  if (tile.kind === "registers") return base;
  return `${base} k${tile.kTile}${tile.slices > 1 ? ` s${tile.slices}` : ""}${tile.double ? " d" : ""}`;
}

/**
 * Reads `registers ROWSxCOLUMNS XxY` or `shared ROWSxCOLUMNS XxY kDEPTH [sSLICES] [d]`; `d` is for double buffering.
 * @throws Error when the text is neither, or the numbers make no tile.
 */
export function parseTile(text: string): MatmulTile {
  const registers = /^registers (\d+)x(\d+) (\d+)x(\d+)$/.exec(text.trim());
  const shared = /^shared (\d+)x(\d+) (\d+)x(\d+) k(\d+)(?: s(\d+))?( d)?$/.exec(text.trim());
  const found = registers ?? shared;
  if (found === null) {
    throw new Error(
      `matmul tile "${text}" is not understood; write "registers ROWSxCOLUMNS XxY" or ` +
        '"shared ROWSxCOLUMNS XxY kDEPTH [sSLICES] [d]", for example "registers 16x4 8x1" or "shared 8x2 16x16 k8"',
    );
  }
  const [rows, columns, x, y, kTile, slices] = found.slice(1, 7).map((part) => Number(part ?? 1));
  const tile: MatmulTile =
    registers !== null
      ? { kind: "registers", rows, columns, workgroup: [x, y] }
      : { kind: "shared", rows, columns, workgroup: [x, y], kTile, slices, ...(found[7] ? { double: true } : {}) };
  checkTile("matmul", tile);
  return tile;
}

/** Threads in a workgroup of the tile. */
export function invocationsOf(tile: MatmulTile): number {
  return tile.workgroup[0] * tile.workgroup[1] * (tile.kind === "shared" ? tile.slices : 1);
}

/**
 * The kernel of a product with the given tile.
 * @throws Error when a size is no positive integer, an operand's vector axis has an extent that 4 does not divide, or
 * the tile does not fit the adapter.
 */
export function emitMatmul(spec: MatmulSpec, tile: MatmulTile, profile: AdapterProfile): MatmulShader {
  checkSpec(spec);
  checkTile(spec.name, tile);
  const invocations = invocationsOf(tile);
  if (invocations > profile.maxInvocations) {
    throw new Error(
      `${spec.name}: tile "${formatTile(tile)}" has ${invocations} invocations a workgroup, the adapter ` +
        `allows ${profile.maxInvocations}; take a smaller workgroup`,
    );
  }
  const oriented = isTransposed(spec) ? transposeSpec(spec) : spec;
  switch (tile.kind) {
    case "registers":
      return emitRegisters(oriented, tile);
    case "shared":
      return emitShared(oriented, tile, profile.maxWorkgroupBytes);
  }
}

function transposeSpec(spec: MatmulSpec): MatmulSpec {
  return {
    ...spec,
    m: spec.n,
    n: spec.m,
    a: spec.b,
    b: spec.a,
    storeVector: false,
    store: (batch, m, n, value) => spec.store(batch, n, m, value),
  };
}

function checkSpec(spec: MatmulSpec): void {
  const { name, batch, m, n, k } = spec;
  const sizes = { batch, m, n, k };
  for (const [size, value] of Object.entries(sizes)) {
    if (!Number.isInteger(value) || value < 1) {
      throw new Error(
        `${name}: ${size} is ${value}; matmul needs whole sizes of at least 1 (an empty product has no ` +
          "kernel: fill the output instead)",
      );
    }
  }
  const check = (which: string, axis: VectorAxis, outer: number, outerName: string): void => {
    const [extent, extentName] = axis === "k" ? [k, "k"] : [outer, outerName];
    if (axis !== "none" && extent % 4 !== 0) {
      throw new Error(
        `${name}: operand ${which} has vectorAxis "${axis}", but ${extentName} = ${extent} is no ` +
          'multiple of 4; use "none"',
      );
    }
  };
  check("A", spec.a.vectorAxis, m, "m");
  check("B", spec.b.vectorAxis, n, "n");
  if (spec.storeVector && n % 4 !== 0) {
    throw new Error(`${name}: storeVector is set, but n = ${n} is no multiple of 4; clear it`);
  }
}

function checkTile(name: string, tile: MatmulTile): void {
  const numbers =
    tile.kind === "registers"
      ? [tile.rows, tile.columns, ...tile.workgroup]
      : [tile.rows, tile.columns, ...tile.workgroup, tile.kTile, tile.slices];
  const bad = (rule: string): never => {
    throw new Error(`${name}: tile "${formatTile(tile)}" is no tile: ${rule}`);
  };
  if (numbers.some((value) => !Number.isInteger(value) || value < 1)) bad("its numbers must be whole and at least 1");
  if (tile.kind === "shared") {
    if (tile.rows % 4 !== 0) bad(`rows = ${tile.rows} must be a multiple of 4`);
    if (tile.kTile % 4 !== 0) bad(`kTile = ${tile.kTile} must be a multiple of 4`);
    if (tile.kTile % tile.slices !== 0) bad(`kTile = ${tile.kTile} must be a multiple of slices = ${tile.slices}`);
  }
}
