/** `hico eval knn`: accuracy of the nearest training clips by cosine similarity. */
import { useDevice } from "../device.ts";
import { defineHicoCommand } from "../command.ts";
import { EVALUATION_ARGS, knnText, showProgress } from "./evaluation.ts";
import { foldsText, judgeFolds, runsOf } from "./folds.ts";
import { deviceOptions, wholeOption } from "../options.ts";
import { ProgressLine } from "../progress.ts";

/** Loaded when there is something to judge: help and mistakes in options need none of it. */
const loadJudge = () => import("../../hico/judge/evaluate.ts");

export default defineHicoCommand({
  examples: [
    "hico eval knn runs/nw-ucla                 1-NN, as the field reports it",
    "hico eval knn runs/nw-ucla --k 5           majority of five",
    "hico eval knn runs/nw-ucla --checkpoint best --no-baselines --json",
    "hico eval knn runs/nw-ucla --data other.clips --protocol given",
    "hico eval knn runs/seed-0 runs/seed-1 runs/seed-2     each alone, and their mean",
  ],
  args: { ...EVALUATION_ARGS, k: { type: "string", description: "Neighbours that vote (1)" } },
  several: true,
  run: async ({ args }) => {
    const k = wholeOption("k", args.k);
    const { evaluateKnn } = await loadJudge();
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const { checkpoint, data, baselines } = args;
      const onProgress = showProgress(line);
      const found = await judgeFolds(
        runsOf(args),
        args,
        ({ run, protocol }) => evaluateKnn({ run, checkpoint, data, protocol, baselines, k, onProgress }),
        ({ accuracy }) => accuracy,
      );
      line.clear();
      if (args.json) console.log(JSON.stringify(found, null, 2));
      else
        console.log(
          found.kind === "folds" ? foldsText(found, ({ accuracy }) => accuracy, `${k ?? 1}-NN`) : knnText(found),
        );
    } finally {
      device.close();
    }
  },
});
