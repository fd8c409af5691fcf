/** `hico import`: a checkpoint of the published implementation becomes a run. */
import { STREAMS } from "../data/skeleton/streams.ts";
import { useDevice } from "./device.ts";
import type { ImportReport } from "../hico/exchange/import.ts";
import { importCheckpoint } from "../hico/exchange/import.ts";
import { defineHicoCommand } from "./command.ts";
import { choiceOption, DEVICE_ARGS, deviceOptions, JSON_ARG, wholeOption } from "./options.ts";

export default defineHicoCommand({
  examples: [
    "hico import checkpoint_0450.pth.tar --run runs/released --data ntu60.clips",
    "hico import checkpoint_0450.pth.tar --run runs/released --data ntu60.clips --heads 8    a Transformer of 8 heads",
    "hico eval knn runs/released                                                            as any other run",
  ],
  args: {
    file: { type: "positional", description: "The checkpoint (.pth.tar), as torch.save wrote it", required: true },
    run: { type: "string", description: "Folder of the run to write", required: true },
    data: {
      type: "string",
      description: "Clip store of the layout that the checkpoint was trained on",
      required: true,
    },
    heads: { type: "string", description: "Heads of a Transformer, which cannot be inferred (4)" },
    stream: { type: "string", description: `What it was trained on: ${STREAMS.join(", ")} (joint)` },
    protocol: { type: "string", description: "Protocol of the store (its first)" },
    ...DEVICE_ARGS,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const { file, run, data, protocol } = args;
    const heads = wholeOption("heads", args.heads);
    const stream = choiceOption("stream", args.stream, STREAMS);
    const device = await useDevice(args.device, deviceOptions(args));
    try {
      const report = await importCheckpoint({ file, run, data, heads, stream, protocol });
      console.log(args.json ? JSON.stringify(report, null, 2) : formatReport(report, heads !== undefined));
    } finally {
      device.close();
    }
  },
});

function formatReport(report: ImportReport, headsGiven: boolean): string {
  const {
    run,
    checkpoint,
    encoder,
    hidden,
    layers,
    granularity,
    projection,
    queue,
    frames,
    tokens,
    layout,
    heads,
    epoch,
  } = report;
  const lines = [
    `${run}: ${encoder}, d ${hidden}, ${layers} layer${layers > 1 ? "s" : ""}, G ${granularity}, projection ${projection}, K ${queue}; ` +
      `${frames} frames × ${tokens} joints (${layout})`,
    `${checkpoint}${epoch === undefined ? "" : `, trained for ${epoch} epochs`}`,
  ];
  if (heads !== undefined && !headsGiven) {
    lines.push(`taken as ${heads} heads, which no tensor tells; --heads says otherwise`);
  }
  return lines.join("\n");
}
