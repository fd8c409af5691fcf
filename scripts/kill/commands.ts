/** The commands that `kill-resume` drills, each in a folder of its own: what is there before it, its words, its sizes. */
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { flagOf } from "../../src/hico/run/settings.ts";

/** Files that several commands start from, made once. */
export interface Made {
  /** A clip store. */
  readonly data: string;
  /** A folder of recordings with the layout `arm.json`. */
  readonly recordings: string;
  /** A short run of `data`. */
  readonly model: string;
  /** The run's network as the published implementation saves it. */
  readonly published: string;
}

/** A command in a folder of its own. */
export interface Command {
  readonly before?: (at: string) => void;
  readonly words: (at: string) => string[];
  /** It refuses what is there already without `--force`: a file that a killed attempt had finished. */
  readonly force?: boolean;
  /** Names of files that hold measurements of time, and differ from run to run. */
  readonly timed?: RegExp;
}

const flags = (settings: object): string[] =>
  Object.entries(settings).map(([name, value]) => `--${flagOf(name)}=${value}`);

/** The drilled commands by name. @param encoder of the runs, @param epochs of pretraining */
export function commandsOf(made: Made, encoder: string, epochs: number, device: string): Record<string, Command> {
  const { data, recordings, model, published } = made;
  const on = [`--device=${device}`];
  const sizes = {
    ...{ encoder, hidden: 4, heads: 2, layers: 1, projection: 4, queue: 8, granularity: 1, batch: 4, frames: 8 },
    ...{ minFrames: 4, saveEvery: 1, logEvery: 3, seed: 3, dropout: 0.2, workers: 0 },
  };
  const short = ["--epochs=1", "--least-steps=6", "--batch=4"];
  const onModel = (words: (run: string, at: string) => string[], more: Partial<Command> = {}): Command => ({
    before: (at) => cpSync(model, join(at, "run"), { recursive: true }),
    words: (at) => [...words(join(at, "run"), at), ...on],
    ...more,
  });
  const forced = { force: true };
  return {
    pretrain: {
      words: (at) => [
        "pretrain",
        "--data",
        data,
        "--run",
        join(at, "run"),
        "--resume",
        ...flags({ ...sizes, epochs }),
        ...on,
      ],
    },
    linear: onModel((run) => ["eval", "linear", run, "--epochs=4", "--no-baselines"]),
    knn: onModel((run) => ["eval", "knn", run, "--no-baselines"]),
    finetune: onModel((run) => ["eval", "finetune", run, ...short]),
    semi: onModel((run) => ["eval", "semi", run, ...short, "--fractions=50", "--draws=2"]),
    transfer: onModel((run) => ["eval", "transfer", run, "--data", data, "--epochs=4", "--no-baselines"]),
    ensemble: onModel((run, at) => ["ensemble", run, model, "--method=knn", "--out", join(at, "fused.json")], forced),
    embed: onModel((run, at) => ["embed", run, join(at, "features.npy")], forced),
    search: onModel((run, at) => ["search", "3", data, "--run", run, "--report", join(at, "found.html")], forced),
    export: onModel((run, at) => ["export", run, join(at, "model.safetensors")], forced),
    onnx: onModel((run, at) => ["export", run, join(at, "model.onnx")], forced),
    torch: onModel((run, at) => ["export", run, join(at, "model.pth.tar")], forced),
    import: { words: (at) => ["import", published, "--run", join(at, "run"), "--data", data, ...on] },
    report: onModel((run, at) => ["report", run, "--svg", join(at, "figures")], forced),
    look: { words: (at) => ["data", "look", data, "--out", join(at, "look.html")], ...forced },
    prepare: {
      words: (at) => [
        "data",
        "prepare",
        "csv",
        recordings,
        join(at, "own.clips"),
        "--spec",
        join(recordings, "spec.json"),
      ],
      ...forced,
    },
    generate: { words: (at) => ["data", "generate", join(at, "made.clips"), "--subjects=2"], ...forced },
    sweep: {
      before: (at) =>
        writeFileSync(
          join(at, "grid.json"),
          JSON.stringify({
            settings: { ...sizes, data, epochs: 2, seed: undefined },
            seeds: [0, 1],
            eval: { knn: { k: 1 } },
          }),
        ),
      words: (at) => ["sweep", join(at, "grid.json"), "--folder", join(at, "sweep"), ...on],
    },
    demo: {
      words: (at) => ["demo", "--folder", join(at, "demo"), "--epochs=1", "--subjects=2", "--repetitions=5", ...on],
    },
    bench: {
      words: (at) => ["bench", "--quick", "--only=softmax", "--no-peers", "--json", join(at, "bench.json"), ...on],
      timed: /bench\.json$/,
      ...forced,
    },
    info: { words: () => ["data", "info", data, "--verify"] },
  };
}

/** Forty recordings of a skeleton of five joints, with what describes them. */
export function makeRecordings(recordings: string): void {
  mkdirSync(recordings);
  const joints = ["hip", "chest", "head", "hand", "foot"];
  const layout = { name: "arm", joints, parents: [-1, 0, 1, 1, 0], persons: 1 };
  writeFileSync(join(recordings, "spec.json"), JSON.stringify({ layout, fields: ["x", "y", "z"] }));
  const columns = joints.flatMap((joint) => ["x", "y", "z"].map((axis) => `${joint}_${axis}`));
  for (let file = 0; file < 40; file++) {
    const rows = Array.from({ length: 100 }, (_, t) =>
      columns.map((_name, c) => Math.sin(t / 9 + c + file).toFixed(4)),
    );
    writeFileSync(join(recordings, `take${file}.csv`), [columns, ...rows].map((row) => row.join(",")).join("\n"));
  }
}
