/** `hico demo`: the whole way, from generated clips to a report, without any data. */
import { join } from "node:path";
import { runDemo } from "../demo/index.ts";
import { useDevice } from "./device.ts";
import type { Subject } from "../hico/judge/evaluate.ts";
import type { RunSettings } from "../hico/run/settings.ts";
import { defineHicoCommand } from "./command.ts";
import { SUBJECT_NAMES } from "./eval/evaluation.ts";
import { DEVICE_ARGS, deviceOptions, JSON_ARG, wholeOption } from "./options.ts";
import { pretrainProgress } from "./pretrain-progress.ts";
import { interruption, keepWordsIn } from "./process-life.ts";
import { duration } from "../train/progress.ts";
import { bar, formatTable, percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  examples: [
    "hico demo                                    everything in ./hico-demo; look at hico-demo/report.html",
    "hico demo --folder try --epochs 20 --seed 3  shorter, other clips",
  ],
  args: {
    folder: {
      type: "string",
      default: "hico-demo",
      description: "Where the clips, the run and the report go; called again, it goes on there",
    },
    epochs: { type: "string", description: "Passes over the training clips" },
    subjects: { type: "string", description: "Generated people, half of whom train" },
    repetitions: { type: "string", description: "Clips of each action by each of them" },
    seed: { type: "string", description: "Seed of the clips and of the run (0)" },
    ...DEVICE_ARGS,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const data = {
      seed: wholeOption("seed", args.seed, 0),
      subjects: wholeOption("subjects", args.subjects, 2),
      repetitions: wholeOption("repetitions", args.repetitions),
    };
    const settings: Partial<RunSettings> = { epochs: wholeOption("epochs", args.epochs), seed: data.seed };
    const device = await useDevice(args.device, deviceOptions(args));
    const [line, stop] = [new ProgressLine({ every: 5000 }), interruption()];
    keepWordsIn(join(args.folder, "stderr.log"));
    try {
      const found = await runDemo({
        folder: args.folder,
        data: defined(data),
        settings: defined(settings),
        signal: stop.signal,
        onStage: (stage, part) => line.update(() => `${bar(part)} ${stage}`),
        onPretrain: pretrainProgress(line),
      }).catch((error: unknown) => {
        if (stop.signal.aborted) return undefined;
        throw error;
      });
      line.clear();
      if (!found) {
        console.error("interrupted; hico demo goes on from here");
        process.exitCode = stop.code();
      } else if (args.json) console.log(JSON.stringify(found, null, 2));
      else {
        const { linear, knn, report, seconds } = found;
        const rows = (["pretrained", "random", "raw"] as const satisfies readonly Subject[]).map((subject) => [
          SUBJECT_NAMES[subject],
          percent(linear.results[subject]!.last.accuracy),
          percent(knn.results[subject]!.accuracy),
        ]);
        console.log(
          `${linear.trainClips} training clips, ${linear.testClips} test clips of other people, ${linear.classes.length} actions`,
        );
        console.log(formatTable([["", "linear", "1-NN"], ...rows]));
        console.log(`${duration(seconds)} on ${linear.device}; look at ${report}`);
      }
    } finally {
      stop.done();
      line.clear();
      device.close();
    }
  },
});

/** Without what was not given. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}
