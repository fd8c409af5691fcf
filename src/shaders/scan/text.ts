/**
 * The text that the GRU and LSTM scans share: one persistent dispatch that carries a recurrent state over all steps.
 *
 * A workgroup owns one direction and a tile of batch rows, so steps need barriers inside the workgroup only, never a
 * dispatch of their own (persistent kernels: Diamos et al., "Persistent RNNs", ICML 2016). An invocation owns
 * `rowTile` rows times `quadsPerLane` groups of four hidden units ("quads") of every gate; its sums stay in registers,
 * and what the next product reads (the state, or backward the gate gradients) lies in workgroup memory.
 */
import type { PackedLayout } from "./pack.ts";
import { stateRows } from "./pack.ts";
import type { GateCount } from "../../specs/cells.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import { segmentsOf } from "../../specs/scan.ts";
import type { ScanTile } from "./tile.ts";
import { quadsOf } from "./tile.ts";

/** The pieces of text a scan kernel is put together from, for one tile. */
export class ScanText {
  readonly quads: number;
  readonly rows: number;
  /** Row-and-quad pairs of an invocation: the length of its private arrays. */
  readonly items: number;
  readonly #span: number;

  constructor(
    readonly spec: ScanSpec,
    readonly gates: GateCount,
    readonly tile: ScanTile,
    layout: PackedLayout,
  ) {
    this.quads = quadsOf(spec.hidden);
    this.#span = layout.span;
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

  /** Declares arrays of a vec4 an item, an invocation's own. */
  privateArrays(names: readonly string[]): string {
    return names.map((name) => `  var ${name}: array<vec4<f32>, ${this.items}>;\n`).join("");
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
    const sequence =
      segments && starts
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
  get #ragged(): boolean {
    return this.tile.lanes * this.tile.quadsPerLane !== this.quads;
  }

  /**
   * Runs `body` for every row and quad of the invocation that exists in the tile. In scope: `q`, `b` (the row in the
   * batch, maybe past its end), `slot` (the pair's place in `shared_values`) and `item` (its place in private arrays).
   */
  eachItem(body: string): string {
    const { lanes, quadsPerLane, rowTile } = this.tile;
    const present = this.#ragged ? `if (q < ${this.quads}u) ` : "";
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
        .map(
          (n) => `{
    const r = ${Math.floor(n / quadsPerLane)}u;
    const c = ${n % quadsPerLane}u;
    ${block.replace("let item", "const item")}
    }`,
        )
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
    const { gates, quads } = this;
    const span = this.#span;
    const bias0 = 4 * quads * gates * span;
    const start = (c: number): string => this.#blockStart("d", c, bias0 + gates * span);
    const { quadsPerLane } = this.tile;
    const biases = range(gates).flatMap((g) =>
      range(quadsPerLane).map((c) => `    let bias_${g}_${c} = packed[${start(c)} + ${bias0 + g * span}u];\n`),
    );
    return (
      biases.join("") +
      this.#eachSum(gates, (r, g, c) => `    var a_${r}_${g}_${c} = bias_${g}_${c};\n`) +
      this.#product(gates, "0u", start, gates * span) +
      this.#eachSum(gates, (r, g, c) => `    sums[${(r * quadsPerLane + c) * gates + g}u] = a_${r}_${g}_${c};\n`)
    );
  }

  /** Where the weight of quad `q${c}` begins in part `part` of the packed weight, `block` vec4 a block of quads. */
  #blockStart(part: string, c: number, block: number): string {
    const blocks = Math.ceil(this.quads / this.#span);
    return `(${part} * ${blocks}u + q${c} / ${this.#span}u) * ${block}u + q${c} % ${this.#span}u`;
  }

  get #allShared(): boolean {
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
    const first = this.#allShared ? gates : 1;
    const keep = range(gates)
      .map((g) =>
        g < first
          ? `shared_values[${g * plane}u + slot] = out.g${g};`
          : `pending[${gates - 1}u * item + ${g - 1}u] = out.g${g};`,
      )
      .join("\n        ");
    const start = (c: number): string => this.#blockStart(`(d * ${gates}u + gate)`, c, 4 * quads * this.#span);
    const product =
      this.#eachSum(1, (r, g, c) => `      var a_${r}_${g}_${c} = dh[${r * this.tile.quadsPerLane + c}u];\n`) +
      this.#product(1, this.#allShared ? `gate * ${plane}u` : "0u", start, this.#span) +
      this.#eachSum(1, (r, g, c) => `      dh[${r * this.tile.quadsPerLane + c}u] = a_${r}_${g}_${c};\n`);
    const nextGate = this.eachItem(`shared_values[slot] = pending[${gates - 1}u * item + gate];`);
    const products = this.#allShared
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
    return `${this.#allShared ? "" : `  var pending: array<vec4<f32>, ${items * (gates - 1)}>;\n`}
  for (var s = 0u; s < ${this.stepCount}; s++) {
    let t = ${this.stepOfRound(true)};
    ${this.eachItem(`
      if (b < ${batch}u) {${cell}
        ${keep}
      }`)}
${products}
  }`;
  }

  #eachSum(gates: number, body: (row: number, gate: number, c: number) => string): string {
    const { rowTile, quadsPerLane } = this.tile;
    return range(rowTile)
      .flatMap((r) => range(gates).flatMap((g) => range(quadsPerLane).map((c) => body(r, g, c))))
      .join("");
  }

  /**
   * Adds to the sums `a_ROW_GATE_C` the product of the shared values (from vec4 `sharedBase` on) with the packed
   * weight: for chunk `c`, unit `u` of the read axis and gate `g` it lies at `start(c) + u * unitStride + g * span`.
   */
  #product(gates: number, sharedBase: string, start: (c: number) => string, unitStride: number): string {
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
          text += `      let ${w} = packed[at_${c} + ${n * unitStride + g * this.#span}u];\n`;
          for (const r of range(rowTile)) text += `      a_${r}_${g}_${c} += x_${r}.${axis} * ${w};\n`;
        }
      }
    });
    for (const c of range(quadsPerLane)) text += `      at_${c} += ${4 * unitStride}u;\n`;
    return `${text}    }\n`;
  }
}

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);
