/** `hico data generate`: a clip store of generated actions, for trying things out without data. */
import { prepareStore } from "../../data/sources/prepare.ts";
import { generatedOnThreads } from "../../data/sources/generated.ts";
import { defineHicoCommand } from "../command.ts";
import { FORCE_ARG, JSON_ARG, numberOption, requireNew, wholeOption } from "../options.ts";
import { formatPrepareReport } from "./prepare-report.ts";
import { interruptible } from "../process-life.ts";
import { bar, ProgressLine } from "../progress.ts";

export default defineHicoCommand({
  examples: [
    "hico data generate demo.clips                                  16 subjects, 4 clips of each action by each",
    "hico data generate small.clips --subjects 4 --repetitions 1 --seed 7",
  ],
  args: {
    store: { type: "positional", description: "The clip store to write", required: true },
    seed: { type: "string", description: "Seed (0)" },
    subjects: { type: "string", description: "Subjects, half of whom train (16)" },
    repetitions: { type: "string", description: "Clips of each action by each subject (4)" },
    noise: { type: "string", description: "Factor on sensor noise (1)" },
    variety: { type: "string", description: "Factor on how people, speeds and viewpoints differ (1)" },
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const options = {
      seed: wholeOption("seed", args.seed, 0),
      subjects: wholeOption("subjects", args.subjects, 2),
      repetitions: wholeOption("repetitions", args.repetitions),
      noise: numberOption("noise", args.noise),
      variety: numberOption("variety", args.variety),
    };
    requireNew(args.store, args.force);
    const line = new ProgressLine();
    try {
      await interruptible(async (signal) => {
        const report = await prepareStore(generatedOnThreads(options), args.store, {
          notes: { kind: "generated", ...options },
          signal,
          onProgress: ({ done, total }) => line.update(() => `${bar(done / total)} ${done}/${total}`),
        });
        line.clear();
        console.log(args.json ? JSON.stringify(report, null, 2) : formatPrepareReport(report));
      }, "interrupted; nothing was written");
    } finally {
      line.clear();
    }
  },
});
