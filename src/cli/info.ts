/** `hico info`: the adapters found, what they can do, and which device "auto" takes and why. */
import { describeSystem, formatSystem } from "../device/info.ts";
import { defineHicoCommand } from "./command.ts";
import { deviceOptions } from "./options.ts";

export default defineHicoCommand({
  examples: [
    "hico info                        what this machine has",
    "hico info --adapter swiftshader  the software driver from npm (for tests)",
    "hico info --device webgpu        whether a device can be had; exit code 1 if not",
    "hico info --json                 for scripts",
  ],
  args: {
    device: { type: "string", description: "Device to take: auto, webgpu, cpu or reference (else HICO_DEVICE)" },
    adapter: {
      type: "string",
      description:
        "Part of an adapter's name, nvidia:1 for the second of them, or swiftshader or lavapipe (else HICO_ADAPTER)",
    },
    threads: { type: "string", description: "Threads of the cpu device (else HICO_THREADS, else one a core)" },
    json: { type: "boolean", description: "Print JSON" },
  },
  run: async ({ args }) => {
    const system = await describeSystem({ device: args.device, ...deviceOptions(args) });
    console.log(args.json ? JSON.stringify(system, null, 2) : formatSystem(system));
    if (system.choice === undefined) process.exitCode = 1;
  },
});
