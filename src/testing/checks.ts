/**
 * Checks of functions, kernels and modules on drawn inputs. Each holds something to something else that cannot share
 * its faults: reverse mode to differences, a device to float64, a kernel to its meaning, one run to another.
 */
import { alias, gradients } from "../autograd/grad.ts";
import { ReferenceDevice } from "../device/reference/reference.ts";
import type { Backend } from "../tensor/backend.ts";
import { defaultDevice } from "../tensor/backend.ts";
import type { DType, HostArray } from "../tensor/dtype.ts";
import { isFloat } from "../tensor/dtype.ts";
import { tensor } from "../tensor/create.ts";
import type { Node } from "../tensor/node.ts";
import { topologicalOrder } from "../tensor/node.ts";
import { readValues, realize } from "../tensor/program/realize.ts";
import { describeValue } from "../tensor/door/door.ts";
import { formatShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Variable } from "../tensor/variable.ts";
import type { Input } from "./arbitraries.ts";
import type { GradcheckOptions, GradcheckOutputs } from "./gradcheck.ts";
import { carryOver, gradcheck } from "./gradcheck.ts";
import type { DrawOptions } from "./smallest.ts";
import { onSmallest } from "./smallest.ts";
import { withParameters } from "./parameters.ts";

/** A function of tensors that is checked; outputs that are not floating have no gradient. */
export type Checked = (...inputs: Tensor[]) => GradcheckOutputs;

/** Of `checkGradient` and `checkModule`: what to draw, and how close gradients must be. */
export type GradientCheckOptions = DrawOptions & Omit<GradcheckOptions, "seed" | "device">;

/**
 * Reverse mode of `f` against central differences in float64, at drawn inputs: `gradcheck` many times over.
 *
 * `inputs`: one entry an argument; a shape with named sizes (`["batch", 3]`), a description with dtype and domain, or a
 * tensor that is taken as it is.
 *
 * @throws CheckError with the smallest failing input as code.
 */
export async function checkGradient(
  f: Checked,
  inputs: readonly Input[],
  options: GradientCheckOptions = {},
): Promise<void> {
  await onSmallest(
    "checkGradient",
    inputs,
    options,
    (list) => `checkGradient(f, ${list})`,
    async (tensors) => {
      await gradcheck(f, tensors, gradcheckOptions(options));
    },
  );
}

/** A module as far as its gradients need it: `Module` of `hico-webgpu/nn`. */
export interface CheckedModule {
  forward(...inputs: never[]): GradcheckOutputs;
  namedParameters(): [name: string, parameter: Variable][];
}

/**
 * The gradients of a module with respect to its inputs and all its parameters, against central differences in float64.
 *
 * Parameters have the values that they have; where one is larger than `samples` (default 64), a random sample of its
 * elements is checked. Layers that draw or keep statistics are best checked after `module.eval()`.
 *
 * @throws CheckError with the smallest failing input as code; Error for a parameter that no property leads to.
 */
export async function checkModule(
  module: CheckedModule,
  inputs: readonly Input[],
  options: GradientCheckOptions = {},
): Promise<void> {
  const parameters = module.namedParameters().map(([, parameter]) => parameter);
  const f = (...all: Tensor[]): GradcheckOutputs =>
    withParameters(module, parameters, all.slice(inputs.length), () =>
      module.forward(...(all.slice(0, inputs.length) as never[])),
    );
  await onSmallest(
    "checkModule",
    inputs,
    options,
    (list) => `checkModule(module, ${list})`,
    async (tensors) => {
      await gradcheck(f, [...tensors, ...parameters], gradcheckOptions({ samples: 64, ...options }));
    },
  );
}

function gradcheckOptions({ eps, rtol, atol, order, samples }: GradientCheckOptions): GradcheckOptions {
  return { eps, rtol, atol, order, samples };
}

/** Of checks that run on a device. Functions that use variables run on the default device. */
export interface DeviceCheckOptions extends DrawOptions {
  /** The device that is checked; default: the default device. */
  readonly device?: Backend;
  /** Largest error, relative to the largest magnitude in the tensor or 1; default 1e-5. */
  readonly tolerance?: number;
  /** Largest error of gradients; default four times `tolerance`. */
  readonly gradientTolerance?: number;
  /** Whether gradients are compared as well; default true. */
  readonly gradients?: boolean;
}

/**
 * Values and gradients of `f` on a device against the same graph in float64 on the reference device. `inputs` are
 * described as for `checkGradient`.
 *
 * @throws CheckError with the smallest failing input as code, and where it differs.
 */
export async function checkOp(f: Checked, inputs: readonly Input[], options: DeviceCheckOptions = {}): Promise<void> {
  await onSmallest(
    "checkOp",
    inputs,
    options,
    (list) => `checkOp(f, ${list})`,
    (tensors) => agree(f, f, tensors, options),
  );
}

/**
 * Values and gradients of a kernel on a device against what it is meant to compute, written in ordinary operations and
 * run in float64 on the reference device. `inputs` are described as for `checkGradient`.
 *
 * @throws CheckError with the smallest failing input as code, and where it differs.
 */
export async function checkKernel(
  kernel: Checked,
  meaning: Checked,
  inputs: readonly Input[],
  options: DeviceCheckOptions = {},
): Promise<void> {
  await onSmallest(
    "checkKernel",
    inputs,
    options,
    (list) => `checkKernel(kernel, meaning, ${list})`,
    (tensors) => agree(kernel, meaning, tensors, options),
  );
}

/**
 * Values and gradients of `f` on a device are the same bits however often they are computed, each time by a new plan.
 * `inputs` are described as for `checkGradient`.
 *
 * @throws CheckError with the smallest failing input as code, and where it differs.
 */
export async function checkDeterminism(
  f: Checked,
  inputs: readonly Input[],
  options: DeviceCheckOptions & { readonly times?: number } = {},
): Promise<void> {
  const { times = 3 } = options;
  if (!Number.isInteger(times) || times < 2)
    throw new Error(`checkDeterminism: times must be a whole number of at least 2, not ${describeValue(times)}`);
  await onSmallest(
    "checkDeterminism",
    inputs,
    options,
    (list) => `checkDeterminism(f, ${list})`,
    async (tensors) => {
      const device = options.device ?? (await defaultDevice());
      const run = async (): Promise<HostArray[]> => valuesOf(device, await parts(f, tensors, options.gradients));
      const first = await run();
      for (let again = 1; again < times; again++) {
        const other = await run();
        for (const [n, values] of other.entries()) {
          const at = values.findIndex((value, i) => !Object.is(value, first[n][i]));
          if (at >= 0)
            throw new Error(`${device.name}: result ${n}, element ${at} is ${first[n][at]}, then ${values[at]}`);
        }
      }
    },
  );
}

/** What is compared: outputs, and the gradients of all of them along fixed weights. */
interface Part {
  readonly label: string;
  /** Whether it is a gradient. */
  readonly slope: boolean;
  readonly tensor: Tensor;
}

async function parts(f: Checked, given: readonly Tensor[], withGradients = true): Promise<Part[]> {
  // A view of a view is a view of what lies below: gradients with respect to what is given must not pass it by.
  const tensors = given.map(alias);
  const result = f(...tensors);
  const outputs = result instanceof Tensor ? [result] : [...result];
  const found: Part[] = outputs.map((output, n) => ({ label: `output ${n}`, slope: false, tensor: output }));
  const floating = outputs.filter(({ dtype }) => isFloat(dtype));
  const targets = tensors.filter(({ dtype }) => isFloat(dtype));
  if (!withGradients || floating.length === 0 || targets.length === 0) return found;
  gradients(floating, floating.map(weights), targets).forEach((slope, n) => {
    found.push({ label: `gradient of input ${tensors.indexOf(targets[n])}`, slope: true, tensor: slope });
  });
  return found;
}

/** Weights in ±[0.5, 1], so that no output is lost. */
function weights(like: Tensor): Tensor {
  const values = Array.from({ length: like.size }, (_, i) => (0.5 + ((i * 37) % 64) / 128) * (i % 3 === 0 ? -1 : 1));
  return tensor(values, { shape: like.shape, dtype: like.dtype as DType });
}

async function agree(
  f: Checked,
  meaning: Checked,
  tensors: readonly Tensor[],
  { device, tolerance = 1e-5, gradientTolerance = 4 * tolerance, gradients: both }: DeviceCheckOptions,
): Promise<void> {
  const checked = device ?? (await defaultDevice());
  const [ours, meant] = [await parts(f, tensors, both), await parts(meaning, tensors, both)];
  const [results, wanted] = [ours, meant].map((list) => list.filter(({ slope }) => !slope).length);
  if (results !== wanted) throw new Error(`it gives ${results} results, its meaning ${wanted}`);
  const expected = await valuesOf(new ReferenceDevice(), meant);
  const hold = (list: readonly Part[], found: readonly HostArray[]): void => {
    for (const [n, { label, slope, tensor: at }] of list.entries()) {
      const { shape } = meant[n].tensor;
      if (formatShape(at.shape) !== formatShape(shape))
        throw new Error(`${label} has the shape ${formatShape(at.shape)}, its meaning ${formatShape(shape)}`);
      if (isFloat(at.dtype) !== isFloat(meant[n].tensor.dtype))
        throw new Error(`${label} is ${at.dtype}, its meaning ${meant[n].tensor.dtype}`);
      const bound = slope ? gradientTolerance : tolerance;
      const words = difference(found[n], expected[n], isFloat(at.dtype) ? bound : 0);
      if (words !== undefined) throw new Error(`${checked.name}: ${label} ${at.dtype}${formatShape(shape)}: ${words}`);
    }
  };
  // Without gradients, which need what is between, more of it is computed where it is used.
  const alone = ours.slice(0, results);
  if (results < ours.length && !hasVariables(alone)) hold(alone, await valuesOf(checked, alone));
  hold(ours, await valuesOf(checked, ours));
}

const hasVariables = (list: readonly Part[]): boolean =>
  topologicalOrder(list.map(({ tensor: { node } }) => node)).some(({ op }) => op.kind === "variable");

async function valuesOf(device: Backend, list: readonly Part[]): Promise<HostArray[]> {
  const nodes = list.map(({ tensor: { node } }) => node);
  const varies = hasVariables(list);
  // Variables have values after what was assigned to them, and on the default device.
  if (varies && device === (await defaultDevice())) {
    const tensors = list.map(({ tensor: one }) => one);
    await realize(tensors);
    return Promise.all(tensors.map(readValues));
  }
  // A tensor that the function has from outside may have gone to the device that was asked before.
  const away = topologicalOrder(nodes).some(({ op }) => op.kind === "storage" && op.storage.device !== device);
  return readFrom(device, varies || away ? await carryOver(nodes, device) : nodes);
}

async function readFrom(device: Backend, nodes: readonly Node[]): Promise<HostArray[]> {
  const storages = await device.realize(nodes, []);
  const values: HostArray[] = [];
  for (const storage of storages) values.push(await device.read(storage));
  for (const storage of storages) storage.dispose();
  return values;
}

/**
 * Where two arrays differ by more than `bound` of the largest magnitude; NaN equals NaN, an infinity only itself. `other`
 * are the words before what is expected.
 */
export function difference(
  found: HostArray,
  expected: HostArray,
  bound: number,
  other = "float64 gives",
): string | undefined {
  let largest = 1;
  for (const value of expected) if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value));
  for (const [i, value] of found.entries()) {
    if (Object.is(value, expected[i]) || value === expected[i]) continue;
    const error = Math.abs(value - expected[i]) / largest;
    // Written so that NaN is a difference.
    if (error <= bound) continue;
    return `element ${i} is ${value}, ${other} ${expected[i]} (relative error ${error.toExponential(1)}, allowed ${bound})`;
  }
  return undefined;
}
