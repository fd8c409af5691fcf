/**
 * The buffers of a scan, and the first small dispatch that packs the recurrent weight, with the bias and the initial
 * states, into one of vec4 whose rows are padded to whole quads: the scan then reads weights as vec4 along the axis it
 * writes, for every hidden size, and stays within 8 storage buffers.
 */
import { sizeOf } from "../../tensor/shape.ts";
import type { Binding, KernelSource } from "../kernel.ts";
import type { ValueSpec } from "../../tensor/fused.ts";
import type { GateCount } from "../../specs/cells.ts";
import type { ScanSignature, ScanSpec } from "../../specs/scan.ts";
import { placeOf, segmentsOf } from "../../specs/scan.ts";
import { quadsOf } from "./tile.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";

/** A storage buffer as the text of a scan kernel sees it. */
interface ScanBuffer {
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
  const [input, output] = [placeOf(signature.inputs, name), placeOf(signature.outputs, name)];
  if (input >= 0) {
    return { name, role: "in", index: input, elements: sizeOf(signature.inputs[input].shape), access: "read", kind };
  }
  const elements = sizeOf(signature.outputs[output].shape);
  return { name, role: "out", index: output, elements, access: "read_write", kind };
}

/** `@binding` declarations, and functions that load and store a quad of each buffer at an element offset. */
export function declareScanBuffers(
  buffers: readonly ScanBuffer[],
  hidden: number,
): { text: string; bindings: Binding[] } {
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
export function stateRows(spec: ScanSpec): number {
  return spec.directions * segmentsOf(spec) * spec.batch;
}

export function packedScratch(layout: PackedLayout): ValueSpec {
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
  const { text, bindings } = declareScanBuffers(
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
  const width = Math.min(groups, MAX_WORKGROUPS);
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
