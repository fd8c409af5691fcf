/** `hico eval semi`: accuracy with labels of a part of the training clips. */
import { useDevice } from "../device.ts";
import { LABEL_DRAWS } from "../../hico/judge/label-draws.ts";
import { INTERVAL_NOTE } from "../../hico/judge/scores.ts";
import type { SemiScores } from "../../hico/judge/semi.ts";
import { evaluateSemi, FRACTIONS } from "../../hico/judge/semi.ts";
import { defineHicoCommand } from "../command.ts";
import { headline, meanWords } from "./evaluation.ts";
import { FINETUNE_ARGS, finetuneSettings, START_NAMES } from "./finetune-options.ts";
import { choiceOption, deviceOptions, numberOption, wholeOption } from "../options.ts";
import { interruptible } from "../process-life.ts";
import { formatTable, percent, ProgressLine } from "../progress.ts";

export default defineHicoCommand({
  examples: [
    "hico eval semi runs/nw-ucla                          1, 5, 10, 20 and 50 % of labels, 5 draws of each",
    "hico eval semi runs/nw-ucla --fractions 10 --draw random --draws 3",
    "hico eval semi runs/utd-mhad --fractions 10 --classifier cosine --lr 2e-4 --amplitude 1   for a clip or two a class",
    "hico eval semi runs/nw-ucla                          again after Ctrl-C: goes on after the last draw done",
  ],
  args: {
    ...FINETUNE_ARGS,
    fractions: {
      type: "string",
      description: `Labelled shares in percent (${FRACTIONS.map((f) => f * 100).join(",")})`,
    },
    draw: {
      type: "string",
      description: `${LABEL_DRAWS.join(" (default) or ")}: a share of every class, or of all clips`,
    },
    draws: { type: "string", description: "Draws of each share (5)" },
    "from-scratch": {
      type: "boolean",
      default: true,
      description: "Random weights as well, trained alike",
      negativeDescription: "The run's weights alone",
    },
  },
  run: async ({ args }) => {
    const settings = finetuneSettings(args);
    const fractions = args.fractions?.split(",").map((word) => shareOf(word));
    const draw = choiceOption("draw", args.draw, LABEL_DRAWS);
    const draws = wholeOption("draws", args.draws);
    const { run, checkpoint, data, protocol } = args;
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      await interruptible(async (signal) => {
        const found = await evaluateSemi({
          ...{ run, checkpoint, data, protocol, settings, fractions, draw, draws, signal },
          fromScratch: args["from-scratch"],
          onProgress: ({ fraction, draw: number, from, done, total, trained, trainings }) =>
            line.update(
              () =>
                `training ${trained + 1} of ${trainings}: ${percent(fraction)} of labels, draw ${number + 1}, ` +
                `${START_NAMES[from]} ${percent(done / total)}`,
            ),
        });
        line.clear();
        if (args.json) return console.log(JSON.stringify(found, null, 2));
        const words = (scores: SemiScores | undefined): string => (scores ? meanWords(scores, found.testClips) : "");
        const rows = found.fractions.map(({ fraction, clips, results: { pretrained, scratch } }) => [
          percent(fraction),
          clips.every((n) => n === clips[0]) ? String(clips[0]) : `${Math.min(...clips)} to ${Math.max(...clips)}`,
          words(pretrained),
          ...(scratch ? [words(scratch), (100 * (pretrained!.mean - scratch.mean)).toFixed(1)] : []),
        ]);
        const last = args["from-scratch"] ? ["from scratch", "difference"] : [];
        console.log(headline(found));
        console.log(formatTable([["labels", "clips", "pretrained", ...last], ...rows]));
        console.log(`${found.draw} draws: ${draws ?? 5}; accuracy of the last epoch, mean ± standard deviation`);
        console.log(INTERVAL_NOTE);
      });
    } finally {
      line.clear();
      device.close();
    }
  },
});

function shareOf(percentage: string): number {
  const share = numberOption("fractions", percentage)! / 100;
  if (share > 0 && share <= 1) return share;
  throw new Error(`--fractions has "${percentage}"; a share is above 0 and at most 100 percent`);
}
