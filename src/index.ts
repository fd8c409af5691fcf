/**
 * hico-webgpu: lazy tensors, gradients and compiled kernels for training on any GPU from TypeScript.
 *
 * ```ts
 * import { tensor, variable, compile } from "hico-webgpu";
 * ```
 *
 * @module hico-webgpu
 */
export * from "./tensor/index.ts";
export { variable } from "./autograd/variable.ts";
export { backward, grad, gradients, noGrad, valueAndGrad } from "./autograd/grad.ts";
export type { Tree } from "./autograd/tree.ts";
export { checkpoint } from "./autograd/checkpoint.ts";
export { customGradient } from "./autograd/custom.ts";
export type { CustomVjp } from "./autograd/custom.ts";
export { hessian, hvp, jacobian, jvp, linearize } from "./autograd/forward.ts";
export * from "./ops/index.ts";
export * from "./device/index.ts";
export { GradcheckError, gradcheck, gradgradcheck } from "./testing/gradcheck.ts";
export type { GradcheckOptions, GradcheckOutputs, GradcheckResult } from "./testing/gradcheck.ts";
