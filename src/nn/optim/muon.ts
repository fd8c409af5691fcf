/**
 * Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon; torch.optim.Muon): momentum whose matrix is made nearly
 * orthogonal by five steps of Newton and Schulz, for the weights of hidden layers.
 *
 *   b ← momentum·b + (1 − momentum)·g
 *   u = orthogonal(nesterov ? (1 − momentum)·g + momentum·b : b)
 *   p ← p·(1 − lr·weightDecay) − lr·scale·u
 */
import { formatShape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Variable } from "../../tensor/variable.ts";
import type { CommonSettings, ParameterGroup, UpdateContext } from "./optimizer.ts";
import { Optimizer, requireRange, withDefaults } from "./optimizer.ts";

/** Settings of Muon, with PyTorch's defaults. */
export interface MuonSettings extends CommonSettings {
  /** Default 0.95. */
  momentum: number;
  /** Default true. */
  nesterov: boolean;
  /** Default 0.1. */
  weightDecay: number;
  /** Steps of Newton and Schulz; default 5. */
  steps: number;
  /** Added nowhere, but the least norm that is divided by; default 1e-7. */
  epsilon: number;
  /**
   * The step's scale for a matrix [rows, columns]: "original", √max(1, rows / columns), or "matchRmsAdamW",
   * 0.2·√max(rows, columns) (Liu et al. 2025), with which Adam's rates serve. Default "original".
   */
  adjust: "original" | "matchRmsAdamW";
}

const DEFAULTS: MuonSettings = {
  lr: 1e-3,
  momentum: 0.95,
  nesterov: true,
  weightDecay: 0.1,
  steps: 5,
  epsilon: 1e-7,
  adjust: "original",
};

/** The quintic's coefficients (Jordan et al.): singular values end between about 0.7 and 1.2. */
const [A, B, C] = [3.4445, -4.775, 2.0315];

/** Muon (Jordan et al., 2024), as torch.optim.Muon, in float32. Of matrices only: give the others to AdamW. */
export class Muon extends Optimizer<MuonSettings> {
  /**
   * @param params variables to train, or groups of them with settings of their own.
   * @param settings for what a group does not set itself; `lr` is 1e-3 by default.
   */
  constructor(
    params: readonly Variable[] | readonly ParameterGroup<MuonSettings>[],
    settings: Partial<MuonSettings> = {},
  ) {
    super(params, withDefaults(new.target.name, DEFAULTS, settings), ["momentum_buffer"], false);
    const other = this.parameters.find((p) => p.rank !== 2);
    if (other !== undefined) {
      throw new Error(
        `Muon: variable "${other.name}" is ${formatShape(other.shape)}; Muon trains matrices, give the rest to AdamW`,
      );
    }
  }

  protected override get known(): readonly string[] {
    return ["momentum", "nesterov", "weightDecay", "steps", "epsilon", "adjust"];
  }
  protected check(s: MuonSettings): void {
    requireRange("Muon", "lr", s.lr, 0);
    requireRange("Muon", "momentum", s.momentum, 0, 1);
    requireRange("Muon", "weightDecay", s.weightDecay, 0);
    requireRange("Muon", "epsilon", s.epsilon, 0);
    if (!Number.isInteger(s.steps) || s.steps < 1)
      throw new Error(`Muon: steps is ${s.steps}; it must be a whole number of at least 1`);
    if (s.adjust !== "original" && s.adjust !== "matchRmsAdamW")
      throw new Error(`Muon: adjust is ${JSON.stringify(s.adjust)}; it must be "original" or "matchRmsAdamW"`);
  }

  protected update(p: Variable, g: Tensor, { settings, slots, lr }: UpdateContext<MuonSettings>): void {
    const { momentum, nesterov, weightDecay, steps, epsilon, adjust } = settings;
    const buffer = slots.momentum_buffer!.mul(momentum).add(g.mul(1 - momentum));
    slots.momentum_buffer!.assign(buffer);
    const direction = nesterov ? g.mul(1 - momentum).add(buffer.mul(momentum)) : buffer;
    const [rows, columns] = p.shape as [number, number];
    const scale =
      adjust === "original" ? Math.sqrt(Math.max(1, rows / columns)) : 0.2 * Math.sqrt(Math.max(rows, columns));
    const from = weightDecay === 0 ? p : p.mul(lr.mul(-weightDecay).add(1));
    p.assign(from.sub(orthogonal(direction, steps, epsilon).mul(lr.mul(scale))));
  }
}

/** The matrix with its singular values brought close to 1, by products alone. */
function orthogonal(matrix: Tensor, steps: number, epsilon: number): Tensor {
  const [rows, columns] = matrix.shape as [number, number];
  const tall = rows > columns;
  const flat = tall ? matrix.transpose() : matrix;
  let x = flat.div(flat.square().sum().sqrt().maximum(epsilon));
  for (let i = 0; i < steps; i++) {
    const square = x.matmul(x.transpose());
    x = square.mul(B).add(square.matmul(square).mul(C)).matmul(x).add(x.mul(A));
  }
  return tall ? x.transpose() : x;
}
