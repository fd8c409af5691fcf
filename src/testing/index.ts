/**
 * hico-webgpu/testing: what tests of gradients, ops, kernels and modules need. Draws with fast-check
 * (`npm i -D fast-check`).
 *
 * ```ts
 * import { checkGradient } from "hico-webgpu/testing";
 * ```
 *
 * @module hico-webgpu/testing
 */
import "../device/open.ts";

export { GradcheckError, gradcheck, gradgradcheck } from "./gradcheck.ts";
export type { GradcheckOptions, GradcheckOutputs, GradcheckResult } from "./gradcheck.ts";
export { arbitraries, SPECIALS } from "./arbitraries.ts";
export type { Input, OperandSpec, ShapeLimits, TensorArbitraries } from "./arbitraries.ts";
export { checkDeterminism, checkGradient, checkKernel, checkModule, checkOp } from "./checks.ts";
export type { Checked, CheckedModule, DeviceCheckOptions, GradientCheckOptions } from "./checks.ts";
export { checkCompiled } from "./compiled.ts";
export type { CallState, CompiledCheckOptions } from "./compiled.ts";
export { checkPrograms } from "./programs/check.ts";
export type { CheckedPrograms } from "./programs/check.ts";
export type { Graph, GraphStep } from "./graph.ts";
export type { Layout, Operand } from "./operand.ts";
export { CheckError } from "./smallest.ts";
export type { DrawOptions } from "./smallest.ts";
export { checkEngine } from "./engines/check-engine.ts";
export type { CheckEngineOptions } from "./engines/check-engine.ts";
export type { FaultKind } from "./engines/judge.ts";
export { ENGINES, openEngine } from "./engines/open-engine.ts";
export type { EngineName } from "./engines/open-engine.ts";
export type {
  EngineAdapter,
  EngineAnswer,
  EngineAttributes,
  EngineGradient,
  EngineRequest,
  EngineStep,
  EngineUpdates,
  PlainArray,
  PlainDType,
} from "./engines/protocol.ts";
export { conformanceMarkdown, conformanceText, faultsOf } from "./engines/report.ts";
export type { ConformanceReport, Finding, OperationRow } from "./engines/report.ts";
export { tableEngine } from "./engines/table-engine.ts";
export type { EngineTable } from "./engines/table-engine.ts";
