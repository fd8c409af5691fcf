/** `hico search`: the clips of a store that are nearest to a query. */
import { useDevice } from "./device.ts";
import type { SearchedQuery } from "../hico/judge/search.ts";
import { search } from "../hico/judge/search.ts";
import { writeSearchReport } from "../report/index.ts";
import { defineHicoCommand } from "./command.ts";
import { choiceOption, DEVICE_ARGS, deviceOptions, FORCE_ARG, JSON_ARG, requireNew, wholeOption } from "./options.ts";
import { formatTable, percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  examples: [
    "hico search 17 nw-ucla.clips --run runs/nw-ucla                        clip 17 of the store, by its number",
    "hico search wave_p1_r1 gen.clips --run runs/gen --k 5 --report wave.html",
    "hico search 3 nw-ucla.clips --run runs/nw-ucla --from utd-mhad.clips   a clip of another store",
    "hico search squat.csv my.clips --run runs/mine --window 4s             a recording, window by window",
  ],
  args: {
    query: { type: "positional", description: "Name or number of a clip, or a CSV recording", required: true },
    store: { type: "positional", description: "The clip store to search", required: true },
    run: { type: "string", description: "Folder of the run whose features are compared", required: true },
    checkpoint: {
      type: "string",
      description: "last (default), best, or a file: .safetensors, or a published .pth.tar",
    },
    from: { type: "string", description: "The store that the query is a clip of (the one that is searched)" },
    split: { type: "string", description: "Clips searched: all (default), train or test under the run's protocol" },
    k: { type: "string", description: "Clips found (10)" },
    report: { type: "string", description: "An HTML page to write, with the skeletons moving" },
    spec: { type: "string", description: "A recording's columns, as for hico data prepare csv (raw Kinect v2)" },
    map: { type: "string", description: "A recording's JSON map to the 25 joints of NTU" },
    window: { type: "string", description: "Windows of a recording: frames (90) or seconds (3s); each is a query" },
    units: { type: "string", description: "A recording's unit: m, cm or mm (by the size of bodies)" },
    hop: { type: "string", description: "From one window to the next, likewise (half a window)" },
    ...DEVICE_ARGS,
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const { query, run, checkpoint, from, report: page, spec, map, window, hop } = args;
    if (page !== undefined && !page.endsWith(".html")) throw new Error(`--report is "${page}"; it must end in .html`);
    const k = wholeOption("k", args.k);
    const split = choiceOption("split", args.split, ["all", "train", "test"]);
    requireNew(page, args.force);
    const device = await useDevice(args.device, deviceOptions(args));
    const line = new ProgressLine();
    try {
      const result = await search({
        ...{ query, data: args.store, run, checkpoint, from, split, k, spec, map, window, hop },
        units: choiceOption("units", args.units, ["m", "cm", "mm"]),
        onProgress: (stage, done, total) => line.update(() => `features of ${stage} ${percent(done / total)}`),
      });
      line.clear();
      const { report } = result;
      if (page !== undefined) writeSearchReport(page, result);
      if (args.json) console.log(JSON.stringify({ ...report, page }, null, 2));
      else {
        console.log(`${report.clips} clips of ${report.data}, ${report.checkpoint}`);
        for (const searched of report.queries) console.log(`\n${formatQuery(searched)}`);
        if (page !== undefined) console.log(`\n${page}`);
      }
    } finally {
      line.clear();
      device.close();
    }
  },
});

function formatQuery({ name, label, nearest }: SearchedQuery): string {
  const rows = nearest.map((found) => [
    ...[found.name, found.label ?? "–", String(found.subject ?? "–")],
    ...[String(found.index), found.similarity.toFixed(4)],
  ]);
  return formatTable([
    [`${name}${label === undefined ? "" : ` (${label})`}`, "class", "subject", "clip", "similarity"],
    ...rows,
  ]);
}
