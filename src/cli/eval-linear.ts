/** `hico eval linear`: accuracy of a linear classifier on a run's frozen features. */
import { useDevice } from "../device/index.ts";
import type { Subject } from "../hico/evaluate.ts";
import { evaluateLinear } from "../hico/evaluate.ts";
import { PROBE_SETTINGS } from "../hico/linear-probe.ts";
import { defineHicoCommand } from "./command.ts";
import { EVALUATION_ARGS, showProgress, SUBJECT_NAMES, worstClasses } from "./evaluation.ts";
import { deviceOptions, numberOption, wholeOption } from "./options.ts";
import { formatTable, percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  meta: { name: "linear", description: "A linear classifier on frozen features" },
  examples: [
    "hico eval linear runs/nw-ucla                     the paper's settings",
    "hico eval linear runs/nw-ucla --lr 0.3 --weight-decay 0.005    for sets of a few hundred clips",
    "hico eval linear runs/nw-ucla --checkpoint best --no-baselines --json",
  ],
  args: {
    ...EVALUATION_ARGS,
    lr: { type: "string", description: `Learning rate (${PROBE_SETTINGS.lr})` },
    epochs: { type: "string", description: `Epochs (${PROBE_SETTINGS.epochs}); the rate falls at 5/8 and 7/8 of them` },
    batch: {
      type: "string",
      description: `Clips in a step (${PROBE_SETTINGS.batch}, or fewer where an epoch would have less than 16 steps)`,
    },
    "weight-decay": {
      type: "string",
      description: `Weight decay (${PROBE_SETTINGS.weightDecay}); a few hundred clips want some, with a lower rate`,
    },
    seed: { type: "string", description: `Seed of first values and order (${PROBE_SETTINGS.seed})` },
  },
  run: async ({ args }) => {
    const epochs = wholeOption("epochs", args.epochs) ?? PROBE_SETTINGS.epochs;
    const probe = {
      epochs,
      drops: PROBE_SETTINGS.drops.map((at) => Math.round((at / PROBE_SETTINGS.epochs) * epochs)),
      lr: numberOption("lr", args.lr) ?? PROBE_SETTINGS.lr,
      weightDecay: numberOption("weight-decay", args["weight-decay"]) ?? PROBE_SETTINGS.weightDecay,
      batch: wholeOption("batch", args.batch),
      seed: wholeOption("seed", args.seed, 0) ?? PROBE_SETTINGS.seed,
    };
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const { run, checkpoint, data, protocol, baselines } = args;
      const found = await evaluateLinear({
        run,
        checkpoint,
        data,
        protocol,
        baselines,
        probe,
        onProgress: showProgress(line),
      });
      line.clear();
      if (args.json) console.log(JSON.stringify(found, null, 2));
      else {
        const rows = Object.entries(found.results).map(([subject, { last, best }]) => [
          SUBJECT_NAMES[subject as Subject],
          percent(last.accuracy),
          percent(last.top5),
          percent(best.accuracy),
          String(best.epoch),
        ]);
        console.log(
          `${found.protocol}: ${found.trainClips} training and ${found.testClips} test clips, ${found.checkpoint}`,
        );
        console.log(formatTable([["", "last epoch", "top-5", "best epoch", "at"], ...rows]));
        console.log("best epoch: chosen on the test clips, so an upper bound");
        console.log(`hardest classes: ${worstClasses(found.results.pretrained!.last.perClass)}`);
      }
    } finally {
      device.close();
    }
  },
});
