/**
 * HICO_DEBUG: what the compiler made of a graph, on standard error. 1: a line a plan. 2: every kernel too.
 */
import { memoryAccount } from "../../compiler/memory-account.ts";
import type { Plan } from "../../compiler/plan.ts";
import { formatBytes } from "../bytes.ts";
import { phasesOf } from "../../wasm/work-sharing.ts";
import { debugLevel } from "../environment.ts";
import type { ProgramLayout } from "./program-layout.ts";

export function reportCpuPlan(plan: Plan, layout: ProgramLayout, module: Uint8Array): void {
  const level = debugLevel();
  if (level === 0) return;
  const phases = phasesOf(layout.phases);
  const kernels = phases.reduce((sum, p) => sum + p.kernels.length, 0);
  console.error(
    `[hico] plan: ${plan.graph.nodes.length} nodes, ${kernels} kernels of ${layout.entries.length} kinds in ${phases.length} phases; ` +
      `module ${formatBytes(module.length)}, memory while it runs ${formatBytes(layout.arenaBytes)} (alive at once ${formatBytes(memoryAccount(plan).needed)})`,
  );
  if (level < 2) return;
  phases.forEach(({ kernels }, phase) => {
    for (const { kernel, units } of kernels) {
      console.error(`[hico]   ${String(phase).padStart(3)}  ${layout.entries[kernel].kernel.name}  (${units} units)`);
    }
  });
}
