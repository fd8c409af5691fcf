/**
 * Matrix multiplication as a WGSL generator: C[b, m, n] = Σ_k A[b, m, k] · B[b, k, n], in f32.
 *
 * The generator knows the loop nest and nothing of memory: operands are read through callbacks that return WGSL
 * expressions (so strides, broadcast batches, transposes and fused elementwise work are the caller's), and results
 * are written through callbacks too. Two loop nests exist, one a file: register tiles (./matmul-registers.ts) for
 * adapters that run on a CPU, shared-memory tiles (./matmul-shared.ts) for real GPUs. Sizes are compiled in.
 *
 * Tiling after K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM TOMS 34(3), 2008
 * (which operand stays where), and NVIDIA's CUTLASS (block, thread and sliced-k levels on a GPU).
 */
import type { AdapterProfile } from "../kernel.ts";
import { isTransposed } from "./choice.ts";
import { emitRegisters } from "./registers.ts";
import { emitShared } from "./shared.ts";
import type { SubgroupMatrixTile } from "./subgroup-matrix.ts";
import { emitSubgroupMatrix } from "./subgroup-matrix.ts";

export { candidateTiles, chooseTile } from "./choice.ts";

/** Along which axis of an operand four neighbours can be read at once; `outer` is m for A and n for B. */
export type VectorAxis = "k" | "outer" | "none";

/** How to read one operand. */
export interface MatmulOperand {
  /** With `none` only `load` is used. The extent along the axis is a multiple of 4 otherwise. */
  readonly vectorAxis: VectorAxis;
  /** WGSL expression (f32) of one element. Arguments are WGSL i32 expressions, always in range. */
  load(batch: string, outer: string, k: string): string;
  /** WGSL expression (vec4<f32>) of 4 neighbours along `vectorAxis`, from an index that is a multiple of 4. */
  load4(batch: string, outer: string, k: string): string;
}

/** One product. */
export interface MatmulSpec {
  /** For the comment at the head of the text and for errors. */
  readonly name: string;
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: MatmulOperand;
  readonly b: MatmulOperand;
  /** Directives, bindings and functions, put before `main`. Their names must not begin with `mm_`. */
  readonly declarations: string;
  /** True when 4 neighbours along n are stored at once; n is then a multiple of 4. */
  readonly storeVector: boolean;
  /** WGSL statements that store one element. `value` is an f32 name, indices are in range. */
  store(batch: string, m: string, n: string, value: string): string;
  /** WGSL statements that store 4 neighbours along n, the first at a multiple of 4. `value` is a vec4<f32> name. */
  store4(batch: string, m: string, n: string, value: string): string;
}

/** What the choice of a tile depends on. */
export interface MatmulProblem {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly a: { readonly vectorAxis: VectorAxis };
  readonly b: { readonly vectorAxis: VectorAxis };
}

/** Each invocation computes a block of C in registers and reads A and B straight from their buffers. */
export interface RegisterTile {
  readonly kind: "registers";
  /** Rows of C an invocation. */
  readonly rows: number;
  /** Groups of 4 columns of C an invocation. */
  readonly columns: number;
  /** Invocations along n and along m. */
  readonly workgroup: readonly [number, number];
}

/** A workgroup stages blocks of A and B in workgroup memory; each invocation computes a block of C from there. */
export interface SharedTile {
  readonly kind: "shared";
  /** Rows of C an invocation, a multiple of 4. */
  readonly rows: number;
  /** Groups of 4 columns of C an invocation. */
  readonly columns: number;
  /** Invocations along n and along m of one slice. */
  readonly workgroup: readonly [number, number];
  /** Depth of the staged blocks, a multiple of 4 and of `slices`. */
  readonly kTile: number;
  /** Groups of invocations that share out the depth of every block and add up their results at the end. */
  readonly slices: number;
}

export type MatmulTile = RegisterTile | SharedTile | SubgroupMatrixTile;

/** A kernel's text and its number of workgroups. */
export interface MatmulKernel {
  readonly wgsl: string;
  readonly workgroups: [number, number, number];
  /** What the text is made of, where products with as many invocations may share a kernel. */
  readonly parts?: KernelParts;
}

/** The inside of a kernel: statements that use `mm_group` (vec3<u32>), `mm_index` (u32) and the workgroup's `mm_shared`. */
export interface KernelParts {
  readonly title: string;
  readonly invocations: number;
  /** Length of `mm_shared`, in vec4<f32>. One array, for products that share a kernel to use the same memory. */
  readonly sharedVectors: number;
  readonly body: readonly string[];
}

/** A short, unique text for a tile, for example `registers 16x4 8x1`; `parseTile` reads it back. */
export function formatTile(tile: MatmulTile): string {
  const [x, y] = tile.kind === "subgroup-matrix" ? tile.subgroups : tile.workgroup;
  const base = `${tile.kind} ${tile.rows}x${tile.columns} ${x}x${y}`;
  if (tile.kind === "registers") return base;
  if (tile.kind === "shared") return `${base} k${tile.kTile}${tile.slices > 1 ? ` s${tile.slices}` : ""}`;
  const { m, n, k } = tile.shape;
  return `${base} k${tile.kTile} ${m}x${n}x${k} of ${tile.subgroupSize}, ${tile.dialect}`;
}

/**
 * Reads `registers ROWSxCOLUMNS XxY` or `shared ROWSxCOLUMNS XxY kDEPTH [sSLICES]`.
 * @throws Error when the text is neither, or the numbers make no tile.
 */
export function parseTile(text: string): MatmulTile {
  const registers = /^registers (\d+)x(\d+) (\d+)x(\d+)$/.exec(text.trim());
  const shared = /^shared (\d+)x(\d+) (\d+)x(\d+) k(\d+)(?: s(\d+))?$/.exec(text.trim());
  const found = registers ?? shared;
  if (found === null) {
    throw new Error(
      `matmul tile "${text}" is not understood; write "registers ROWSxCOLUMNS XxY" or ` +
        '"shared ROWSxCOLUMNS XxY kDEPTH [sSLICES]", for example "registers 16x4 8x1" or "shared 8x2 16x16 k8"',
    );
  }
  const [rows, columns, x, y, kTile, slices] = found.slice(1).map((part) => Number(part ?? 1));
  const tile: MatmulTile =
    registers !== null
      ? { kind: "registers", rows, columns, workgroup: [x, y] }
      : { kind: "shared", rows, columns, workgroup: [x, y], kTile, slices };
  checkTile("matmul", tile);
  return tile;
}

/** Threads in a workgroup of the tile. */
export function invocationsOf(tile: MatmulTile): number {
  if (tile.kind === "subgroup-matrix") return tile.subgroups[0] * tile.subgroups[1] * tile.subgroupSize;
  return tile.workgroup[0] * tile.workgroup[1] * (tile.kind === "shared" ? tile.slices : 1);
}

/**
 * The kernel of a product with the given tile.
 * @throws Error when a size is no positive integer, an operand's vector axis has an extent that 4 does not divide, or
 * the tile does not fit the adapter.
 */
export function emitMatmul(spec: MatmulSpec, tile: MatmulTile, profile: AdapterProfile): MatmulKernel {
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
    case "subgroup-matrix":
      return emitSubgroupMatrix(oriented, tile, profile.maxWorkgroupBytes);
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
      : tile.kind === "shared"
        ? [tile.rows, tile.columns, ...tile.workgroup, tile.kTile, tile.slices]
        : [tile.rows, tile.columns, ...tile.subgroups, tile.kTile, tile.subgroupSize];
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
