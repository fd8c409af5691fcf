/** The adapter: what it is called, its limits, the features it has and those the engine asks for. */
import { adapterName, usefulFeatures, usefulLimits } from "../../src/device/webgpu/gpu/describe.ts";
import type { Part } from "./part.ts";
import { hasTimestamps } from "./timing.ts";

export const adapterPart: Part = {
  name: "adapter",
  title: "Adapter",
  seconds: { full: 1, small: 1 },
  run: async ({ device }) => {
    const { info, profile, limits } = device.gpu;
    const known: readonly string[] = usefulFeatures;
    return {
      summary: `${adapterName(info)}, ${info.description || "no driver named"}`,
      tables: [
        {
          title: "What it is",
          columns: [
            { key: "name", label: "property", kind: "text" },
            { key: "value", label: "value", kind: "text" },
          ],
          rows: Object.entries({
            adapter: adapterName(info),
            vendor: info.vendor,
            architecture: info.architecture,
            driver: info.description,
            backend: info.backend ?? "",
            kind: info.isSoftware ? "computes on the CPU" : "GPU",
            subgroups: `${info.subgroupMinSize} to ${info.subgroupMaxSize} invocations`,
            timestamps: hasTimestamps(device.gpu) ? "the adapter's own clock" : "none: times are the host's",
            profile: Object.entries(profile)
              .map(([key, value]) => `${key} ${value}`)
              .join(", "),
          }).map(([name, value]) => ({ name, value: value || "not told" })),
        },
        {
          title: "Limits",
          columns: [
            { key: "name", label: "limit", kind: "text" },
            { key: "adapter", label: "adapter", kind: "number" },
            { key: "device", label: "device", kind: "number" },
          ],
          rows: usefulLimits.map((name) => ({ name, adapter: info.limits[name], device: Number(limits[name]) })),
        },
        {
          title: "Features",
          columns: [
            { key: "name", label: "feature", kind: "text" },
            { key: "use", label: "the engine", kind: "text" },
          ],
          rows: info.features.map((name) => ({ name, use: known.includes(name) ? "asks for it" : "–" })),
        },
      ],
      notes: usefulFeatures
        .filter((name) => !info.features.includes(name))
        .map((name) => `${name}: not on this adapter`),
    };
  },
};
