/** `hico report`: a run as one HTML file to look at. */
import { join } from "node:path";
import { useDevice } from "./device.ts";
import { writeReport } from "../report/index.ts";
import { defineHicoCommand } from "./command.ts";
import { DEVICE_ARGS, deviceOptions, FORCE_ARG, JSON_ARG, requireNew, wholeOption } from "./options.ts";
import { percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  examples: [
    "hico report runs/nw-ucla                        writes runs/nw-ucla/report.html",
    "hico report runs/nw-ucla --out ucla.html --queries 12 --neighbours 8",
    "hico report runs/nw-ucla --checkpoint best --data other.clips",
    "hico report runs/nw-ucla --compare runs/tuned    class by class beside another run that was judged",
    "hico report runs/nw-ucla --svg figures           the figures as SVG files as well",
  ],
  args: {
    run: { type: "positional", description: "Folder of the run; results of hico eval in it are shown", required: true },
    out: { type: "string", description: "The page to write (report.html in the run's folder)" },
    checkpoint: {
      type: "string",
      description: "last (default), best, or a file: .safetensors, or a published .pth.tar",
    },
    data: { type: "string", description: "Another clip store than the run's" },
    protocol: { type: "string", description: "Another protocol than the run's" },
    compare: { type: "string", description: "Folder of another run, to show beside this one class by class" },
    svg: { type: "string", description: "Folder to write the figures into as SVG files" },
    map: { type: "string", description: "Test clips on the map at most (600)" },
    queries: { type: "string", description: "Queries of the retrieval gallery (8)" },
    neighbours: { type: "string", description: "Neighbours of each query (5)" },
    ...DEVICE_ARGS,
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const { run, out, checkpoint, data, protocol, compare, svg } = args;
    const sizes = {
      mapClips: wholeOption("map", args.map),
      queries: wholeOption("queries", args.queries),
      neighbours: wholeOption("neighbours", args.neighbours),
    };
    requireNew(out, args.force);
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const written = await writeReport({
        run,
        out,
        checkpoint,
        data,
        protocol,
        compare,
        svg,
        ...sizes,
        onPage: (page) => (out === undefined ? requireNew(join(run, page), args.force) : undefined),
        onProgress: (stage, done, total) => line.update(() => `${stage} ${percent(done / total)}`),
      });
      line.clear();
      const { path, bytes, figures } = written;
      const { results, levels } = written.data;
      const daviesBouldin = levels?.levels.map((level) => level.daviesBouldin);
      const lines = [
        `${path} (${(bytes / 1e6).toFixed(1)} MB)`,
        ...written.data.notes.map((note) => `note: ${note}`),
        ...(figures.length > 0 ? [`figures: ${figures.join(", ")}`] : []),
      ];
      console.log(
        args.json ? JSON.stringify({ path, bytes, figures, results, daviesBouldin }, null, 2) : lines.join("\n"),
      );
    } finally {
      line.clear();
      device.close();
    }
  },
});
