/**
 * A sweep for a cluster: every task of a Slurm job array, or of an Indexed Job of Kubernetes, is one run, by ordinary
 * `hico` commands. A task that is started again goes on where it stopped.
 *
 * What a task does stands in a file beside the script: `sweep.tasks.sh`, one case a task. Nothing of a grid
 * reaches a line that a scheduler reads but its name, with every letter out that such a line cannot hold.
 */
import { createHash } from "node:crypto";
import { isAbsolute, resolve } from "node:path";
import { pathWithin } from "../io/path-within.ts";
import type { CommandOptions } from "./commands.ts";
import { shellLine, stagesOf } from "./commands.ts";
import type { Grid } from "./grid.ts";

interface EmitOptions extends CommandOptions {
  /** Tasks at once. */
  readonly jobs?: number;
  /** Program and arguments that the arguments of `hico` follow, by absolute paths; the last is the program's file. */
  readonly program: readonly string[];
  /** Whether a task needs a GPU. */
  readonly gpu?: boolean;
  /** Threads of a task, and so its CPUs; without it, what the scheduler gives. */
  readonly threads?: number;
}

/** The file of the tasks' commands. */
export const TASKS_FILE = "sweep.tasks.sh";

/** Tasks of one array: Slurm's default of MaxArraySize is 1001, and no number may reach it. */
const ARRAY_TASKS = 1000;

/**
 * Tasks that one array of a cluster may have.
 * @param config what `scontrol show config` says there; undefined where no cluster can be asked
 */
export function arrayTasks(config: string | undefined): number {
  const limit = Number(/^MaxArraySize\s*=\s*(\d+)/m.exec(config ?? "")?.[1] ?? ARRAY_TASKS);
  return limit > 0 ? Math.min(limit, ARRAY_TASKS) : ARRAY_TASKS;
}

/** A path as it holds in the working folder, wherever that is mounted; one outside of it stays as it is. */
function fromHere(path: string): string {
  return (isAbsolute(path) ? pathWithin(process.cwd(), path) : undefined) ?? path;
}

/**
 * `bash sweep.tasks.sh NUMBER`: the commands of a task, to be run in the working folder. The shell is the commands'
 * parent itself: it passes SIGTERM on to the one under way, waits for it to save, then starts no other.
 */
export function taskScript(grid: Grid, options: EmitOptions): string {
  const { program } = options;
  const folder = fromHere(options.folder);
  const entries = grid.runs.map((run, i) => {
    const { data } = run.given;
    const given = typeof data === "string" ? { ...run.given, data: fromHere(data) } : run.given;
    const stages = stagesOf(grid, { ...run, given }, { ...options, folder });
    return `  ${i})\n${stages.map(({ args }) => `    run ${shellLine(args)}`).join("\n")}\n    ;;\n`;
  });
  return `#!/bin/bash
set -uo pipefail
hico=(${shellLine(program)})
# Where those files are not, as in a container: the package of this folder, else of the machine. Nothing is fetched.
if [ ! -x ${shellLine([program[0]!])} ] || [ ! -f ${shellLine([program.at(-1)!])} ]; then
  hico=("$(PATH="$PWD/node_modules/.bin:$PATH"; command -v hico)") || {
    echo "hico-webgpu is installed neither in $PWD nor on this machine: npm i hico-webgpu" >&2
    exit 127
  }
fi
child=
stopped=
stop() { stopped=$1; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null; }
trap 'stop 143' TERM
trap 'stop 130' INT
run() {
  "\${hico[@]}" "$@" &
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
${entries.join("")}  *) echo "there is no task \${1:-}; there are 0 to ${grid.runs.length - 1}" >&2; exit 2 ;;
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

/**
 * Scripts for `sbatch`, one an array, to be run from the folder that is the working one now. Options of sbatch stand over
 * their own.
 * @param most tasks of one array
 */
export function slurmScripts(grid: Grid, options: EmitOptions, most = ARRAY_TASKS): string[] {
  const folder = sbatchPath(resolve(options.folder));
  const scripts: string[] = [];
  for (let first = 0; first < grid.runs.length; first += most) {
    const last = Math.min(most, grid.runs.length - first) - 1;
    scripts.push(
      [
        "#!/bin/bash",
        `#SBATCH --job-name=${clusterName(grid.name)}`,
        `#SBATCH --array=0-${last}${options.jobs === undefined ? "" : `%${options.jobs}`}`,
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        `#SBATCH --signal=B:TERM@${GRACE}`,
        ...(options.gpu ? ["#SBATCH --gres=gpu:1"] : []),
        ...(options.threads === undefined ? [] : [`#SBATCH --cpus-per-task=${options.threads}`]),
        `#SBATCH --output=${folder}/logs/%A_%a.log`,
        `cd ${shellLine([process.cwd()])} || exit 1`,
        `[[ "\${SLURM_ARRAY_TASK_ID:-}" =~ ^[0-9]{1,9}$ ]] || { echo "SLURM_ARRAY_TASK_ID is '\${SLURM_ARRAY_TASK_ID:-}', not a task's number: submit this script with sbatch" >&2; exit 2; }`,
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

/** Where the volume holds what lies at `path` here. @throws Error for one outside the working folder, which is the volume. */
function onVolume(option: string, path: string, within: string): string {
  const found = pathWithin(process.cwd(), path);
  if (found !== undefined) return found;
  throw new Error(
    `--${option} ${path} is outside of the working folder, and would be outside of the volume: name one within (${within})`,
  );
}

/** An image's reference: a registry, a path of small letters, a tag, a digest (the distribution project's grammar, without its limits). */
const IMAGE = /^[a-z0-9]+([._/:-]+[a-zA-Z0-9]+)*(@sha256:[0-9a-f]{64})?$/;

/** The name of an object: a DNS subdomain (RFC 1123). */
const OBJECT = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;

/** @throws Error for names that the cluster would refuse, or a pod wait for in vain. */
function checkNames({ image, claim }: KubernetesOptions): void {
  if (!IMAGE.test(image))
    throw new Error(`--image ${JSON.stringify(image)} names no image; registry.example/hico-webgpu:1 would`);
  if (!OBJECT.test(claim))
    throw new Error(
      `--claim ${JSON.stringify(claim)} names no volume claim: small letters, digits and dashes, such as hico-data`,
    );
}

/**
 * A manifest for `kubectl apply -f`; JSON is one of the forms it takes. The commands are read from the sweep's folder on
 * the volume, which must hold what `--emit` wrote: neither an argument (128 KiB) nor a ConfigMap (1 MiB) has room for
 * thousands of runs.
 * @throws Error for a name that Kubernetes refuses, and for data or a folder that the volume would not hold
 */
export function kubernetesJob(grid: Grid, options: KubernetesOptions): string {
  checkNames(options);
  const tasks = `${MOUNT}/${onVolume("folder", options.folder, "sweeps/NAME")}/${TASKS_FILE}`;
  for (const { settings } of grid.runs) if (settings.data !== "") onVolume("data", settings.data, "NAME.clips");
  const amounts = { cpu: String(options.threads ?? 2), memory: "4Gi" };
  const gpu = options.gpu ? { "nvidia.com/gpu": "1" } : {};
  const container = {
    name: "hico",
    image: options.image,
    workingDir: MOUNT,
    // The script is process 1 itself, with the task's number as its argument: it hears SIGTERM and passes it on.
    command: ["bash", "-c", 'exec bash "$0" "$JOB_COMPLETION_INDEX"', tasks],
    // The CPUs that are asked for, not all of the node's.
    env: [{ name: "HICO_THREADS", valueFrom: { resourceFieldRef: { resource: "requests.cpu" } } }],
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
      // A node that is drained or taken back is no failure of the task's.
      podFailurePolicy: {
        rules: [{ action: "Ignore", onPodConditions: [{ type: "DisruptionTarget", status: "True" }] }],
      },
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
