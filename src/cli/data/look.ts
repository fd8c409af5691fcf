/** `hico data look`: moving skeletons of a store, or of recordings as they are, on a page. */
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireKind } from "../../data/sources/detect.ts";
import type { SourceKind } from "../../data/sources/kind-names.ts";
import { SOURCE_KINDS } from "../../data/sources/kind-names.ts";
import { openSourceOf } from "../../data/sources/kinds.ts";
import { prepareStore } from "../../data/sources/prepare.ts";
import { writeLook } from "../../report/index.ts";
import { defineHicoCommand } from "../command.ts";
import { choiceOption, FORCE_ARG, JSON_ARG, numberOption, requireNew, wholeOption } from "../options.ts";

export default defineHicoCommand({
  examples: [
    "hico data look nw-ucla.clips                    look.html, twelve clips of it",
    "hico data look NW-UCLA/all_sqe --out ucla.html   recordings as they are, before any preparation",
    "hico data look recordings --kind csv --rate 30   where the kind is not seen from the folder",
  ],
  args: {
    source: { type: "positional", description: "A clip store, or a folder of recordings", required: true },
    out: { type: "string", default: "look.html", description: "The page to write" },
    clips: { type: "string", description: "Clips on the page, spread over the classes (12)" },
    rate: { type: "string", description: "Frames a second, to play them at their speed (30)" },
    kind: { type: "string", description: `Of a folder: one of ${SOURCE_KINDS.join(", ")} (seen from it)` },
    layout: { type: "string", description: "npy: the skeleton, a built-in name or a JSON file (ntu25)" },
    labels: { type: "string", description: "pku-mmd: folder of label files; csv: table of labels" },
    ...FORCE_ARG,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const { source, out } = args;
    requireNew(out, args.force);
    const options = { clips: wholeOption("clips", args.clips), rate: numberOption("rate", args.rate), from: source };
    if (!existsSync(source)) throw new Error(`${source}: there is no such file or folder`);
    const print = (report: ReturnType<typeof writeLook>): void =>
      console.log(
        args.json
          ? JSON.stringify(report, null, 2)
          : `${report.path}: ${report.clips} clips, a body ${report.height.toPrecision(3)} units high (${(report.bytes / 1e6).toFixed(1)} MB); open it in a browser`,
      );
    if (statSync(source).isFile()) {
      print(writeLook(out, source, options));
      return;
    }
    const kind: SourceKind = choiceOption("kind", args.kind, SOURCE_KINDS) ?? requireKind(source).kind;
    const { source: recordings } = openSourceOf(kind, source, {
      layout: args.layout,
      labels: args.labels,
      map: "none",
    });
    const folder = mkdtempSync(join(tmpdir(), "hico-look-"));
    try {
      const store = join(folder, "look.clips");
      await prepareStore(recordings, store, { normalize: false });
      print(writeLook(out, store, options));
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
});
