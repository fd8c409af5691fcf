/**
 * The LSTM scan, forward and backward, for WebGPU: all time steps of one layer, one or two directions, in one dispatch.
 *
 * PyTorch's form of the cell (torch.nn.LSTM; Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000):
 *   i, f, o = σ(gi + W h + b)   g = tanh(gi_g + W_g h + b_g)   c' = f c + i g   h' = o tanh(c')
 * with the gates stacked i, f, g, o, and gi, the input's part, from one matrix product over all steps, outside.
 *
 * T = steps, B = batch, D = directions, H = hidden. Everything is f32 and in natural time order for both directions;
 * direction 1 starts at the last step. At a step whose mask is 0 both states are carried over and y is 0, as PyTorch
 * does for packed sequences; no gradient reaches that step's gates.
 *
 * The gradients that are plain sums are left to matrix products and reductions over the backward's outputs:
 *   dW_hh[d] = Σ_tb dgates[t,b,d,:]ᵀ hPrev[t,b,d,:]     (both `[T·B, D, ·]` views, batched over d)
 *   db_hh[d] = Σ_tb dgates[t,b,d,:]                     d(gates) = dgates
 */
import type { AdapterProfile, Lowering } from "../kernel.ts";
import { declareScanBuffers, operand, packKernel, packedLayout, packedOperand, packedScratch } from "./pack.ts";
import type { ScanSignature, ScanSpec } from "../../specs/scan.ts";
import { f32, perStep, segmentsOf } from "../../specs/scan.ts";
import { ACTIVATIONS, ScanText } from "./text.ts";
import { backwardDemand, chooseTile, forwardDemand } from "./tile.ts";

/**
 * Operands of `lstmForward`.
 * Inputs: gates `[T,B,D,4H]` (x·W_ihᵀ + b_ih), weight `[D,4H,H]` (W_hh), bias `[D,4H]` (b_hh), h0 and c0 `[D,B,H]`,
 * and with `masked` mask `[T,B]` (0 or 1).
 * Outputs: y `[T,B,D·H]`, hn and cn `[D,B,H]`, and for the backward saved `[T,B,D,5H]` (i, f, g, o and the cell state
 * the step started from) and hPrev `[T,B,D,H]`, the hidden state it started from (for direction 1 the one left by
 * step t+1).
 */
export function lstmForwardSignature(spec: ScanSpec): ScanSignature {
  const { steps, batch, directions, hidden } = spec;
  return {
    inputs: [
      f32("gates", ...perStep(spec, 4 * hidden)),
      f32("weight", directions, 4 * hidden, hidden),
      f32("bias", directions, 4 * hidden),
      f32("h0", directions, segmentsOf(spec) * batch, hidden),
      f32("c0", directions, segmentsOf(spec) * batch, hidden),
      ...(spec.masked ? [f32("mask", steps, batch)] : []),
    ],
    outputs: [
      f32("y", steps, batch, directions * hidden),
      f32("hn", directions, segmentsOf(spec) * batch, hidden),
      f32("cn", directions, segmentsOf(spec) * batch, hidden),
      f32("saved", ...perStep(spec, 5 * hidden)),
      f32("hPrev", ...perStep(spec, hidden)),
    ],
  };
}

/**
 * Operands of `lstmBackward`.
 * Inputs: dy `[T,B,D·H]`, dhn and dcn `[D,B,H]`, saved `[T,B,D,5H]` as `lstmForward` left it, weight `[D,4H,H]`, and
 * with `masked` mask `[T,B]`.
 * Outputs: dgates `[T,B,D,4H]` (gradient of `gates`, and of W_hh h + b_hh), dh0 and dc0 `[D,B,H]`. dgates is 0 at
 * masked steps.
 */
export function lstmBackwardSignature(spec: ScanSpec): ScanSignature {
  const { steps, batch, directions, hidden } = spec;
  return {
    inputs: [
      f32("dy", steps, batch, directions * hidden),
      f32("dhn", directions, segmentsOf(spec) * batch, hidden),
      f32("dcn", directions, segmentsOf(spec) * batch, hidden),
      f32("saved", ...perStep(spec, 5 * hidden)),
      f32("weight", directions, 4 * hidden, hidden),
      ...(spec.masked ? [f32("mask", steps, batch)] : []),
    ],
    outputs: [
      f32("dgates", ...perStep(spec, 4 * hidden)),
      f32("dh0", directions, segmentsOf(spec) * batch, hidden),
      f32("dc0", directions, segmentsOf(spec) * batch, hidden),
    ],
  };
}

/**
 * Lowers the forward scan; operands in the order of `lstmForwardSignature`. Throws where a state is too wide.
 * @param saves false where nobody reads `saved` and `hPrev`, the largest results: they are then not written
 */
export function lstmForward(spec: ScanSpec, profile: AdapterProfile, saves = true): Lowering {
  const name = "lstmScan.forward";
  const signature = lstmForwardSignature(spec);
  const layout = packedLayout(spec, 4, true, 2);
  const tile = chooseTile(name, spec, 4, profile, forwardDemand(4));
  const text = new ScanText(spec, 4, tile, layout);
  const { text: buffers, bindings } = declareScanBuffers(
    [
      operand(signature, "gates"),
      packedOperand(layout),
      ...(spec.masked ? [operand(signature, "mask", "scalars")] : []),
      ...["y", "hn", "cn", ...(saves ? ["saved", "hPrev"] : [])].map((output) => operand(signature, output)),
    ],
    spec.hidden,
  );
  const { batch, directions, hidden } = spec;
  const store =
    ["i", "f", "g", "o", "last.c"]
      .map((value, part) => `  store_saved(at * ${5 * hidden}u + ${part * hidden}u, q, ${value});\n`)
      .join("") + `  store_hPrev(at * ${hidden}u, q, last.h);\n`;
  const cell = `
struct States { h: vec4<f32>, c: vec4<f32> }
fn cell(t: u32, b: u32, d: u32, q: u32, last: States,
  si: vec4<f32>, sf: vec4<f32>, sg: vec4<f32>, so: vec4<f32>) -> States {
  let at = (t * ${batch}u + b) * ${directions}u + d;
  let gate = at * ${4 * hidden}u;
  let i = sigmoid_4(load_gates(gate, q) + si);
  let f = sigmoid_4(load_gates(gate + ${hidden}u, q) + sf);
  let g = tanh_4(load_gates(gate + ${2 * hidden}u, q) + sg);
  let o = sigmoid_4(load_gates(gate + ${3 * hidden}u, q) + so);
${saves ? store : ""}  let c = f * last.c + i * g;
  let h = o * tanh_4(c);
${text.maskedReturn("store_y(at * " + hidden + "u, q, vec4<f32>());", "last")}
  store_y(at * ${hidden}u, q, h);
  return States(h, c);
}
`;
  const main = text.main(`
  var cells: array<vec4<f32>, ${text.items}>;
  ${text.eachItem(`
      if (b < ${batch}u) {
        shared_values[slot] = packed[${text.packedState(layout, 0)}];
        cells[item] = packed[${text.packedState(layout, 1)}];
      }`)}
  workgroupBarrier();
  var sums: array<vec4<f32>, ${text.items * 4}>;
  for (var s = 0u; s < ${text.stepCount}; s++) {
    let t = ${text.stepOfRound(false)};
${text.forwardProduct()}
    workgroupBarrier();
    ${text.eachItem(`
      if (b < ${batch}u) {
        let next = cell(t, b, d, q, States(shared_values[slot], cells[item]),
          sums[4u * item], sums[4u * item + 1u], sums[4u * item + 2u], sums[4u * item + 3u]);
        shared_values[slot] = next.h;
        cells[item] = next.c;
      }`)}
    workgroupBarrier();
  }
  ${text.eachItem(`
      if (b < ${batch}u) {
        store_hn(${text.stateRow} * ${hidden}u, q, shared_values[slot]);
        store_cn(${text.stateRow} * ${hidden}u, q, cells[item]);
      }`)}
`);
  return {
    kernels: [
      packKernel("lstmScan.packForward", spec, layout, signature, ["h0", "c0"]),
      { name, wgsl: buffers + text.shared(1) + ACTIVATIONS + cell + main, bindings, workgroups: text.workgroups },
    ],
    scratch: [packedScratch(layout)],
  };
}

/** Lowers the backward scan; operands in the order of `lstmBackwardSignature`. Throws where a state is too wide. */
export function lstmBackward(spec: ScanSpec, profile: AdapterProfile): Lowering {
  const name = "lstmScan.backward";
  const signature = lstmBackwardSignature(spec);
  const layout = packedLayout(spec, 4, false, 2);
  const tile = chooseTile(name, spec, 4, profile, backwardDemand(4));
  const text = new ScanText(spec, 4, tile, layout);
  const { text: buffers, bindings } = declareScanBuffers(
    [
      operand(signature, "dy"),
      operand(signature, "saved"),
      packedOperand(layout),
      ...(spec.masked ? [operand(signature, "mask", "scalars")] : []),
      ...["dgates", "dh0", "dc0"].map((output) => operand(signature, output)),
    ],
    spec.hidden,
  );
  const { batch, directions, hidden } = spec;
  const saved = (part: number): string => `load_saved(at * ${5 * hidden}u + ${part * hidden}u, q)`;
  const cell = `
struct Gradient { g0: vec4<f32>, g1: vec4<f32>, g2: vec4<f32>, g3: vec4<f32>, h: vec4<f32>, c: vec4<f32> }
fn cell(t: u32, b: u32, d: u32, q: u32, dhCarried: vec4<f32>, dcCarried: vec4<f32>) -> Gradient {
  let at = (t * ${batch}u + b) * ${directions}u + d;
  let gate = at * ${4 * hidden}u;
  var out = Gradient(vec4<f32>(), vec4<f32>(), vec4<f32>(), vec4<f32>(), dhCarried, dcCarried);
  if (${text.valid}) {
    let i = ${saved(0)};
    let f = ${saved(1)};
    let g = ${saved(2)};
    let o = ${saved(3)};
    let c = ${saved(4)};
    let squashed = tanh_4(f * c + i * g);
    let dh = dhCarried + load_dy(at * ${hidden}u, q);
    let dc = dcCarried + dh * o * (1.0 - squashed * squashed);
    out.g0 = dc * g * i * (1.0 - i);
    out.g1 = dc * c * f * (1.0 - f);
    out.g2 = dc * i * (1.0 - g * g);
    out.g3 = dh * squashed * o * (1.0 - o);
    out.h = vec4<f32>();
    out.c = dc * f;
  }
  store_dgates(gate, q, out.g0);
  store_dgates(gate + ${hidden}u, q, out.g1);
  store_dgates(gate + ${2 * hidden}u, q, out.g2);
  store_dgates(gate + ${3 * hidden}u, q, out.g3);
  return out;
}
`;
  const main = text.main(`
  var dh: array<vec4<f32>, ${text.items}>;
  var dc: array<vec4<f32>, ${text.items}>;
  ${text.eachItem(`
      if (b < ${batch}u) {
        dh[item] = packed[${text.packedState(layout, 0)}];
        dc[item] = packed[${text.packedState(layout, 1)}];
      }`)}
${text.backwardSteps(`
        let out = cell(t, b, d, q, dh[item], dc[item]);
        dh[item] = out.h;
        dc[item] = out.c;`)}
  ${text.eachItem(`
      if (b < ${batch}u) {
        store_dh0(${text.stateRow} * ${hidden}u, q, dh[item]);
        store_dc0(${text.stateRow} * ${hidden}u, q, dc[item]);
      }`)}
`);
  return {
    kernels: [
      packKernel("lstmScan.packBackward", spec, layout, signature, ["dhn", "dcn"]),
      {
        name,
        wgsl: buffers + text.backwardShared() + ACTIVATIONS + cell + main,
        bindings,
        workgroups: text.workgroups,
      },
    ],
    scratch: [packedScratch(layout)],
  };
}
