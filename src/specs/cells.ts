/**
 * The gated recurrent cells: what a hidden unit of a GRU or an LSTM computes at a step, forward and backward, said once
 * to a builder. The scan's kernels of every device are such builders, and so is its meaning as a graph of tensors.
 */
import type { FormBuilder } from "../tensor/elementwise/builder.ts";

/** Arithmetic that cells are said in: an elementwise builder's, and the activations. */
export interface CellForms<V>
  extends Pick<FormBuilder<V>, "const" | "name" | "add" | "sub" | "mul" | "multiplyAdd" | "negativeMultiplyAdd"> {
  sigmoid(x: V): V;
  tanh(x: V): V;
}

/** What a unit finds at a step of the forward pass. Gates are numbered as PyTorch stacks them, states h first. */
export interface ForwardUnit<V> {
  /** The input's part of a gate: x·W_ihᵀ + b_ih. */
  input(gate: number): V;
  /** The state's part of a gate: h·W_hhᵀ + b_hh. */
  recurrent(gate: number): V;
  /** A state before the step. */
  state(k: number): V;
}

/** What a step leaves behind. */
interface ForwardResult<V> {
  /** The states after it. */
  readonly states: readonly V[];
  /** What it keeps for the backward pass. */
  readonly kept: readonly V[];
}

/** What a unit finds at a step of the backward pass. */
interface BackwardUnit<V> {
  /** What the forward pass has kept. */
  kept(part: number): V;
  /** A state before the step. */
  state(k: number): V;
  /** The cotangent of a state after the step; for h with that of the output. */
  cotangent(k: number): V;
}

/** The cotangents that a step gives. */
interface BackwardResult<V> {
  /** Of the gates' parts from the input. */
  readonly input: readonly V[];
  /** Of their parts from the state: the same values but where a gate scales that part. */
  readonly recurrent: readonly V[];
  /** Of the states before the step, but for what comes through the gates; absent where that is all. */
  readonly states: readonly (V | undefined)[];
}

/** Gates of a cell as PyTorch stacks them: GRU r, z, n; LSTM i, f, g, o. */
export type GateCount = 3 | 4;

/** A recurrent cell whose gates are linear in x and h. */
export interface GatedCell {
  /** The op's name. */
  readonly name: string;
  readonly gates: GateCount;
  /** What is carried from step to step. */
  readonly states: readonly ("h" | "c")[];
  /** Values of a unit that a step keeps for the backward pass, beside the states before it. */
  readonly kept: number;
  /** Activations of the first gates, each of its two parts' sum. They are kept, in order, before all else. */
  readonly activations: readonly ("sigmoid" | "tanh")[];
  /** The rest of the step, from the activated gates. */
  update<V>(b: CellForms<V>, unit: ForwardUnit<V>, activated: (gate: number) => V): ForwardResult<V>;
  backward<V>(b: CellForms<V>, unit: BackwardUnit<V>): BackwardResult<V>;
  /** Whether a gate scales the state's part of another, so that the cotangents of its two parts differ. */
  readonly scaled: boolean;
  /** Whether the backward pass reads h as it was before the step. */
  readonly readsState: boolean;
  /** Floating-point operations of a unit at a step beside the product. */
  readonly flops: { readonly forward: number; readonly backward: number };
}

/** An activated gate. */
export const activated = <V>(b: CellForms<V>, cell: GatedCell, unit: ForwardUnit<V>, gate: number): V =>
  b[cell.activations[gate]](b.name(b.add(unit.input(gate), unit.recurrent(gate))));

/** A step of the forward pass as a whole. */
export function forwardStep<V>(b: CellForms<V>, cell: GatedCell, unit: ForwardUnit<V>): ForwardResult<V> {
  const gates = cell.activations.map((_, gate) => b.name(activated(b, cell, unit, gate)));
  const { states, kept } = cell.update(b, unit, (gate) => gates[gate]);
  return { states, kept: [...gates, ...kept] };
}

/**
 * The gated recurrent unit (Cho et al. 2014), with the reset gate after the recurrent product as cuDNN and PyTorch have
 * it; gates r, z, n:
 *   r = σ(xᵣ + hᵣ)   z = σ(x_z + h_z)   q = h_n   n = tanh(x_n + r·q)   h' = (1 − z)·n + z·h
 * It keeps r, z, n and q.
 */
export const GRU: GatedCell = {
  name: "gruScan",
  gates: 3,
  states: ["h"],
  kept: 4,
  activations: ["sigmoid", "sigmoid"],
  update(b, unit, activated) {
    const q = b.name(unit.recurrent(2));
    const n = b.name(b.tanh(b.name(b.multiplyAdd(activated(0), q, unit.input(2)))));
    return { states: [b.multiplyAdd(activated(1), b.sub(unit.state(0), n), n)], kept: [n, q] };
  },
  backward(b, unit) {
    const [r, z, n, q] = [0, 1, 2, 3].map((part) => b.name(unit.kept(part)));
    const one = b.const(1);
    const dh = unit.cotangent(0);
    const left = b.name(b.sub(one, z));
    const dn = b.name(b.mul(b.mul(dh, left), b.sub(one, b.mul(n, n))));
    const dq = b.name(b.mul(dn, r));
    const dr = b.name(b.mul(b.mul(dq, q), b.sub(one, r)));
    const passed = b.name(b.mul(dh, z));
    const dz = b.name(b.mul(b.mul(passed, left), b.sub(unit.state(0), n)));
    return { input: [dr, dz, dn], recurrent: [dr, dz, dq], states: [passed] };
  },
  scaled: true,
  readsState: true,
  flops: { forward: 14, backward: 20 },
};

/**
 * Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000); gates i, f, g, o:
 *   i, f, o = σ(x + h)   g = tanh(x_g + h_g)   c' = f·c + i·g   h' = o·tanh(c')
 * It keeps i, f, g and o.
 */
export const LSTM: GatedCell = {
  name: "lstmScan",
  gates: 4,
  states: ["h", "c"],
  kept: 4,
  activations: ["sigmoid", "sigmoid", "tanh", "sigmoid"],
  update(b, unit, activated) {
    const [i, f, g, o] = [0, 1, 2, 3].map(activated);
    const c = b.name(b.multiplyAdd(f, unit.state(1), b.mul(i, g)));
    return { states: [b.mul(o, b.tanh(c)), c], kept: [] };
  },
  backward(b, unit) {
    const [i, f, g, o] = [0, 1, 2, 3].map((part) => b.name(unit.kept(part)));
    const one = b.const(1);
    const c = b.name(unit.state(1));
    const squashed = b.name(b.tanh(b.name(b.multiplyAdd(f, c, b.mul(i, g)))));
    const oneMinusSquare = (x: typeof c) => b.negativeMultiplyAdd(x, x, one);
    const product = (...factors: readonly (typeof c)[]) => factors.reduce((x, y) => b.mul(x, y));
    const dh = unit.cotangent(0);
    const dc = b.name(b.multiplyAdd(b.mul(dh, o), oneMinusSquare(squashed), unit.cotangent(1)));
    const gates = [
      product(dc, g, i, b.sub(one, i)),
      product(dc, c, f, b.sub(one, f)),
      product(dc, i, oneMinusSquare(g)),
      product(dh, squashed, o, b.sub(one, o)),
    ];
    return { input: gates, recurrent: gates, states: [undefined, b.mul(dc, f)] };
  },
  scaled: false,
  readsState: false,
  flops: { forward: 12, backward: 20 },
};
