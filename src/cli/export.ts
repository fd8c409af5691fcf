/** `hico export`: a run's network for other programs. */
import { useDevice } from "./device.ts";
import { EXPORT_FORMATS, exportRun } from "../hico/exchange/export.ts";
import { defineHicoCommand } from "./command.ts";
import { choiceOption, DEVICE_ARGS, deviceOptions, FORCE_ARG, JSON_ARG, requireNew } from "./options.ts";

export default defineHicoCommand({
  examples: [
    "hico export runs/nw-ucla encoder.onnx               both views of clips in, the 2·G·d features out",
    "hico export runs/nw-ucla hico.pth.tar               what the published implementation loads",
    "hico export runs/nw-ucla network.safetensors --checkpoint best",
  ],
  args: {
    run: { type: "positional", description: "Folder of the run", required: true },
    out: { type: "positional", description: "The file to write", required: true },
    format: { type: "string", description: `${EXPORT_FORMATS.join(", ")} (what the file's ending says)` },
    checkpoint: {
      type: "string",
      description: "last (default), best, or a file: .safetensors, or a published .pth.tar",
    },
    ...DEVICE_ARGS,
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const { run, out, checkpoint } = args;
    const format = choiceOption("format", args.format, EXPORT_FORMATS);
    requireNew(out, args.force);
    const device = await useDevice(args.device, deviceOptions(args));
    try {
      const report = await exportRun({ run, out, format, checkpoint });
      const { bytes, encoder, width, temporal, spatial } = report;
      console.log(
        args.json
          ? JSON.stringify(report, null, 2)
          : `${out} (${report.format}, ${(bytes / 1e6).toFixed(1)} MB): ${encoder}, ${report.checkpoint}\n` +
              `temporal [N, ${temporal.join(", ")}], spatial [N, ${spatial.join(", ")}] → features [N, ${width}]`,
      );
    } finally {
      device.close();
    }
  },
});
