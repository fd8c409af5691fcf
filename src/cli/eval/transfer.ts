/** `hico eval transfer`: a run on another data set, by a linear classifier or by fine-tuning. */
import { useDevice } from "../device.ts";
import { evaluateLinear } from "../../hico/judge/evaluate.ts";
import { evaluateFinetune } from "../../hico/judge/evaluate-finetune.ts";
import { defineHicoCommand } from "../command.ts";
import { headline, linearText, showProgress } from "./evaluation.ts";
import { FINETUNE_ARGS, finetuneSettings, finetuneTable, START_NAMES } from "./finetune-options.ts";
import { choiceOption, deviceOptions } from "../options.ts";
import { probeSettings } from "./probe-options.ts";
import { interruptible } from "../process-life.ts";
import { percent, ProgressLine } from "../progress.ts";

/** Options that a linear classifier does not know. */
const OF_FINETUNING = [
  "optimizer",
  "classifier",
  "head-lr",
  "least-steps",
  "min-scale",
  "amplitude",
  "rotation",
  "from-scratch",
] as const;

export default defineHicoCommand({
  examples: [
    "hico eval transfer runs/ntu60 --data pku-mmd-2.clips --method finetune --from-scratch",
    "hico eval transfer runs/nw-ucla --data utd-mhad.clips                 linear, with both baselines",
    "hico eval transfer runs/ntu60 --data sbu.clips --protocol sbu-fold3   joints and persons are mapped",
  ],
  args: {
    ...FINETUNE_ARGS,
    data: { type: "string", description: "The other clip store", required: true },
    protocol: { type: "string", description: "Its protocol; default its first" },
    method: { type: "string", description: "linear (default) or finetune; the options of training are those of each" },
    baselines: { type: "boolean", default: true, description: "linear: raw coordinates and a random encoder as well" },
    "from-scratch": { type: "boolean", description: "finetune: random weights as well, trained alike" },
  },
  run: async ({ args }) => {
    const method = choiceOption("method", args.method, ["linear", "finetune"]) ?? "linear";
    const given =
      method === "linear" ? OF_FINETUNING.filter((name) => args[name]) : args.baselines ? [] : ["no-baselines"];
    if (given.length > 0)
      throw new Error(`--${given[0]} is no option of --method ${method}; leave it out, or name the other method`);
    const { run, checkpoint, data, protocol } = args;
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    const show = (found: object, text: string): void => {
      line.clear();
      console.log(args.json ? JSON.stringify(found, null, 2) : text);
    };
    try {
      if (method === "linear") {
        const found = await evaluateLinear({
          ...{ run, checkpoint, data, protocol, baselines: args.baselines, name: "transfer-linear" },
          probe: probeSettings(args),
          onProgress: showProgress(line),
        });
        return show(found, linearText(found));
      }
      await interruptible(async (signal) => {
        const found = await evaluateFinetune({
          ...{ run, checkpoint, data, protocol, settings: finetuneSettings(args), signal, name: "transfer-finetune" },
          fromScratch: args["from-scratch"],
          onProgress: (from, done, total) => line.update(() => `${START_NAMES[from]}: ${percent(done / total)}`),
        });
        show(found, `${headline(found)}\n${finetuneTable(found.results)}`);
      });
    } finally {
      line.clear();
      device.close();
    }
  },
});
