/** What a product is to its WGSL: how operands are read and results stored, the tiles it may be cut into, and its text. */

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
  /** Two areas of workgroup memory by turns: the next blocks are on their way while these are multiplied. */
  readonly double?: boolean;
}

export type MatmulTile = RegisterTile | SharedTile;

/** A kernel's text and its number of workgroups. */
export interface MatmulShader {
  readonly wgsl: string;
  readonly workgroups: [number, number, number];
  /** What the text is made of, where products with as many invocations may share a kernel. */
  readonly parts?: ShaderParts;
}

/** The inside of a kernel: statements that use `mm_group` (vec3<u32>), `mm_index` (u32) and the workgroup's `mm_shared`. */
export interface ShaderParts {
  readonly title: string;
  readonly invocations: number;
  /** Length of `mm_shared`, in vec4<f32>. One array, for products that share a kernel to use the same memory. */
  readonly sharedVectors: number;
  readonly body: readonly string[];
}
