/**
 * HICO_DEBUG: what the compiler made of a graph, on standard error. 1: a line a plan. 2: every kernel too.
 */
import type { Plan } from "../../compiler/plan.ts";
import { debugLevel } from "../environment.ts";
import type { ProgramLayout } from "./program-layout.ts";

export function reportPlan(plan: Plan, layout: ProgramLayout, module: Uint8Array): void {
  const level = debugLevel();
  if (level === 0) return;
  const kernels = layout.phases.reduce((sum, p) => sum + p.kernels.length, 0);
  console.error(
    `[hico] plan: ${plan.graph.nodes.length} nodes, ${kernels} kernels of ${layout.entries.length} kinds in ${layout.phases.length} phases; ` +
      `module ${kib(module.length)}, memory while it runs ${kib(layout.arenaBytes)} (alive at once ${kib(plan.memory.needed)})`,
  );
  if (level < 2) return;
  layout.phases.forEach(({ kernels }, phase) => {
    for (const { kernel, units } of kernels) {
      console.error(`[hico]   ${String(phase).padStart(3)}  ${layout.entries[kernel].kernel.name}  (${units} units)`);
    }
  });
}

function kib(bytes: number): string {
  return bytes >= 1 << 20 ? `${(bytes / (1 << 20)).toFixed(1)} MiB` : `${(bytes / 1024).toFixed(1)} KiB`;
}
