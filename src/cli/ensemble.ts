/** `hico ensemble`: several runs fused, and each of them alone. */
import { useDevice } from "./device.ts";
import type { EnsembleEvaluation } from "../hico/judge/fusion/ensemble.ts";
import { ENSEMBLE_METHODS, evaluateEnsemble } from "../hico/judge/fusion/ensemble.ts";
import { writeJson } from "../hico/run/folder.ts";
import { INTERVAL_NOTE, type RankedScores, type Scores } from "../hico/judge/scores.ts";
import { defineHicoCommand } from "./command.ts";
import { accuracyWords, worstClasses } from "./eval/evaluation.ts";
import {
  choiceOption,
  DEVICE_ARGS,
  deviceOptions,
  FORCE_ARG,
  JSON_ARG,
  numberOption,
  requireNew,
  wholeOption,
} from "./options.ts";
import { PROBE_ARGS, probeSettings } from "./eval/probe-options.ts";
import { formatTable, percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  examples: [
    "hico ensemble runs/joint runs/motion runs/bone                        softmax scores summed",
    "hico ensemble runs/joint runs/motion runs/bone --weights 0.6,0.6,0.4",
    "hico ensemble runs/joint runs/motion runs/bone --weights search       chosen on training clips held out",
    "hico ensemble runs/joint runs/motion runs/bone --method knn --json    similarities summed",
  ],
  args: {
    runs: { type: "positional", description: "Folders of the runs, two or more", required: true },
    method: { type: "string", description: "linear (default): classifiers' softmax scores; knn: cosine similarities" },
    weights: { type: "string", description: "One for each run, or search; default equal ones" },
    k: { type: "string", description: "knn: neighbours that vote (1)" },
    checkpoint: { type: "string", description: "last (default) or best of each run" },
    data: { type: "string", description: "Another clip store than the runs'" },
    protocol: { type: "string", description: "Another protocol than the runs'" },
    out: { type: "string", description: "Write the result to this JSON file" },
    ...PROBE_ARGS,
    ...DEVICE_ARGS,
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  several: true,
  run: async ({ args }) => {
    const { checkpoint, data, protocol } = args;
    const weights =
      args.weights === "search" ? "search" : args.weights?.split(",").map((w) => numberOption("weights", w)!);
    const method = choiceOption("method", args.method, ENSEMBLE_METHODS);
    const [k, probe] = [wholeOption("k", args.k), probeSettings(args)];
    requireNew(args.out, args.force);
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const found = await evaluateEnsemble({
        ...{ runs: args._, method, weights, k, probe, checkpoint, data, protocol },
        onProgress: (run, stage, done, total) => line.update(() => `${run}: ${stage} ${percent(done / total)}`),
      });
      line.clear();
      if (args.out !== undefined) writeJson(args.out, found);
      console.log(args.json ? JSON.stringify(found, null, 2) : text(found));
    } finally {
      line.clear();
      device.close();
    }
  },
});

function text({ method, protocol, trainClips, testClips, runs, fused, search }: EnsembleEvaluation): string {
  const top5 = ({ top5: share, top5Interval }: Scores & Partial<RankedScores>): string[] =>
    method === "linear" ? [accuracyWords(share!, top5Interval!)] : [];
  const rows = runs.map(({ run, stream, weight, result }) => [
    run,
    stream,
    String(Number(weight.toFixed(3))),
    accuracyWords(result.accuracy, result.interval),
    ...top5(result),
  ]);
  const best = Math.max(...runs.map(({ result }) => result.accuracy));
  const head = [
    "",
    "stream",
    "weight",
    method === "linear" ? "linear" : "k-NN",
    ...(method === "linear" ? ["top-5"] : []),
  ];
  const seen = runs.filter(({ seenInPretraining }) => seenInPretraining > 0);
  return [
    `${protocol}: ${trainClips} training and ${testClips} test clips, matched by name`,
    formatTable([head, ...rows, ["fused", "", "", accuracyWords(fused.accuracy, fused.interval), ...top5(fused)]]),
    INTERVAL_NOTE,
    `fusion against the best of them: ${(100 * (fused.accuracy - best)).toFixed(1)} points`,
    ...(search
      ? [
          `weights searched on ${search.clips} training clips, held out in ${search.groups} groups: ${percent(search.accuracy)} there`,
        ]
      : []),
    ...seen.map(
      ({ run, seenInPretraining: n }) => `note: ${run} was pretrained on ${n} of the test clips, without their labels`,
    ),
    `hardest classes: ${worstClasses(fused.perClass)}`,
  ].join("\n");
}
