/** `hico eval finetune`: accuracy after training the whole network with labels, from the run's weights. */
import { useDevice } from "../device.ts";
import { evaluateFinetune } from "../../hico/judge/evaluate-finetune.ts";
import { defineHicoCommand } from "../command.ts";
import { headline } from "./evaluation.ts";
import { FINETUNE_ARGS, finetuneSettings, finetuneTable, START_NAMES } from "./finetune-options.ts";
import { deviceOptions } from "../options.ts";
import { interruptible } from "../process-life.ts";
import { percent, ProgressLine } from "../progress.ts";

export default defineHicoCommand({
  examples: [
    "hico eval finetune runs/nw-ucla                     last epoch, best epoch, by class",
    "hico eval finetune runs/nw-ucla --from-scratch      random weights beside it",
    "hico eval finetune runs/nw-ucla --optimizer sgd --lr 0.01 --head-lr 0.1 --json",
  ],
  args: {
    ...FINETUNE_ARGS,
    "from-scratch": { type: "boolean", description: "Random weights as well, trained alike" },
  },
  run: async ({ args }) => {
    const settings = finetuneSettings(args);
    const { run, checkpoint, data, protocol } = args;
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      await interruptible(async (signal) => {
        const found = await evaluateFinetune({
          ...{ run, checkpoint, data, protocol, settings, signal },
          fromScratch: args["from-scratch"],
          onProgress: (from, done, total) => line.update(() => `${START_NAMES[from]}: ${percent(done / total)}`),
        });
        line.clear();
        console.log(args.json ? JSON.stringify(found, null, 2) : `${headline(found)}\n${finetuneTable(found.results)}`);
      });
    } finally {
      line.clear();
      device.close();
    }
  },
});
