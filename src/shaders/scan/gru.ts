/**
 * The GRU scan, forward and backward, for WebGPU: all time steps of one layer, one or two directions, in one dispatch.
 *
 * PyTorch's form of the cell (torch.nn.GRU; Cho et al. 2014 with the reset gate after the recurrent product):
 *   r = σ(gi_r + W_r h + b_r)   z = σ(gi_z + W_z h + b_z)   q = W_n h + b_n
 *   n = tanh(gi_n + r q)        h' = (1 - z) n + z h
 * where gi, the input's part of the gates, comes from one matrix product over all steps, outside.
 *
 * T = steps, B = batch, D = directions, H = hidden. Everything is f32 and in natural time order for both directions;
 * direction 1 starts at the last step. At a step whose mask is 0 the state is carried over and y is 0, as PyTorch does
 * for packed sequences; no gradient reaches that step's gates.
 *
 * The gradients that are plain sums are left to matrix products and reductions over the backward's outputs:
 *   dW_hh[d] = Σ_tb dgatesH[t,b,d,:]ᵀ hPrev[t,b,d,:]     (both `[T·B, D, ·]` views, batched over d)
 *   db_hh[d] = Σ_tb dgatesH[t,b,d,:]                     d(gates) = dgatesX
 */
import type { AdapterProfile, Lowering } from "../kernel.ts";
import { declareScanBuffers, operand, packKernel, packedLayout, packedOperand, packedScratch } from "./pack.ts";
import type { ScanSignature, ScanSpec } from "../../specs/scan.ts";
import { f32, perStep, segmentsOf } from "../../specs/scan.ts";
import { ACTIVATIONS, ScanText } from "./text.ts";
import { backwardDemand, chooseTile, forwardDemand } from "./tile.ts";

/**
 * Operands of `gruForward`.
 * Inputs: gates `[T,B,D,3H]` (x·W_ihᵀ + b_ih), weight `[D,3H,H]` (W_hh), bias `[D,3H]` (b_hh), h0 `[D,B,H]`, and
 * with `masked` mask `[T,B]` (0 or 1).
 * Outputs: y `[T,B,D·H]`, hn `[D,B,H]`, and for the backward saved `[T,B,D,4H]` (r, z, n, q) and hPrev `[T,B,D,H]`,
 * the state each step started from (for direction 1 the one left by step t+1).
 */
export function gruForwardSignature(spec: ScanSpec): ScanSignature {
  const { steps, batch, directions, hidden } = spec;
  return {
    inputs: [
      f32("gates", ...perStep(spec, 3 * hidden)),
      f32("weight", directions, 3 * hidden, hidden),
      f32("bias", directions, 3 * hidden),
      f32("h0", directions, segmentsOf(spec) * batch, hidden),
      ...(spec.masked ? [f32("mask", steps, batch)] : []),
    ],
    outputs: [
      f32("y", steps, batch, directions * hidden),
      f32("hn", directions, segmentsOf(spec) * batch, hidden),
      f32("saved", ...perStep(spec, 4 * hidden)),
      f32("hPrev", ...perStep(spec, hidden)),
    ],
  };
}

/**
 * Operands of `gruBackward`.
 * Inputs: dy `[T,B,D·H]`, dhn `[D,B,H]`, saved and hPrev as `gruForward` left them, weight `[D,3H,H]`, and with
 * `masked` mask `[T,B]`.
 * Outputs: dgatesX `[T,B,D,3H]` (gradient of `gates`), dgatesH `[T,B,D,3H]` (gradient of W_hh h + b_hh: the same but
 * for n, where r multiplies it), dh0 `[D,B,H]`. Both are 0 at masked steps.
 */
export function gruBackwardSignature(spec: ScanSpec): ScanSignature {
  const { steps, batch, directions, hidden } = spec;
  return {
    inputs: [
      f32("dy", steps, batch, directions * hidden),
      f32("dhn", directions, segmentsOf(spec) * batch, hidden),
      f32("saved", ...perStep(spec, 4 * hidden)),
      f32("hPrev", ...perStep(spec, hidden)),
      f32("weight", directions, 3 * hidden, hidden),
      ...(spec.masked ? [f32("mask", steps, batch)] : []),
    ],
    outputs: [
      f32("dgatesX", ...perStep(spec, 3 * hidden)),
      f32("dgatesH", ...perStep(spec, 3 * hidden)),
      f32("dh0", directions, segmentsOf(spec) * batch, hidden),
    ],
  };
}

/**
 * Lowers the forward scan; operands in the order of `gruForwardSignature`. Throws where a state is too wide.
 * @param saves false where nobody reads `saved` and `hPrev`, the largest results: they are then not written
 */
export function gruForward(spec: ScanSpec, profile: AdapterProfile, saves = true): Lowering {
  const name = "gruScan.forward";
  const signature = gruForwardSignature(spec);
  const layout = packedLayout(spec, 3, true, 1);
  const tile = chooseTile(name, spec, 3, profile, forwardDemand(3));
  const text = new ScanText(spec, 3, tile, layout);
  const { text: buffers, bindings } = declareScanBuffers(
    [
      operand(signature, "gates"),
      packedOperand(layout),
      ...(spec.masked ? [operand(signature, "mask", "scalars")] : []),
      ...["y", "hn", ...(saves ? ["saved", "hPrev"] : [])].map((output) => operand(signature, output)),
    ],
    spec.hidden,
  );
  const { batch, directions, hidden } = spec;
  const store =
    ["r", "z", "n", "sn"]
      .map((value, part) => `  store_saved(at * ${4 * hidden}u + ${part * hidden}u, q, ${value});\n`)
      .join("") + `  store_hPrev(at * ${hidden}u, q, h);\n`;
  const cell = `
fn cell(t: u32, b: u32, d: u32, q: u32, h: vec4<f32>, sr: vec4<f32>, sz: vec4<f32>, sn: vec4<f32>) -> vec4<f32> {
  let at = (t * ${batch}u + b) * ${directions}u + d;
  let gate = at * ${3 * hidden}u;
  let r = sigmoid_4(load_gates(gate, q) + sr);
  let z = sigmoid_4(load_gates(gate + ${hidden}u, q) + sz);
  let n = tanh_4(load_gates(gate + ${2 * hidden}u, q) + r * sn);
${saves ? store : ""}  let next = n + z * (h - n);
${text.maskedReturn("store_y(at * " + hidden + "u, q, vec4<f32>());", "h")}
  store_y(at * ${hidden}u, q, next);
  return next;
}
`;
  const main = text.main(`
  ${text.eachItem(`
      if (b < ${batch}u) { shared_values[slot] = packed[${text.packedState(layout, 0)}]; }`)}
  workgroupBarrier();
  var sums: array<vec4<f32>, ${text.items * 3}>;
  for (var s = 0u; s < ${text.stepCount}; s++) {
    let t = ${text.stepOfRound(false)};
${text.forwardProduct()}
    workgroupBarrier();
    ${text.eachItem(`
      if (b < ${batch}u) {
        shared_values[slot] = cell(t, b, d, q, shared_values[slot],
          sums[3u * item], sums[3u * item + 1u], sums[3u * item + 2u]);
      }`)}
    workgroupBarrier();
  }
  ${text.eachItem(`
      if (b < ${batch}u) { store_hn(${text.stateRow} * ${hidden}u, q, shared_values[slot]); }`)}
`);
  return {
    kernels: [
      packKernel("gruScan.packForward", spec, layout, signature, ["h0"]),
      { name, wgsl: buffers + text.shared(1) + ACTIVATIONS + cell + main, bindings, workgroups: text.workgroups },
    ],
    scratch: [packedScratch(layout)],
  };
}

/** Lowers the backward scan; operands in the order of `gruBackwardSignature`. Throws where a state is too wide. */
export function gruBackward(spec: ScanSpec, profile: AdapterProfile): Lowering {
  const name = "gruScan.backward";
  const signature = gruBackwardSignature(spec);
  const layout = packedLayout(spec, 3, false, 1);
  const tile = chooseTile(name, spec, 3, profile, backwardDemand(3));
  const text = new ScanText(spec, 3, tile, layout);
  const { text: buffers, bindings } = declareScanBuffers(
    [
      operand(signature, "dy"),
      operand(signature, "saved"),
      operand(signature, "hPrev"),
      packedOperand(layout),
      ...(spec.masked ? [operand(signature, "mask", "scalars")] : []),
      ...["dgatesX", "dgatesH", "dh0"].map((output) => operand(signature, output)),
    ],
    spec.hidden,
  );
  const { batch, directions, hidden } = spec;
  const cell = `
struct Gradient { g0: vec4<f32>, g1: vec4<f32>, g2: vec4<f32>, h: vec4<f32> }
fn cell(t: u32, b: u32, d: u32, q: u32, carried: vec4<f32>) -> Gradient {
  let at = (t * ${batch}u + b) * ${directions}u + d;
  let gate = at * ${3 * hidden}u;
  var out = Gradient(vec4<f32>(), vec4<f32>(), vec4<f32>(), carried);
  var dn = vec4<f32>();
  if (${text.valid}) {
    let r = load_saved(at * ${4 * hidden}u, q);
    let z = load_saved(at * ${4 * hidden}u + ${hidden}u, q);
    let n = load_saved(at * ${4 * hidden}u + ${2 * hidden}u, q);
    let recurrent = load_saved(at * ${4 * hidden}u + ${3 * hidden}u, q);
    let dh = carried + load_dy(at * ${hidden}u, q);
    dn = dh * (1.0 - z) * (1.0 - n * n);
    out.g0 = dn * recurrent * r * (1.0 - r);
    out.g1 = dh * (load_hPrev(at * ${hidden}u, q) - n) * z * (1.0 - z);
    out.g2 = dn * r;
    out.h = dh * z;
  }
  store_dgatesX(gate, q, out.g0);
  store_dgatesX(gate + ${hidden}u, q, out.g1);
  store_dgatesX(gate + ${2 * hidden}u, q, dn);
  store_dgatesH(gate, q, out.g0);
  store_dgatesH(gate + ${hidden}u, q, out.g1);
  store_dgatesH(gate + ${2 * hidden}u, q, out.g2);
  return out;
}
`;
  const main = text.main(`
  var dh: array<vec4<f32>, ${text.items}>;
  ${text.eachItem(`
      if (b < ${batch}u) { dh[item] = packed[${text.packedState(layout, 0)}]; }`)}
${text.backwardSteps(`
        let out = cell(t, b, d, q, dh[item]);
        dh[item] = out.h;`)}
  ${text.eachItem(`
      if (b < ${batch}u) { store_dh0(${text.stateRow} * ${hidden}u, q, dh[item]); }`)}
`);
  return {
    kernels: [
      packKernel("gruScan.packBackward", spec, layout, signature, ["dhn"]),
      { name, wgsl: buffers + text.backwardShared() + cell + main, bindings, workgroups: text.workgroups },
    ],
    scratch: [packedScratch(layout)],
  };
}
