/** `hico eval linear`: accuracy of a linear classifier on a run's frozen features. */
import { useDevice } from "../device.ts";
import { defineHicoCommand } from "../command.ts";
import { EVALUATION_ARGS, linearText, showProgress } from "./evaluation.ts";
import { foldsText, judgeFolds, runsOf } from "./folds.ts";
import { deviceOptions } from "../options.ts";
import { PROBE_ARGS, probeSettings } from "./probe-options.ts";
import { ProgressLine } from "../progress.ts";

/** Loaded when there is something to judge: help and mistakes in options need none of it. */
const loadJudge = () => import("../../hico/judge/evaluate.ts");

export default defineHicoCommand({
  examples: [
    "hico eval linear runs/nw-ucla                     the paper's settings",
    "hico eval linear runs/nw-ucla --lr 0.3 --weight-decay 0.005    for sets of a few hundred clips",
    "hico eval linear runs/nw-ucla --checkpoint best --no-baselines --json",
    "hico eval linear runs/sbu-1 --protocol all         every protocol of its store; says which test clips it has seen",
    "hico eval linear runs/sbu-1 runs/sbu-2 runs/sbu-3 runs/sbu-4 runs/sbu-5 --protocol all   a run a fold, and their mean",
  ],
  args: { ...EVALUATION_ARGS, ...PROBE_ARGS },
  several: true,
  run: async ({ args }) => {
    const probe = probeSettings(args);
    const { evaluateLinear } = await loadJudge();
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const { checkpoint, data, baselines } = args;
      const onProgress = showProgress(line);
      const found = await judgeFolds(
        runsOf(args),
        args,
        ({ run, protocol }) => evaluateLinear({ run, checkpoint, data, protocol, baselines, probe, onProgress }),
        ({ last }) => last.accuracy,
      );
      line.clear();
      if (args.json) console.log(JSON.stringify(found, null, 2));
      else
        console.log(
          found.kind === "folds" ? foldsText(found, ({ last }) => last.accuracy, "last epoch") : linearText(found),
        );
    } finally {
      device.close();
    }
  },
});
