/** `hico verify`: replays a file of golden numbers on a device and tells how far off each case is. */
import { openDevice } from "../device.ts";
import { formatCase, verifyFile } from "../../verify/verify.ts";
import { defineHicoCommand } from "../command.ts";
import { DEVICE_ARGS, deviceOptions } from "../options.ts";

export default defineHicoCommand({
  examples: [
    "hico verify ops.safetensors                       on the device that auto takes",
    "hico verify ops.safetensors --device reference    in float64, to 1e-9",
    "hico verify ops.safetensors --device webgpu --adapter swiftshader",
    "hico verify ops.safetensors --tolerance 1e-5      a bar of your own",
    "hico verify ops.safetensors --json                for scripts",
  ],
  args: {
    file: { type: "positional", description: "A safetensors file of golden cases", required: true },
    ...DEVICE_ARGS,
    tolerance: {
      type: "string",
      description: "Largest error relative to each tensor's scale (1e-9 in float64, 1e-4 in float32)",
    },
    json: { type: "boolean", description: "Print JSON" },
  },
  run: async ({ args }) => {
    const tolerance = args.tolerance === undefined ? undefined : Number(args.tolerance);
    const opened = await openDevice(args.device, deviceOptions(args));
    try {
      const report = await verifyFile(args.file, opened, {
        tolerance,
        onCase: (result) => {
          if (!args.json) console.log(formatCase(result));
        },
      });
      console.log(args.json ? JSON.stringify(report, null, 2) : `${report.passed} passed, ${report.failed} failed`);
      if (report.failed > 0) process.exitCode = 1;
    } finally {
      opened.close();
    }
  },
});
