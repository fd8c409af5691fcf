/**
 * A sweep for a cluster: every task of a Slurm job array, or of an Indexed Job of Kubernetes, is one run, by ordinary
 * `hico` commands. A task that is started again goes on where it stopped.
 *
 * What a task does stands in a file beside the script: `sweep.tasks.sh`, one case a task. Nothing of a grid
 * reaches a line that a scheduler reads but its name, with every letter out that such a line cannot hold.
 */
import { createHash } from "node:crypto";
import { isAbsolute, relative, resolve } from "node:path";
import type { CommandOptions } from "./commands.ts";
import { shellLine, stagesOf } from "./commands.ts";
import type { Grid } from "./grid.ts";

interface EmitOptions extends CommandOptions {
  /** Tasks at once. */
  readonly jobs?: number;
  /** Program and arguments that the arguments of `hico` follow, by absolute paths. */
  readonly program: readonly string[];
  /** Whether a task needs a GPU. */
  readonly gpu?: boolean;
}

/** The file of the tasks' commands. */
export const TASKS_FILE = "sweep.tasks.sh";

/** Tasks of one array: Slurm's default of MaxArraySize is 1001, and no number may reach it. */
const ARRAY_TASKS = 1000;

/**
 * `bash sweep.tasks.sh NUMBER`: the commands of a task. The shell passes SIGTERM on to the command and waits for it to
 * save, then starts no other.
 */
export function taskScript(grid: Grid, options: EmitOptions): string {
  const entries = grid.runs.map((run, i) => {
    const lines = stagesOf(grid, run, options).map(({ args }) => `    run ${shellLine([...options.program, ...args])}`);
    return `  ${i})\n${lines.join("\n")}\n    ;;\n`;
  });
  return `#!/bin/bash
set -uo pipefail
child=
stopped=
stop() { stopped=$1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null; }
trap 'stop 143' TERM
trap 'stop 130' INT
run() {
  "$@" &
  child=$!
  [ -z "$stopped" ] || kill -TERM "$child"
  wait "$child"; code=$?
  # A trap ends a wait before the command has ended.
  while kill -0 "$child" 2>/dev/null; do wait "$child"; code=$?; done
  child=
  [ -z "$stopped" ] || exit "$stopped"
  [ "$code" = 0 ] || exit "$code"
}
case "\${1:-}" in
${entries.join("")}  *) echo "there is no task \${1:-}" >&2; exit 2 ;;
esac
`;
}

/** A grid's name in letters that every scheduler takes; distinct names stay distinct. */
export function clusterName(name: string, most = 50): string {
  const plain = `hico-${name}`
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/-+$/, "");
  if (plain === `hico-${name}` && plain.length <= most) return plain;
  const hash = createHash("sha256").update(name).digest("hex").slice(0, 8);
  return `${plain.slice(0, most - 9).replace(/-+$/, "")}-${hash}`;
}

/**
 * A path in a `#SBATCH` line, which is no shell's: sbatch would take a blank for the end, `%` for a pattern, `\\` and
 * quotes for its own. @throws Error naming the folder.
 */
function sbatchPath(path: string): string {
  if (/^[\p{L}\p{N}_@+=:,./-]+$/u.test(path)) return path;
  throw new Error(
    `${JSON.stringify(path)} cannot stand in an #SBATCH line; name a folder of letters, digits and . _ - / alone (--folder)`,
  );
}

/** Seconds that a task gets to save before its time is up. */
const GRACE = 120;

/** Scripts for `sbatch`, one an array, to be run from the folder that is the working one now. Options of sbatch stand over their own. */
export function slurmScripts(grid: Grid, options: EmitOptions): string[] {
  const folder = sbatchPath(resolve(options.folder));
  const scripts: string[] = [];
  for (let first = 0; first < grid.runs.length; first += ARRAY_TASKS) {
    const last = Math.min(ARRAY_TASKS, grid.runs.length - first) - 1;
    scripts.push(
      [
        "#!/bin/bash",
        `#SBATCH --job-name=${clusterName(grid.name)}`,
        `#SBATCH --array=0-${last}${options.jobs === undefined ? "" : `%${options.jobs}`}`,
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        `#SBATCH --signal=B:TERM@${GRACE}`,
        ...(options.gpu ? ["#SBATCH --gres=gpu:1"] : []),
        `#SBATCH --output=${folder}/logs/%A_%a.log`,
        `cd ${shellLine([process.cwd()])} || exit 1`,
        `exec bash ${shellLine([`${folder}/${TASKS_FILE}`])} "$((SLURM_ARRAY_TASK_ID + ${first}))"`,
        "",
      ].join("\n"),
    );
  }
  return scripts;
}

interface KubernetesOptions extends Omit<EmitOptions, "program"> {
  /** Image with Node, libvulkan and this package. */
  readonly image: string;
  /** Persistent volume claim that holds data and runs; it is the working folder. */
  readonly claim: string;
}

const MOUNT = "/work";

/** Where the volume holds the sweep's folder. @throws Error for a folder outside the working one, which is the volume. */
function onVolume(folder: string): string {
  const within = isAbsolute(folder) ? relative(process.cwd(), folder) : relative(".", folder);
  if (within !== "" && !within.startsWith("..")) return within;
  throw new Error(
    `--folder ${folder} is outside of the working folder, and would be outside of the volume: name one within (sweeps/NAME)`,
  );
}

/**
 * A manifest for `kubectl apply -f`; JSON is one of the forms it takes. The commands are read from the sweep's folder on
 * the volume, which must hold what `--emit` wrote: neither an argument (128 KiB) nor a ConfigMap (1 MiB) has room for
 * thousands of runs.
 */
export function kubernetesJob(grid: Grid, options: KubernetesOptions): string {
  const tasks = `${MOUNT}/${onVolume(options.folder)}/${TASKS_FILE}`;
  const amounts = { cpu: "2", memory: "4Gi" };
  const gpu = options.gpu ? { "nvidia.com/gpu": "1" } : {};
  const container = {
    name: "hico",
    image: options.image,
    workingDir: MOUNT,
    // The script is process 1 itself, with the task's number as its argument: it hears SIGTERM and passes it on.
    command: ["bash", "-c", 'exec bash "$0" "$JOB_COMPLETION_INDEX"', tasks],
    resources: { requests: amounts, limits: { memory: amounts.memory, ...gpu } },
    volumeMounts: [{ name: "work", mountPath: MOUNT }],
  };
  const job = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: clusterName(grid.name),
      annotations: {
        "hico/grid": grid.name,
        "hico/volume": `the claim ${options.claim} is mounted by several pods at once: its access mode is ReadWriteMany, or all pods run on one node`,
      },
    },
    spec: {
      completionMode: "Indexed",
      completions: grid.runs.length,
      parallelism: options.jobs ?? 1,
      backoffLimitPerIndex: 3,
      maxFailedIndexes: grid.runs.length,
      template: {
        spec: {
          restartPolicy: "Never",
          terminationGracePeriodSeconds: GRACE,
          containers: [container],
          volumes: [{ name: "work", persistentVolumeClaim: { claimName: options.claim } }],
        },
      },
    },
  };
  return `${JSON.stringify(job, null, 2)}\n`;
}
