/**
 * Optimizer cases, `optim_NAME`: from `init`, a few steps on the loss mean((A·p)²), with the parameter after each in
 * `step1`, `step2`, …
 *
 * The optimizer's own gradient and update run as one compiled step, as in training.
 */
import { noGrad } from "../autograd/grad.ts";
import { Adam, AdamW } from "../nn/optim/adam.ts";
import type { AdamSettings } from "../nn/optim/adam.ts";
import type { SgdSettings } from "../nn/optim/sgd.ts";
import { SGD } from "../nn/optim/sgd.ts";
import { compile } from "../tensor/program/compile.ts";
import type { Variable } from "../tensor/variable.ts";
import { variable } from "../tensor/variable.ts";
import type { CaseKind, GoldenCase, GoldenFile } from "./case.ts";
import { attributesOf, tensorOf, tensorsUnder } from "./case.ts";

type Recipe = (p: Variable, attributes: Record<string, unknown>) => SGD | Adam;

/** Settings under PyTorch's names, where a file tells them. */
function sgdSettings(a: Record<string, unknown>): Partial<SgdSettings> {
  return { ...a, ...("weight_decay" in a ? { weightDecay: a.weight_decay as number } : {}) };
}
function adamSettings(a: Record<string, unknown>): Partial<AdamSettings> {
  return {
    ...sgdSettings(a),
    ...("eps" in a ? { epsilon: a.eps as number } : {}),
  };
}

/** By case name; settings are those of the golden files where a file does not tell them. */
const RECIPES: Readonly<Record<string, Recipe>> = {
  optim_sgd: (p, a) => new SGD([p], { lr: 0.1, momentum: 0.9, weightDecay: 0.01, ...sgdSettings(a) }),
  optim_sgd_nesterov: (p, a) => new SGD([p], { lr: 0.1, momentum: 0.9, nesterov: true, ...sgdSettings(a) }),
  optim_adam: (p, a) => new Adam([p], { lr: 0.05, weightDecay: 0.01, ...adamSettings(a) }),
  optim_adamw: (p, a) => new AdamW([p], { lr: 0.05, ...adamSettings(a) }),
};

export const optimizerCases: CaseKind = {
  name: "optimizer",
  find(file) {
    return [...file.tensors.keys()]
      .filter((key) => key.startsWith("optim_") && key.endsWith("/init"))
      .map((key) => caseNamed(file, key.slice(0, -"/init".length)));
  },
};

function caseNamed(file: GoldenFile, name: string): GoldenCase {
  return {
    name,
    async run(compare) {
      const make = RECIPES[name];
      if (!make) throw new Error(`no optimizer is known by "${name}"; there is ${Object.keys(RECIPES).join(", ")}`);
      const held = tensorsUnder(file, name);
      const p = variable(tensorOf(held.get("init")!, file.dtype), { name: "p" });
      const a = tensorOf(required(held, "A", name), file.dtype);
      const optimizer = make(p, attributesOf(file, name));
      const step = compile((matrix: typeof a) => {
        optimizer.zeroGrad();
        matrix.matmul(p).square().mean().backward();
        optimizer.step();
      });
      for (let i = 1; held.has(`step${i}`); i++) {
        await step(a);
        await compare([{ name: `${name}/step${i}`, actual: noGrad(() => p.add(0)), expected: held.get(`step${i}`)! }]);
      }
    },
  };
}

function required<T>(held: ReadonlyMap<string, T>, key: string, name: string): T {
  const value = held.get(key);
  if (value === undefined) throw new Error(`the file has no tensor "${name}/${key}"`);
  return value;
}
