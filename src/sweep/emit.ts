/**
 * A sweep for a cluster: every task of a Slurm job array, or of an Indexed Job of Kubernetes, is one run, by ordinary
 * `hico` commands. A task that is started again goes on where it stopped.
 */
import { resolve } from "node:path";
import type { CommandOptions } from "./commands.ts";
import { shellLine, stagesOf } from "./commands.ts";
import type { Grid } from "./grid.ts";

export interface EmitOptions extends CommandOptions {
  /** Tasks at once. */
  readonly jobs?: number;
}

/** A shell's `case` over the task's number. */
function tasks(grid: Grid, options: CommandOptions, variable: string): string {
  const entries = grid.runs.map((run, i) => {
    const lines = stagesOf(grid, run, options).map(({ args }) => `    ${shellLine(["npx", "hico", ...args])}`);
    return `  ${i})\n${lines.join("\n")}\n    ;;\n`;
  });
  return `set -euo pipefail\ncase "$${variable}" in\n${entries.join("")}  *) echo "there is no task $${variable}" >&2; exit 2 ;;\nesac\n`;
}

/** A script for `sbatch`, to be run from the folder that is the working one now. Options of sbatch stand over its own. */
export function slurmScript(grid: Grid, options: EmitOptions): string {
  const last = grid.runs.length - 1;
  return [
    "#!/bin/bash",
    `#SBATCH --job-name=${shellLine([grid.name])}`,
    `#SBATCH --array=0-${last}${options.jobs === undefined ? "" : `%${options.jobs}`}`,
    "#SBATCH --requeue",
    `#SBATCH --output=${resolve(options.folder)}/logs/%A_%a.log`,
    `cd ${shellLine([process.cwd()])}`,
    tasks(grid, options, "SLURM_ARRAY_TASK_ID"),
  ].join("\n");
}

export interface KubernetesOptions extends EmitOptions {
  /** Image with Node and this package. */
  readonly image: string;
  /** Persistent volume claim that holds data and runs; it is the working folder. */
  readonly claim: string;
}

const MOUNT = "/work";

/** A manifest for `kubectl apply -f`; JSON is one of the forms it takes. */
export function kubernetesJob(grid: Grid, options: KubernetesOptions): string {
  const name = `hico-${grid.name}`
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .slice(0, 50)
    .replace(/-+$/, "");
  const container = {
    name: "hico",
    image: options.image,
    workingDir: MOUNT,
    command: ["bash", "-c", tasks(grid, options, "JOB_COMPLETION_INDEX")],
    volumeMounts: [{ name: "work", mountPath: MOUNT }],
  };
  const job = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name },
    spec: {
      completionMode: "Indexed",
      completions: grid.runs.length,
      parallelism: options.jobs ?? 1,
      backoffLimitPerIndex: 3,
      maxFailedIndexes: grid.runs.length,
      template: {
        spec: {
          restartPolicy: "Never",
          containers: [container],
          volumes: [{ name: "work", persistentVolumeClaim: { claimName: options.claim } }],
        },
      },
    },
  };
  return `${JSON.stringify(job, null, 2)}\n`;
}
