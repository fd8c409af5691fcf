/** `hico eval knn`: accuracy of the nearest training clips by cosine similarity. */
import { useDevice } from "../device/index.ts";
import type { Subject } from "../hico/evaluate.ts";
import { evaluateKnn } from "../hico/evaluate.ts";
import { defineHicoCommand } from "./command.ts";
import { EVALUATION_ARGS, showProgress, SUBJECT_NAMES, worstClasses } from "./evaluation.ts";
import { deviceOptions, wholeOption } from "./options.ts";
import { formatTable, percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  meta: { name: "knn", description: "Retrieval: the class of the nearest training clips (cosine)" },
  examples: [
    "hico eval knn runs/nw-ucla                 1-NN, as the field reports it",
    "hico eval knn runs/nw-ucla --k 5           majority of five",
    "hico eval knn runs/nw-ucla --checkpoint best --no-baselines --json",
    "hico eval knn runs/nw-ucla --data other.clips --protocol given",
  ],
  args: { ...EVALUATION_ARGS, k: { type: "string", description: "Neighbours that vote (1)" } },
  run: async ({ args }) => {
    const k = wholeOption("k", args.k);
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const { run, checkpoint, data, protocol, baselines } = args;
      const found = await evaluateKnn({
        run,
        checkpoint,
        data,
        protocol,
        baselines,
        k,
        onProgress: showProgress(line),
      });
      line.clear();
      if (args.json) console.log(JSON.stringify(found, null, 2));
      else {
        const rows = Object.entries(found.results).map(([subject, result]) => [
          SUBJECT_NAMES[subject as Subject],
          percent(result.accuracy),
        ]);
        console.log(
          `${found.protocol}: ${found.testClips} test clips against ${found.trainClips}, ${found.checkpoint}`,
        );
        console.log(formatTable([["", `${k ?? 1}-NN`], ...rows]));
        console.log(`hardest classes: ${worstClasses(found.results.pretrained!.perClass)}`);
      }
    } finally {
      device.close();
    }
  },
});
