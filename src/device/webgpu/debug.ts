/**
 * HICO_DEBUG: what the compiler made of a graph, on standard error.
 *
 * 1: a line a plan. 2: every kernel, and times by timestamp queries (see `WebGpuDevice.kernelTimes`). 3: shapes and
 * memory of its operands too. 4: its WGSL too.
 */
import { memoryAccount } from "../../compiler/memory-account.ts";
import type { Plan } from "../../compiler/plan.ts";
import { formatBytes } from "../bytes.ts";
import { debugLevel } from "../environment.ts";
import type { Placed } from "./recorded.ts";

/** What is told of a dispatch. */
interface ReportedDispatch {
  readonly name: string;
  readonly wgsl: string;
  readonly workgroups: readonly number[];
  readonly bindings: readonly (Placed | "parameters")[];
}

export function reportGpuPlan(plan: Plan, dispatches: readonly ReportedDispatch[]): void {
  const level = debugLevel();
  if (level === 0) return;
  const { held, needed, total } = memoryAccount(plan);
  console.error(
    `[hico] plan: ${plan.graph.nodes.length} nodes, ${dispatches.length} dispatches; intermediates hold ${formatBytes(held)} ` +
      `(alive at once ${formatBytes(needed)}, in all ${formatBytes(total)})`,
  );
  if (level < 2) return;
  dispatches.forEach((d, i) => {
    console.error(`[hico]   ${String(i).padStart(3)}  ${d.name}  (${d.workgroups.join(" × ")} workgroups)`);
    if (level >= 3)
      for (const [k, value] of d.bindings.entries()) console.error(`[hico]        ${k}: ${describe(plan, value)}`);
    if (level >= 4) console.error(d.wgsl.replaceAll(/^/gm, "         "));
  });
}

function describe(plan: Plan, value: Placed | "parameters"): string {
  if (value === "parameters") return `parameters, ${plan.graph.parameterWords} words`;
  const { spec, place } = value;
  const { kind } = place;
  const where =
    kind === "slot" ? place.slot : kind === "output" ? place.output : kind === "own" ? place.own : place.leaf;
  return `${spec.dtype}[${spec.shape.join(", ")}] ${place.kind} ${where}`;
}
