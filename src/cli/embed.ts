/** `hico embed`: features of clips as an npy file. */
import { useDevice } from "./device.ts";
import { requireWritable } from "../io/byte-sink.ts";
import { embed } from "../hico/exchange/embed.ts";
import { defineHicoCommand } from "./command.ts";
import { choiceOption, DEVICE_ARGS, deviceOptions, FORCE_ARG, JSON_ARG, requireNew } from "./options.ts";
import { percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  examples: [
    "hico embed runs/nw-ucla features.npy                    all clips of the run's store",
    "hico embed runs/nw-ucla test.npy --split test           those that test under the run's protocol",
    "hico embed runs/nw-ucla mine.npy --data my.clips        other clips of the same layout",
  ],
  args: {
    run: { type: "positional", description: "Folder of the run", required: true },
    out: { type: "positional", description: "The npy file to write", required: true },
    split: { type: "string", description: "all (default), train or test" },
    checkpoint: { type: "string", description: "last (default), best, or a file" },
    data: { type: "string", description: "Another clip store than the run's" },
    protocol: { type: "string", description: "Another protocol than the run's" },
    ...DEVICE_ARGS,
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const split = choiceOption("split", args.split, ["all", "train", "test"]);
    if (args.out !== undefined) requireWritable(args.out);
    requireNew(args.out, args.force);
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const { run, out, checkpoint, data, protocol } = args;
      const onProgress = (done: number, total: number): void => line.update(() => `features ${percent(done / total)}`);
      const report = await embed({ run, out, checkpoint, data, protocol, split, onProgress });
      line.clear();
      console.log(
        args.json
          ? JSON.stringify(report, null, 2)
          : `${report.out}: ${report.clips} clips × ${report.width}; ${report.facts}`,
      );
    } finally {
      device.close();
    }
  },
});
