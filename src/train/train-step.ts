/**
 * A compiled training step: loss, gradients, clipping, update and measures in one plan.
 *
 * Everything that the step measures comes back in one small tensor, so that a loop may leave it on the device and read
 * several steps at a time.
 */
import { clipGradNorm } from "../nn/optim/clip.ts";
import type { Module } from "../nn/module.ts";
import type { GradScaler } from "../nn/optim/grad-scaler.ts";
import type { CommonSettings, Optimizer } from "../nn/optim/optimizer.ts";
import { noGrad } from "../autograd/grad.ts";
import { waitingFor } from "../autograd/waiting.ts";
import { checkOptions, describeValue, requireCount } from "../tensor/door/door.ts";
import { zeros } from "../tensor/create.ts";
import { concat } from "../tensor/methods/join.ts";
import { compile } from "../tensor/program/compile.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import { NonFiniteError } from "./non-finite.ts";

/** What a step gives: the loss, or a record of scalar tensors of which `loss` is minimised and the others are shown. */
export type StepResult = Tensor | (Readonly<Record<string, Tensor>> & { readonly loss: Tensor });

/** The options of `trainStep`. */
export interface TrainStepOptions {
  /** Names parameters in errors by their paths. */
  readonly model?: Module;
  /**
   * Micro-batches that a batch is cut into along the first axis of each of its tensors; default 1. Their gradients are
   * added up before the one update, so the step is that of the whole batch in less memory (batch normalisation and
   * contrastive losses see a micro-batch at a time).
   */
  readonly accumulate?: number;
  /** The largest Euclidean norm of all gradients together, see `clipGradNorm`; the norm before is measured as `gradNorm`. */
  readonly clipGradNorm?: number;
  /**
   * Scales the loss for gradients in f16: where gradients are not finite, the update is left out and the scale comes down,
   * and that is no error. The scale of each step is measured as `lossScale`.
   */
  readonly scaler?: GradScaler;
  /**
   * What is held to be finite: the loss and the gradient of every parameter ("gradients", default), the loss alone, or
   * nothing (false). Gradients cost a sum over each; with a `scaler`, which looks at them itself, it is the loss alone.
   */
  readonly guard?: "gradients" | "loss" | false;
  /** What else the step assigns, after the update: `() => emaUpdate(target, model, 0.99)`. */
  readonly after?: () => void;
}

/** A step over batches of the form B. */
export interface TrainStep<B extends readonly Tensor[]> {
  /** Runs the step; what it measured, on the device, as one f32 tensor. */
  run(...batch: B): Promise<Tensor>;
  /**
   * What the elements of that tensor say, by name.
   * @param step the step's number, for the error.
   * @param checkpoint the last good one, for the error.
   * @throws NonFiniteError naming the loss, or every parameter whose gradient is not finite.
   */
  measures(values: ArrayLike<number>, step?: number, checkpoint?: string): Record<string, number>;
  /**
   * Runs the step and reads what it measured.
   * @throws NonFiniteError, as `measures` does.
   */
  measure(...batch: B): Promise<Record<string, number>>;
}

const OPTIONS = ["model", "accumulate", "clipGradNorm", "scaler", "guard", "after"] as const;

/**
 * A step that minimises what `loss` gives of a batch, compiled at its first call for each shape of batches.
 *
 * ```ts
 * const step = trainStep(optimizer, (x, labels) => crossEntropy(model.forward(x), labels), { model, clipGradNorm: 1 });
 * const { loss, gradNorm } = await step.measure(x, labels);
 * ```
 *
 * @throws Error where an option is out of range, a batch does not divide into micro-batches, or what `loss` gives is not
 * made of scalars.
 */
export function trainStep<B extends readonly Tensor[]>(
  optimizer: Optimizer<CommonSettings>,
  loss: (...batch: B) => StepResult,
  options: TrainStepOptions = {},
): TrainStep<B> {
  checkOptions("trainStep", options, OPTIONS);
  const { accumulate = 1, guard = "gradients", after, scaler } = options;
  requireCount("trainStep", "accumulate", accumulate, 1);
  if (guard !== "gradients" && guard !== "loss" && guard !== false) {
    throw new Error(`trainStep: guard is ${describeValue(guard)}; it must be "gradients", "loss" or false`);
  }
  const guardsGradients = guard === "gradients" && !scaler?.enabled;
  // Every trace measures the same things in the same places: which one a call replays, nobody is told.
  const guarded = guardsGradients ? optimizer.parameters : [];
  let names: readonly string[] | undefined;
  let calls = 0;

  const compiled = compile((...batch: B) => {
    optimizer.zeroGrad();
    const lossScale = scaler?.stateDict().get("scale")?.detach();
    const found = microBatches(batch, accumulate).map((part, i) => {
      // A part begins when the gradients of the one before are there, and nothing of it is needed any more.
      const before = i === 0 ? [] : optimizer.parameters.flatMap((p) => p.grad ?? []);
      const late = before.length > 0 ? waitingFor(before) : (x: Tensor): Tensor => x;
      const measured = recordOf(loss(...(part.map(late) as unknown as B)));
      const share = accumulate === 1 ? measured.loss : measured.loss.div(accumulate);
      (scaler?.scale(share) ?? share).backward();
      return measured;
    });
    const given = Object.keys(found[0]);
    const measured = given.map((name) => mean(found.map((one) => one[name]!)));
    const trained = optimizer.parameters.filter((p) => p.grad);
    if (trained.length === 0) {
      throw new Error(
        "trainStep: no parameter of the optimizer gets a gradient; is the loss that of another model, or detached?",
      );
    }
    scaler?.unscale(optimizer);
    // The same sums as those of the norm, which are computed once.
    const squares = noGrad(() => guarded.map((p) => p.grad?.square().sum() ?? zeros([])));
    if (options.clipGradNorm !== undefined) {
      given.push("gradNorm");
      measured.push(clipGradNorm(trained, options.clipGradNorm));
    }
    if (lossScale) {
      given.push("lossScale");
      measured.push(lossScale);
    }
    names ??= given;
    if (names.join() !== given.join())
      throw new Error(
        `trainStep: the function gave ${names.join(", ")} before and ${given.join(", ")} now; give the same names at every call`,
      );
    if (scaler) {
      scaler.step(optimizer);
      scaler.update();
    } else optimizer.step();
    optimizer.zeroGrad();
    if (after) noGrad(after);
    return concat([...measured, ...squares].map((x) => x.cast("f32").reshape([1])));
  });

  const measures = (values: ArrayLike<number>, step = calls, checkpoint?: string): Record<string, number> => {
    const measuredNames = names ?? [];
    const record = Object.fromEntries(measuredNames.map((name, i) => [name, values[i]]));
    if (guard !== false && !Number.isFinite(record.loss))
      throw new NonFiniteError(step, "the loss", record.loss, checkpoint);
    const faults = guarded.flatMap((p, i) => {
      const value = values[measuredNames.length + i];
      return Number.isFinite(value) ? [] : [{ name: nameOf(p, options.model), value }];
    });
    if (faults.length === 0) return record;
    const shown = faults.slice(0, 8).map(({ name }) => `"${name}"`);
    const rest = faults.length > shown.length ? ` and ${faults.length - shown.length} more` : "";
    throw new NonFiniteError(
      step,
      `the squared norm of the gradient of ${shown.join(", ")}${rest}`,
      faults[0].value,
      checkpoint,
    );
  };
  const run = (...batch: B): Promise<Tensor> => {
    calls++;
    return compiled(...batch);
  };
  const measure = async (...batch: B): Promise<Record<string, number>> => {
    const measured = await run(...batch);
    const values = await measured.read();
    measured.dispose();
    return measures(values);
  };
  return { run, measures, measure };
}

/** A batch in equal parts along its first axis. */
function microBatches<B extends readonly Tensor[]>(batch: B, count: number): B[] {
  if (count === 1) return [batch];
  batch.forEach(({ shape }, i) => {
    if (shape.length > 0 && shape[0] % count === 0) return;
    throw new Error(
      `trainStep: accumulate is ${count}, but tensor ${i} of the batch has ${shape[0] ?? "no"} samples, which do not ` +
        "divide into as many equal parts; choose another batch size, and leave out the last batch (dropLast)",
    );
  });
  return Array.from({ length: count }, (_, part) => {
    const own = batch.map((x) => {
      const size = x.shape[0] / count;
      return x.slice([part * size, (part + 1) * size]);
    });
    return own as unknown as B;
  });
}

/** What the loss function gave, by name: the loss first. */
function recordOf(result: StepResult): Record<string, Tensor> & { loss: Tensor } {
  const record = result instanceof Tensor ? { loss: result } : { ...result };
  for (const [name, value] of [["loss", record.loss], ...Object.entries(record)] as const) {
    if (value instanceof Tensor && value.size === 1) continue;
    const given = value instanceof Tensor ? value.label() : describeValue(value);
    throw new Error(
      `trainStep: ${name} is ${given}; the function must give the loss, or { loss, … }, all of them tensors of one element`,
    );
  }
  const { loss, ...others } = record as Record<string, Tensor>;
  return { loss, ...others };
}

function mean(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0];
  return parts
    .reduce((sum, x) => sum.add(x))
    .cast("f32")
    .div(parts.length);
}

function nameOf(parameter: Variable, model: Module | undefined): string {
  return [...(model?.stateDict() ?? [])].find(([, p]) => p === parameter)?.[0] ?? parameter.name;
}
