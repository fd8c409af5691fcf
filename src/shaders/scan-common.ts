/**
 * What the GRU and LSTM scans share: one persistent dispatch that carries a recurrent state over all time steps.
 *
 * A workgroup owns one direction and a tile of batch rows, so steps need barriers inside the workgroup only, never a
 * dispatch of their own (persistent kernels: Diamos et al., "Persistent RNNs", ICML 2016). An invocation owns
 * `rowTile` rows times `quadsPerLane` groups of four hidden units ("quads") of every gate; its sums stay in registers,
 * and what the next product reads (the state, or backward the gate gradients) lies in workgroup memory.
 *
 * A first small dispatch packs the recurrent weight, with the bias and the initial states, into one buffer of vec4
 * whose rows are padded to whole quads: the scan then reads weights as vec4 along the axis it writes, for every hidden
 * size, and stays within 8 storage buffers.
 */
import type { Shape } from "../tensor/shape.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { AdapterProfile, Binding, KernelSource, TensorSpec } from "./kernel.ts";

/** Sizes of one layer's scan. `directions` 2 adds a scan that runs from the last step to the first. */
export interface ScanSpec {
  readonly steps: number;
  readonly batch: number;
  readonly directions: number;
  readonly hidden: number;
  /** With a mask input `[steps, batch]`: where it is 0 the state is carried over and the output is 0. */
  readonly masked: boolean;
  /**
   * Lengths, adding up to `steps`, of independent sequences that follow each other along the time axis and are run
   * side by side; absent, one sequence of all steps. States are then `[directions, segments * batch, hidden]`,
   * sequence after sequence.
   */
  readonly segments?: readonly number[];
}

/** An operand with the name the documentation and the kernel text use. */
export interface NamedSpec extends TensorSpec {
  readonly name: string;
}

/** A lowering's operands, in the order of `Binding.index` of the roles `in` and `out`. */
export interface ScanSignature {
  readonly inputs: readonly NamedSpec[];
  readonly outputs: readonly NamedSpec[];
}

/** Gates of a cell as PyTorch stacks them: GRU r, z, n; LSTM i, f, g, o. */
export type GateCount = 3 | 4;

/** How the rows and hidden units of a scan are dealt out to invocations. */
export interface ScanTile {
  /** Batch rows of an invocation. */
  readonly rowTile: number;
  /** Groups of invocations in a workgroup that take different rows. */
  readonly rowGroups: number;
  /** Invocations that share the hidden units of a row. */
  readonly lanes: number;
  /** Quads of hidden units an invocation computes; quad `lane + c * lanes` for `c < quadsPerLane`. */
  readonly quadsPerLane: number;
  /** Gates whose values lie in workgroup memory at a time (backward; 1 forward, where the state is what is shared). */
  readonly sharedGates: number;
}

export const f32 = (name: string, ...shape: number[]): NamedSpec => ({ name, shape, dtype: "f32" });

/** Throws, naming `op`, unless every size is a positive integer and there are one or two directions. */
export function checkScanSpec(op: string, spec: ScanSpec): void {
  for (const key of ["steps", "batch", "hidden"] as const) {
    const size = spec[key];
    if (!Number.isInteger(size) || size < 1) {
      throw new Error(`${op}: ${key} is ${size}; it must be a positive integer (an empty scan needs no kernel)`);
    }
  }
  if (spec.directions !== 1 && spec.directions !== 2) {
    throw new Error(`${op}: directions is ${spec.directions}; it must be 1 (forward in time) or 2 (both ways)`);
  }
  const { segments, steps } = spec;
  const sum = segments?.reduce((a, b) => a + b, 0);
  if (segments && (segments.some((n) => !Number.isInteger(n) || n < 1) || sum !== steps)) {
    throw new Error(`${op}: segments ${segments.join(", ")} must be positive integers whose sum is the ${steps} steps`);
  }
}

/** Number of independent sequences along the time axis. */
export const segmentsOf = (spec: ScanSpec): number => spec.segments?.length ?? 1;

export const quadsOf = (hidden: number): number => Math.ceil(hidden / 4);

/** What a pass asks of the tile: gates summed at a time, vec4 sums of a large and a huge product, gates shared. */
export interface TileDemand {
  readonly gatesPerSum: number;
  readonly sums: readonly [large: number, huge: number];
  readonly sharedGates: number;
}

export const forwardDemand = (gates: GateCount): TileDemand =>
  ({ gatesPerSum: gates, sums: [64, 96], sharedGates: 1 });

// Fewer than forward: lavapipe's compile time grows steeply with the quads an invocation sums.
export const backwardDemand = (gates: GateCount): TileDemand =>
  ({ gatesPerSum: 1, sums: [32, 64], sharedGates: gates });

/** Workgroups that keep a few cores busy, and invocations that fill a SIMD register, on a software driver. */
const CPU_WORKGROUPS = 4;
const CPU_LANES = 8;
/** Multiply-adds of a pass from which larger tiles, whose text takes seconds to compile, repay themselves. */
const LARGE_PRODUCT = 2e7;
const HUGE_PRODUCT = 1e9;

/**
 * Chooses a tile for the adapter. Throws, naming `op`, when not even one row fits its workgroup memory.
 *
 * A software driver emulates every load lane by lane (tens of cycles a vector), so it gets as many sums per load as
 * compile time allows. A real GPU gets few rows an invocation and a workgroup: many workgroups hide latency.
 */
export function chooseTile(
  op: string,
  spec: ScanSpec,
  gates: GateCount,
  profile: AdapterProfile,
  demand: TileDemand,
): ScanTile {
  const { steps, batch, directions, hidden } = spec;
  const quads = quadsOf(hidden);
  const rowBytes = quads * 16;
  if (rowBytes > profile.maxWorkgroupBytes) {
    throw new Error(
      `${op}: one state of hidden size ${hidden} takes ${rowBytes} bytes of workgroup memory and the adapter has ` +
        `${profile.maxWorkgroupBytes}; use a hidden size of at most ${Math.floor(profile.maxWorkgroupBytes / 16) * 4}`,
    );
  }
  const cpu = profile.kind === "cpu";
  const product = steps * batch * directions * gates * hidden * hidden;
  const large = product >= LARGE_PRODUCT;
  const wantedRows = !cpu || !large ? 4 : Math.max(4, Math.min(16, Math.ceil((batch * directions) / CPU_WORKGROUPS)));
  const rowsThatFit = (shared: number): number => Math.floor(profile.maxWorkgroupBytes / (rowBytes * shared));
  const sharedGates = rowsThatFit(demand.sharedGates) >= Math.min(wantedRows, batch) ? demand.sharedGates : 1;
  // Tiles of equal size: 17 rows are 9 and 8, not 16 and 1.
  const mostRows = Math.min(wantedRows, rowsThatFit(sharedGates), batch);
  const rows = Math.ceil(batch / Math.ceil(batch / mostRows));

  const sums = product >= HUGE_PRODUCT ? demand.sums[1] : large ? demand.sums[0] : 16;
  const worthwhile = Math.floor(sums / (rows * demand.gatesPerSum));
  const perLane = cpu ? Math.min(4, worthwhile, Math.floor(quads / CPU_LANES)) : 1;
  const lanes = Math.ceil(quads / Math.max(1, perLane, Math.ceil(quads / profile.maxInvocations)));
  const quadsPerLane = Math.ceil(quads / lanes);

  const wantedGroups = cpu ? Math.floor(CPU_LANES / lanes) : Math.ceil(rows / 2);
  const rowGroups = Math.max(1, Math.min(rows, wantedGroups, Math.floor(profile.maxInvocations / lanes)));
  return { rowTile: Math.ceil(rows / rowGroups), rowGroups, lanes, quadsPerLane, sharedGates };
}

/** A storage buffer as the text of a scan kernel sees it. */
export interface ScanBuffer {
  readonly name: string;
  readonly role: Binding["role"];
  readonly index: number;
  /** Number of f32 elements. */
  readonly elements: number;
  readonly access: Binding["access"];
  /** `vectors`: declared as vec4. `rows`: rows of hidden units, read by `load_NAME`, written by `store_NAME`. */
  readonly kind: "scalars" | "vectors" | "rows";
}

/** The buffer of the operand of that name. */
export function operand(signature: ScanSignature, name: string, kind: ScanBuffer["kind"] = "rows"): ScanBuffer {
  const input = signature.inputs.findIndex((spec) => spec.name === name);
  const output = signature.outputs.findIndex((spec) => spec.name === name);
  if (input >= 0) {
    return { name, role: "in", index: input, elements: sizeOf(signature.inputs[input].shape), access: "read", kind };
  }
  const elements = sizeOf(signature.outputs[output].shape);
  return { name, role: "out", index: output, elements, access: "read_write", kind };
}

/** `@binding` declarations, and functions that load and store a quad of each buffer at an element offset. */
export function declareBuffers(buffers: readonly ScanBuffer[], hidden: number): { text: string; bindings: Binding[] } {
  const aligned = hidden % 4 === 0;
  const bindings: Binding[] = [];
  let text = "";
  buffers.forEach((buffer, position) => {
    const { name, role, index, access, elements, kind } = buffer;
    bindings.push({ role, index, access });
    const vectors = kind === "vectors" || (kind === "rows" && aligned);
    const type = vectors ? `array<vec4<f32>, ${elements / 4}>` : `array<f32, ${elements}>`;
    text += `@group(0) @binding(${position}) var<storage, ${access}> ${name}: ${type};\n`;
    if (kind === "rows") text += quadAccess(name, hidden, aligned, access === "read_write");
  });
  return { text, bindings };
}

/** `load_NAME(base, quad)` or `store_NAME(base, quad, value)`: units 4·quad.. of the row that starts at `base`. */
function quadAccess(name: string, hidden: number, aligned: boolean, writes: boolean): string {
  if (aligned) {
    return writes
      ? `fn store_${name}(base: u32, quad: u32, value: vec4<f32>) { ${name}[base / 4u + quad] = value; }\n`
      : `fn load_${name}(base: u32, quad: u32) -> vec4<f32> { return ${name}[base / 4u + quad]; }\n`;
  }
  const parts = ["x", "y", "z", "w"].map((axis, n) => {
    const move = writes ? `${name}[at + ${n}u] = value.${axis};` : `value.${axis} = ${name}[at + ${n}u];`;
    return `  if (4u * quad + ${n}u < ${hidden}u) { ${move} }\n`;
  });
  return writes
    ? `fn store_${name}(base: u32, quad: u32, value: vec4<f32>) {\n  let at = base + 4u * quad;\n${parts.join("")}}\n`
    : `fn load_${name}(base: u32, quad: u32) -> vec4<f32> {\n  let at = base + 4u * quad;\n` +
        `  var value = vec4<f32>();\n${parts.join("")}  return value;\n}\n`;
}

/**
 * Sigmoid and tanh of a vec4 for any finite input. Arguments are clamped where f32 has already saturated: `exp` would
 * overflow, and SwiftShader's `tanh` is NaN from 89 on.
 */
export const ACTIVATIONS = `
fn sigmoid4(x: vec4<f32>) -> vec4<f32> {
  return 1.0 / (1.0 + exp(-clamp(x, vec4<f32>(-80.0), vec4<f32>(80.0))));
}
fn tanh4(x: vec4<f32>) -> vec4<f32> {
  return tanh(clamp(x, vec4<f32>(-15.0), vec4<f32>(15.0)));
}
`;

/**
 * Neighbouring quads that lie together in the packed weight. The invocations that a driver runs in lockstep then read
 * one contiguous stream along the product, which caches prefetch.
 */
const SPAN = 8;

/** Where the parts of the packed buffer lie, in vec4. */
export interface PackedLayout {
  readonly forward: boolean;
  readonly gates: GateCount;
  readonly span: number;
  /** Offset of the first state `[directions, batch, quads]`. */
  readonly states: number;
  readonly length: number;
}

/**
 * Layout of the packed buffer.
 * Forward: weight `[directions, blocks, hidden (read), gates, span]`, quads `blocks * span` of the written axis, with
 * the bias as one more row of the read axis. Backward: `[directions, gates, blocks, hidden (read), span]`. Then the
 * states `[n, directions, segments * batch, quads]`. Both hidden axes are padded with zeros.
 */
export function packedLayout(spec: ScanSpec, gates: GateCount, forward: boolean, stateCount: number): PackedLayout {
  const quads = quadsOf(spec.hidden);
  const span = Math.min(SPAN, quads);
  const states = spec.directions * gates * (4 * quads + (forward ? 1 : 0)) * Math.ceil(quads / span) * span;
  return { forward, gates, span, states, length: states + stateCount * stateRows(spec) * quads };
}

/** Rows of a state: one for every direction, sequence and batch row. */
function stateRows(spec: ScanSpec): number {
  return spec.directions * segmentsOf(spec) * spec.batch;
}

export function packedScratch(layout: PackedLayout): TensorSpec {
  return { shape: [layout.length, 4], dtype: "f32" };
}

/** The packed buffer as the scan kernel reads it. */
export function packedOperand(layout: PackedLayout): ScanBuffer {
  return { name: "packed", role: "scratch", index: 0, elements: layout.length * 4, access: "read", kind: "vectors" };
}

/** The kernel that fills the packed buffer from `weight`, `bias` (forward) and the `states`, all named operands. */
export function packKernel(
  name: string,
  spec: ScanSpec,
  layout: PackedLayout,
  signature: ScanSignature,
  states: readonly string[],
): KernelSource {
  const { hidden } = spec;
  const { gates, forward, span } = layout;
  const quads = quadsOf(hidden);
  const sources = [...(forward ? ["weight", "bias"] : ["weight"]), ...states];
  const { text, bindings } = declareBuffers(
    [
      ...sources.map((source) => operand(signature, source, "scalars")),
      { ...packedOperand(layout), access: "read_write" },
    ],
    hidden,
  );

  const padded = 4 * quads;
  const blocks = Math.ceil(quads / span);
  const each = (value: (unit: string) => string): string =>
    ["x", "y", "z", "w"]
      .map((axis, n) => `if (unit + ${n}u < ${hidden}u) { value.${axis} = ${value(`(unit + ${n}u)`)}; }`)
      .join("\n    ");
  const weightPart = forward
    ? `let gate = row % ${gates}u;
    let read = row / ${gates}u % ${padded + 1}u;
    let block = row / ${gates * (padded + 1)}u % ${blocks}u;
    let first = (row / ${gates * (padded + 1) * blocks}u * ${gates}u + gate) * ${hidden}u;
    let unit = 4u * (block * ${span}u + index % ${span}u);
    if (read < ${hidden}u) {
    ${each((unit) => `weight[(first + ${unit}) * ${hidden}u + read]`)}
    } else if (read == ${padded}u) {
    ${each((unit) => `bias[first + ${unit}]`)}
    }`
    : `let read = row % ${padded}u;
    let block = row / ${padded}u % ${blocks}u;
    let first = row / ${padded * blocks}u * ${hidden}u;
    let unit = 4u * (block * ${span}u + index % ${span}u);
    if (read < ${hidden}u) {
    ${each((unit) => `weight[(first + read) * ${hidden}u + ${unit}]`)}
    }`;
  const stateLength = stateRows(spec) * quads;
  const stateParts = states
    .map((state, n) => {
      const from = layout.states + n * stateLength;
      return ` else if (index < ${from + stateLength}u) {
    let unit = 4u * ((index - ${from}u) % ${quads}u);
    let first = (index - ${from}u) / ${quads}u * ${hidden}u;
    ${each((unit) => `${state}[first + ${unit}]`)}
  }`;
    })
    .join("");

  const size = 64;
  const groups = Math.ceil(layout.length / size);
  const width = Math.min(groups, 65535);
  const wgsl = `${text}
@compute @workgroup_size(${size})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let index = id.y * ${width * size}u + id.x;
  if (index >= ${layout.length}u) { return; }
  var value = vec4<f32>();
  if (index < ${layout.states}u) {
    let row = index / ${span}u;
    ${weightPart}
  }${stateParts}
  packed[index] = value;
}
`;
  return { name, wgsl, bindings, workgroups: [width, Math.ceil(groups / width), 1] };
}

/** The pieces of text a scan kernel is put together from, for one tile. */
export class ScanText {
  readonly quads: number;
  readonly rows: number;
  /** Row-and-quad pairs of an invocation: the length of its private arrays. */
  readonly items: number;
  private readonly span: number;

  constructor(readonly spec: ScanSpec, readonly gates: GateCount, readonly tile: ScanTile, layout: PackedLayout) {
    this.quads = quadsOf(spec.hidden);
    this.span = layout.span;
    this.rows = tile.rowTile * tile.rowGroups;
    this.items = tile.rowTile * tile.quadsPerLane;
  }

  get workgroups(): [number, number, number] {
    return [Math.ceil(this.spec.batch / this.rows), this.spec.directions, segmentsOf(this.spec)];
  }

  /** Steps of this workgroup's sequence. */
  get stepCount(): string {
    return this.spec.segments ? "stepCount" : `${this.spec.steps}u`;
  }

  /** The step that round `s` of the loop over time computes, along the direction's order or (`backward`) against it. */
  stepOfRound(backward: boolean): string {
    const last = `${this.stepCount} - 1u - s`;
    const inSequence = backward ? `select(${last}, s, d == 1u)` : `select(s, ${last}, d == 1u)`;
    return this.spec.segments ? `firstStep + ${inSequence}` : inSequence;
  }

  /** Row of batch row `b` in a state. */
  get stateRow(): string {
    const { batch } = this.spec;
    const segments = segmentsOf(this.spec);
    return segments > 1 ? `((d * ${segments}u + group.z) * ${batch}u + b)` : `(d * ${batch}u + b)`;
  }

  /** Declares `shared_values` for `vectors` vec4 a row and quad. */
  shared(vectors: number): string {
    return `var<workgroup> shared_values: array<vec4<f32>, ${this.rows * this.quads * vectors}>;\n`;
  }

  /** The entry point with `d` (direction), `lane`, `row0` (first row in the tile), `batch0`, quads `q0`, `q1`, .. */
  main(body: string): string {
    const { lanes, rowGroups, rowTile, quadsPerLane } = this.tile;
    // A lane without a last quad sums its neighbour's weights and stores nothing.
    const quads = range(quadsPerLane)
      .map((c) => `  let q${c} = min(lane + ${c * lanes}u, ${this.quads - 1}u);\n`)
      .join("");
    const { segments } = this.spec;
    const starts = segments?.map((_, i) => segments.slice(0, i).reduce((a, b) => a + b, 0));
    const table = (values: readonly number[]): string =>
      `array<u32, ${values.length}>(${values.map((n) => `${n}u`).join(", ")})`;
    // Indexed by the workgroup's number, so the loop over time stays uniform around its barriers.
    const sequence = segments && starts
      ? `  var lengths = ${table(segments)};\n  var starts = ${table(starts)};\n` +
        `  let stepCount = lengths[group.z];\n  let firstStep = starts[group.z];\n`
      : "";
    return `
@compute @workgroup_size(${lanes * rowGroups})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) invocation: u32) {
  let d = group.y;
  let lane = invocation % ${lanes}u;
  let row0 = invocation / ${lanes}u * ${rowTile}u;
  let batch0 = group.x * ${this.rows}u + row0;
${sequence}${quads}${body}}
`;
  }

  /** Some lanes have no last quad. */
  private get ragged(): boolean {
    return this.tile.lanes * this.tile.quadsPerLane !== this.quads;
  }

  /**
   * Runs `body` for every row and quad of the invocation that exists in the tile. In scope: `q`, `b` (the row in the
   * batch, maybe past its end), `slot` (the pair's place in `shared_values`) and `item` (its place in private arrays).
   */
  eachItem(body: string): string {
    const { lanes, quadsPerLane, rowTile } = this.tile;
    const present = this.ragged ? `if (q < ${this.quads}u) ` : "";
    const block = `{
      let item = r * ${quadsPerLane}u + c;
      let q = lane + c * ${lanes}u;
      let b = batch0 + r;
      let slot = (row0 + r) * ${this.quads}u + q;
      ${present}{ ${body} }
    }`;
    // Constant indices keep a GPU's private arrays in registers; more copies would take software drivers too long to
    // compile.
    if (this.items <= 2) {
      return range(this.items)
        .map((n) => `{
    const r = ${Math.floor(n / quadsPerLane)}u;
    const c = ${n % quadsPerLane}u;
    ${block.replace("let item", "const item")}
    }`)
        .join("\n    ");
    }
    return `for (var r = 0u; r < ${rowTile}u; r++) { for (var c = 0u; c < ${quadsPerLane}u; c++) ${block} }`;
  }

  /** Index in the packed buffer of quad `q` of the n-th state's row `b`. */
  packedState(layout: PackedLayout, n: number): string {
    return `${layout.states + n * stateRows(this.spec) * this.quads}u + ${this.stateRow} * ${this.quads}u + q`;
  }

  /** The condition that step `t` of row `b` counts. */
  get valid(): string {
    return this.spec.masked ? `mask[t * ${this.spec.batch}u + b] != 0.0` : "true";
  }

  /** With a mask: at a step that does not count, run `statement` and return `value`. */
  maskedReturn(statement: string, value: string): string {
    return this.spec.masked ? `  if (!(${this.valid})) { ${statement} return ${value}; }` : "";
  }

  /** bias + W·state of every gate, into `sums[item * gates + gate]`. */
  forwardProduct(): string {
    const { gates, quads, span } = this;
    const bias0 = 4 * quads * gates * span;
    const start = (c: number): string => this.blockStart("d", c, bias0 + gates * span);
    const { quadsPerLane } = this.tile;
    const biases = range(gates).flatMap((g) =>
      range(quadsPerLane).map((c) => `    let bias_${g}_${c} = packed[${start(c)} + ${bias0 + g * span}u];\n`),
    );
    return (
      biases.join("") +
      this.eachSum(gates, (r, g, c) => `    var a_${r}_${g}_${c} = bias_${g}_${c};\n`) +
      this.product(gates, "0u", start, gates * span) +
      this.eachSum(gates, (r, g, c) => `    sums[${(r * quadsPerLane + c) * gates + g}u] = a_${r}_${g}_${c};\n`)
    );
  }

  /** Where the weight of quad `q${c}` begins in part `part` of the packed weight, `block` vec4 a block of quads. */
  private blockStart(part: string, c: number, block: number): string {
    const blocks = Math.ceil(this.quads / this.span);
    return `(${part} * ${blocks}u + q${c} / ${this.span}u) * ${block}u + q${c} % ${this.span}u`;
  }

  private get allShared(): boolean {
    return this.tile.sharedGates === this.gates;
  }

  backwardShared(): string {
    return this.shared(this.tile.sharedGates);
  }

  /**
   * The loop over time of the backward pass: `cell` computes `out` (fields g0, g1, ..) for an item and leaves in its
   * `dh` the part of the gradient that does not go through the gates; the product of the gates' gradients with the
   * weight is added to it. Gates go through workgroup memory all at once, or one after the other where they do not fit.
   */
  backwardSteps(cell: string): string {
    const { gates, quads, rows, items } = this;
    const { batch } = this.spec;
    const plane = rows * quads;
    const first = this.allShared ? gates : 1;
    const keep = range(gates)
      .map((g) =>
        g < first
          ? `shared_values[${g * plane}u + slot] = out.g${g};`
          : `pending[${gates - 1}u * item + ${g - 1}u] = out.g${g};`,
      )
      .join("\n        ");
    const start = (c: number): string => this.blockStart(`(d * ${gates}u + gate)`, c, 4 * quads * this.span);
    const product =
      this.eachSum(1, (r, g, c) => `      var a_${r}_${g}_${c} = dh[${r * this.tile.quadsPerLane + c}u];\n`) +
      this.product(1, this.allShared ? `gate * ${plane}u` : "0u", start, this.span) +
      this.eachSum(1, (r, g, c) => `      dh[${r * this.tile.quadsPerLane + c}u] = a_${r}_${g}_${c};\n`);
    const nextGate = this.eachItem(`shared_values[slot] = pending[${gates - 1}u * item + gate];`);
    const products = this.allShared
      ? `    workgroupBarrier();
    for (var gate = 0u; gate < ${gates}u; gate++) {
${product}    }
    workgroupBarrier();`
      : `    for (var gate = 0u; gate < ${gates}u; gate++) {
      workgroupBarrier();
${product}      workgroupBarrier();
      if (gate < ${gates - 1}u) {
        ${nextGate}
      }
    }`;
    return `${this.allShared ? "" : `  var pending: array<vec4<f32>, ${items * (gates - 1)}>;\n`}
  for (var s = 0u; s < ${this.stepCount}; s++) {
    let t = ${this.stepOfRound(true)};
    ${this.eachItem(`
      if (b < ${batch}u) {${cell}
        ${keep}
      }`)}
${products}
  }`;
  }

  private eachSum(gates: number, body: (row: number, gate: number, c: number) => string): string {
    const { rowTile, quadsPerLane } = this.tile;
    return range(rowTile)
      .flatMap((r) => range(gates).flatMap((g) => range(quadsPerLane).map((c) => body(r, g, c))))
      .join("");
  }

  /**
   * Adds to the sums `a_ROW_GATE_C` the product of the shared values (from vec4 `sharedBase` on) with the packed
   * weight: for chunk `c`, unit `u` of the read axis and gate `g` it lies at `start(c) + u * unitStride + g * span`.
   */
  private product(gates: number, sharedBase: string, start: (c: number) => string, unitStride: number): string {
    const { rowTile, quadsPerLane } = this.tile;
    let text = "";
    for (const c of range(quadsPerLane)) text += `    var at_${c} = ${start(c)};\n`;
    text += `    let origin = ${sharedBase} + row0 * ${this.quads}u;\n`;
    text += `    for (var k = 0u; k < ${this.quads}u; k++) {\n`;
    for (const r of range(rowTile)) {
      text += `      let x_${r} = shared_values[origin + k + ${r * this.quads}u];\n`;
    }
    ["x", "y", "z", "w"].forEach((axis, n) => {
      for (const g of range(gates)) {
        for (const c of range(quadsPerLane)) {
          const w = `w_${axis}_${g}_${c}`;
          text += `      let ${w} = packed[at_${c} + ${n * unitStride + g * this.span}u];\n`;
          for (const r of range(rowTile)) text += `      a_${r}_${g}_${c} += x_${r}.${axis} * ${w};\n`;
        }
      }
    });
    for (const c of range(quadsPerLane)) text += `      at_${c} += ${4 * unitStride}u;\n`;
    return `${text}    }\n`;
  }
}

export const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

/** Shape of a tensor with the scan's time, batch and direction axes and `width` values each. */
export const perStep = (spec: ScanSpec, width: number): Shape => [spec.steps, spec.batch, spec.directions, width];
