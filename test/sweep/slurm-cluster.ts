/**
 * A real Slurm on the loopback interface, for tests: munge, one controller and one node, all files in a folder of its
 * own. `scripts/slurm.sh` installs the programs.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue"];

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Why no cluster can be had here; undefined where one can. */
export function whyNoSlurm(): string | undefined {
  if (process.platform !== "linux") return "Slurm is for Linux";
  if (process.getuid?.() !== 0) return "slurmd wants to be root";
  const missing = PROGRAMS.filter((name) => !PATH.split(":").some((folder) => existsSync(join(folder, name))));
  return missing.length === 0 ? undefined : `${missing.join(", ")} not installed: scripts/slurm.sh`;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class SlurmCluster {
  readonly #folder: string;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#env = { ...process.env, PATH, SLURM_CONF: join(folder, "slurm.conf") };
  }

  /** Starts the daemons and waits for the node. @param folder empty, with a short path: it holds a socket. */
  static async start(folder: string): Promise<SlurmCluster> {
    const at = (name: string): string => join(folder, name);
    for (const name of ["state", "spool"]) mkdirSync(at(name), { recursive: true });
    writeFileSync(at("munge.key"), randomBytes(1024), { mode: 0o400 });
    const host = hostname().split(".")[0]!;
    const { username } = userInfo();
    const settings: Record<string, string | number> = {
      ClusterName: "hico",
      SlurmctldHost: `${host}(127.0.0.1)`,
      SlurmUser: username,
      SlurmdUser: username,
      AuthType: "auth/munge",
      // A requeued task may start again once its credential has expired: two minutes by default.
      AuthInfo: `socket=${at("munge.sock")},cred_expire=5`,
      SlurmctldPort: await freePort(),
      SlurmdPort: await freePort(),
      SlurmctldPidFile: at("slurmctld.pid"),
      SlurmdPidFile: at("slurmd.pid"),
      SlurmctldLogFile: at("slurmctld.log"),
      SlurmdLogFile: at("slurmd.log"),
      StateSaveLocation: at("state"),
      SlurmdSpoolDir: at("spool"),
      ProctrackType: "proctrack/linuxproc",
      TaskPlugin: "task/none",
      SelectType: "select/cons_tres",
      SelectTypeParameters: "CR_Core",
      ReturnToService: 2,
      SchedulerParameters: "sched_interval=1,bf_interval=1",
      KillWait: 30,
      MpiDefault: "none",
    };
    const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    lines.push(`NodeName=${host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN`);
    lines.push(`PartitionName=main Nodes=${host} Default=YES MaxTime=60 State=UP`);
    writeFileSync(at("slurm.conf"), `${lines.join("\n")}\n`);
    const cluster = new SlurmCluster(folder);
    try {
      const munge = { socket: "munge.sock", "key-file": "munge.key", "log-file": "munged.log" };
      const more = { "pid-file": "munged.pid", "seed-file": "munged.seed" };
      const options = Object.entries({ ...munge, ...more }).map(([name, file]) => `--${name}=${at(file)}`);
      cluster.run("munged", ["--force", ...options]);
      for (const daemon of ["slurmctld", "slurmd"]) cluster.run(daemon, ["-f", at("slurm.conf")]);
      const idle = (): boolean => cluster.run("sinfo", ["--noheader", "-o", "%t"]).startsWith("idle");
      await cluster.until("the node is idle", idle, 3);
    } catch (error) {
      cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Runs one of Slurm's programs. @throws Error with what it said. */
  run(program: string, args: readonly string[], cwd?: string): string {
    return execFileSync(program, args, { env: this.#env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"], cwd });
  }

  /** Submits a script; the job's number. */
  submit(script: string, cwd: string): number {
    return Number(/(\d+)/.exec(this.run("sbatch", [script], cwd))![1]);
  }

  /** What Slurm has understood of a script, by its names of fields: submitted, held, and cancelled. */
  held(script: string, cwd: string): Record<string, string> {
    const job = Number(/(\d+)/.exec(this.run("sbatch", ["--hold", script], cwd))![1]);
    const fields = this.run("scontrol", ["show", "job", String(job)]).matchAll(
      /(?:^|\s)([\w/]+)=(.*?)(?=\s+[\w/:]+=|\s*$)/gm,
    );
    const found = Object.fromEntries([...fields].map(([, name, value]) => [name!, value!]));
    this.run("scancel", [String(job)]);
    return found;
  }

  /** States of a job's tasks by number, such as COMPLETED. */
  states(job: number): Map<number, string> {
    const text = this.run("scontrol", ["--oneliner", "show", "job", String(job)]);
    const states = new Map<number, string>();
    for (const line of text.trim().split("\n")) {
      const task = /ArrayTaskId=(\d+) /.exec(line)?.[1];
      if (task !== undefined) states.set(Number(task), /JobState=(\S+)/.exec(line)![1]!);
    }
    return states;
  }

  /**
   * Waits for a state of the cluster. @throws Error with the daemons' last words after so many minutes: a loaded machine
   * takes its time over work.
   */
  async until(what: string, is: () => boolean, minutes = 20): Promise<void> {
    for (const end = Date.now() + minutes * 60_000; Date.now() < end; await sleep(200)) if (is()) return;
    const logs = ["slurmctld.log", "slurmd.log"]
      .map((name) => join(this.#folder, name))
      .filter((path) => existsSync(path));
    throw new Error(
      `after ${minutes} minutes it is not so that ${what}:\n${logs.map((path) => readFileSync(path, "utf8").slice(-2000)).join("\n")}`,
    );
  }

  /** Ends the daemons and whatever runs in them. */
  stop(): void {
    spawnSync("scancel", ["--full", "--signal=KILL", "--user", userInfo().username], { env: this.#env });
    for (const daemon of ["slurmd", "slurmctld", "munged"]) {
      const file = join(this.#folder, `${daemon}.pid`);
      if (!existsSync(file)) continue;
      try {
        process.kill(Number(readFileSync(file, "utf8").trim()), "SIGTERM");
      } catch {
        // It has ended already.
      }
    }
  }
}
