/** Lists of modules, activations as modules, hooks, tied weights, and a model as a table. */
export { ModuleDict, ModuleList } from "./lists.ts";
export {
  ELU,
  GELU,
  GLU,
  HardSigmoid,
  HardSwish,
  Identity,
  LeakyReLU,
  LogSoftmax,
  Mish,
  ReLU,
  SiLU,
  Sigmoid,
  Softmax,
  Softplus,
  Tanh,
} from "./activations.ts";
export { addForwardHook, addForwardPreHook, tieWeight } from "./hooks.ts";
export type { CallableModule, ForwardHook, ForwardPreHook } from "./hooks.ts";
export { summary } from "./summary.ts";
export type { Summary, SummaryRow } from "./summary.ts";
