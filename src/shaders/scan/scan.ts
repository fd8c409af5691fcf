/**
 * The scans of `ops/scan.ts`, forward and backward, for WebGPU and any gated cell: all time steps of one layer, one or
 * two directions, in one dispatch. Operands are those of `forwardSignature` and `backwardSignature`.
 *
 * Everything is f32 and in natural time order for both directions; direction 1 starts at the last step. At a step whose
 * mask is 0 the states are carried over and y is 0, as PyTorch does for packed sequences; no cotangent reaches that
 * step's gates.
 */
import { forwardStep } from "../../specs/cells.ts";
import type { CellForms, GatedCell } from "../../specs/cells.ts";
import { backwardSignature, forwardSignature, keptParts } from "../../specs/scan.ts";
import type { ScanSpec } from "../../specs/scan.ts";
import type { AdapterProfile, Lowering } from "../kernel.ts";
import { vectorForms } from "../print/forms.ts";
import { helperText } from "../print/helpers.ts";
import { declareScanBuffers, operand, packKernel, packedLayout, packedOperand, packedScratch } from "./pack.ts";
import { ScanText } from "./text.ts";
import { backwardDemand, chooseTile, forwardDemand } from "./tile.ts";

/** A builder of a cell's text, the statements it has made, and the functions that they call. */
function cellForms(): { forms: CellForms<string>; statements: readonly string[]; functions: () => string } {
  const { forms, statements } = vectorForms();
  const called = new Set<string>();
  const activation = (name: string) => (x: string) => {
    called.add(name);
    return `${name}_4(${x})`;
  };
  return {
    forms: { ...forms, sigmoid: activation("sigmoid"), tanh: activation("tanh") },
    statements,
    functions: () => [...called].map((name) => `${helperText(name)}\n`).join(""),
  };
}

const fields = (names: readonly string[]): string => names.map((name) => `${name}: vec4<f32>`).join(", ");

/**
 * Lowers the forward scan. Throws where a state is too wide.
 * @param saves false where nobody reads `saved` and `hPrev`, the largest results: they are then not written
 */
export function scanForward(cell: GatedCell, spec: ScanSpec, profile: AdapterProfile, saves = true): Lowering {
  const { gates, states } = cell;
  const name = `${cell.name}.forward`;
  const signature = forwardSignature(cell, spec);
  const layout = packedLayout(spec, gates, true, states.length);
  const tile = chooseTile(name, spec, gates, profile, forwardDemand(gates));
  const text = new ScanText(spec, gates, tile, layout);
  const last = states.map((state) => `${state}n`);
  const { text: buffers, bindings } = declareScanBuffers(
    [
      operand(signature, "gates"),
      packedOperand(layout),
      ...(spec.masked ? [operand(signature, "mask", "scalars")] : []),
      ...["y", ...last, ...(saves ? ["saved", "hPrev"] : [])].map((output) => operand(signature, output)),
    ],
    spec.hidden,
  );
  const { batch, directions, hidden } = spec;
  const { forms, statements, functions } = cellForms();
  const after = forwardStep(forms, cell, {
    input: (gate) => `load_gates(at * ${gates * hidden}u + ${gate * hidden}u, q)`,
    recurrent: (gate) => `sum_${gate}`,
    state: (k) => `before.${states[k]}`,
  });
  const kept = [...after.kept, ...states.slice(1).map((state) => `before.${state}`)];
  const store =
    kept
      .map((value, part) => `  store_saved(at * ${kept.length * hidden}u + ${part * hidden}u, q, ${value});\n`)
      .join("") + `  store_hPrev(at * ${hidden}u, q, before.h);\n`;
  const sums = Array.from({ length: gates }, (_, gate) => `sum_${gate}`);
  const step = `
struct States { ${fields(states)} }
fn cell(t: u32, b: u32, d: u32, q: u32, before: States, ${fields(sums)}) -> States {
  let at = (t * ${batch}u + b) * ${directions}u + d;
${statements.join("\n")}
  let after = States(${after.states.join(", ")});
${saves ? store : ""}${text.maskedReturn("store_y(at * " + hidden + "u, q, vec4<f32>());", "before")}
  store_y(at * ${hidden}u, q, after.h);
  return after;
}
`;
  // h lies where the product reads it; what else is carried is an invocation's own.
  const places = states.map((state, k) => (k === 0 ? "shared_values[slot]" : `own_${state}[item]`));
  const main = text.main(`
${text.privateArrays(states.slice(1).map((state) => `own_${state}`))}
  ${text.eachItem(`
      if (b < ${batch}u) { ${places.map((place, k) => `${place} = packed[${text.packedState(layout, k)}];`).join(" ")} }`)}
  workgroupBarrier();
  var sums: array<vec4<f32>, ${text.items * gates}>;
  for (var s = 0u; s < ${text.stepCount}; s++) {
    let t = ${text.stepOfRound(false)};
${text.forwardProduct()}
    workgroupBarrier();
    ${text.eachItem(`
      if (b < ${batch}u) {
        let after = cell(t, b, d, q, States(${places.join(", ")}),
          ${sums.map((_, gate) => `sums[${gates}u * item + ${gate}u]`).join(", ")});
        ${places.map((place, k) => `${place} = after.${states[k]};`).join(" ")}
      }`)}
    workgroupBarrier();
  }
  ${text.eachItem(`
      if (b < ${batch}u) {
        ${last.map((output, k) => `store_${output}(${text.stateRow} * ${hidden}u, q, ${places[k]});`).join(" ")}
      }`)}
`);
  return {
    kernels: [
      packKernel(
        `${cell.name}.packForward`,
        spec,
        layout,
        signature,
        states.map((state) => `${state}0`),
      ),
      { name, wgsl: buffers + text.shared(1) + functions() + step + main, bindings, workgroups: text.workgroups },
    ],
    scratch: [packedScratch(layout)],
  };
}

/** Lowers the backward scan. Throws where a state is too wide. */
export function scanBackward(cell: GatedCell, spec: ScanSpec, profile: AdapterProfile): Lowering {
  const { gates, states } = cell;
  const name = `${cell.name}.backward`;
  const signature = backwardSignature(cell, spec);
  const layout = packedLayout(spec, gates, false, states.length);
  const tile = chooseTile(name, spec, gates, profile, backwardDemand(gates));
  const text = new ScanText(spec, gates, tile, layout);
  const results = cell.scaled ? ["dgates", "dgatesH"] : ["dgates"];
  const first = states.map((state) => `d${state}0`);
  const { text: buffers, bindings } = declareScanBuffers(
    [
      ...["dy", "saved", ...(cell.readsState ? ["hPrev"] : [])].map((input) => operand(signature, input)),
      packedOperand(layout),
      ...(spec.masked ? [operand(signature, "mask", "scalars")] : []),
      ...[...results, ...first].map((output) => operand(signature, output)),
    ],
    spec.hidden,
  );
  const { batch, directions, hidden } = spec;
  const { forms, statements, functions } = cellForms();
  const parts = keptParts(cell);
  const kept = (part: number): string => `load_saved(at * ${parts * hidden}u + ${part * hidden}u, q)`;
  const dh = forms.name(`carried.h + load_dy(at * ${hidden}u, q)`);
  const given = cell.backward(forms, {
    kept,
    state: (k) => (k === 0 ? `load_hPrev(at * ${hidden}u, q)` : kept(cell.kept + k - 1)),
    cotangent: (k) => (k === 0 ? dh : `carried.${states[k]}`),
  });
  // A gate's two parts are one value but where another gate scales one of them.
  const own = given.input.map((value, gate) => (value === given.recurrent[gate] ? `out.g${gate}` : `x${gate}`));
  const apart = own.filter((place) => !place.startsWith("out."));
  const numbers = own.map((_, gate) => `g${gate}`);
  const stored = own.flatMap((place, gate) =>
    results.map(
      (output, i) =>
        `  store_${output}(at * ${gates * hidden}u + ${gate * hidden}u, q, ${i === 0 ? place : `out.g${gate}`});`,
    ),
  );
  const step = `
struct Carried { ${fields(states)} }
struct Cotangents { ${fields([...numbers, ...states])} }
fn cell(t: u32, b: u32, d: u32, q: u32, carried: Carried) -> Cotangents {
  let at = (t * ${batch}u + b) * ${directions}u + d;
  var out = Cotangents(${[...numbers.map(() => "vec4<f32>()"), ...states.map((state) => `carried.${state}`)].join(", ")});
${apart.map((place) => `  var ${place} = vec4<f32>();\n`).join("")}  if (${text.valid}) {
${statements.join("\n")}
${given.input.map((value, gate) => (own[gate].startsWith("out.") ? "" : `    ${own[gate]} = ${value};\n`)).join("")}
${given.recurrent.map((value, gate) => `    out.g${gate} = ${value};\n`).join("")}
${given.states.map((value, k) => `    out.${states[k]} = ${value ?? "vec4<f32>()"};\n`).join("")}
  }
${stored.join("\n")}
  return out;
}
`;
  const places = states.map((state) => `d${state}[item]`);
  const main = text.main(`
${text.privateArrays(states.map((state) => `d${state}`))}
  ${text.eachItem(`
      if (b < ${batch}u) { ${places.map((place, k) => `${place} = packed[${text.packedState(layout, k)}];`).join(" ")} }`)}
${text.backwardSteps(`
        let out = cell(t, b, d, q, Carried(${places.join(", ")}));
        ${places.map((place, k) => `${place} = out.${states[k]};`).join(" ")}`)}
  ${text.eachItem(`
      if (b < ${batch}u) {
        ${first.map((output, k) => `store_${output}(${text.stateRow} * ${hidden}u, q, ${places[k]});`).join(" ")}
      }`)}
`);
  return {
    kernels: [
      packKernel(
        `${cell.name}.packBackward`,
        spec,
        layout,
        signature,
        states.map((state) => `d${state}n`),
      ),
      {
        name,
        wgsl: buffers + text.backwardShared() + functions() + step + main,
        bindings,
        workgroups: text.workgroups,
      },
    ],
    scratch: [packedScratch(layout)],
  };
}
