/** `hico data info`: what a clip store holds, and whether every byte of it is as it was written. */
import { normalizationWords } from "../../data/skeleton/upright.ts";
import { describeStore } from "../../data/store/describe.ts";
import { defineHicoCommand } from "../command.ts";
import { JSON_ARG } from "../options.ts";

export default defineHicoCommand({
  examples: [
    "hico data info nw-ucla.clips",
    "hico data info nw-ucla.clips --verify     read every clip and compare checksums",
  ],
  args: {
    store: { type: "positional", description: "The clip store", required: true },
    verify: { type: "boolean", description: "Read every clip" },
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const description = describeStore(args.store, args.verify);
    if (args.json) console.log(JSON.stringify(description, null, 2));
    else {
      const { clips, classes, layout, persons, frames, normalization, normalizedPer, protocols, damaged, lost } =
        description;
      console.log(
        `${args.store}: ${clips} clips of ${classes.length} classes, ${layout} × ${persons}, ` +
          `${frames.least} to ${frames.most} frames (median ${frames.median}), ${normalizationWords(normalization, normalizedPer)}`,
      );
      for (const { name, rule, train, test } of protocols)
        console.log(`  ${name}: ${train} train, ${test} test (${rule})`);
      if (lost.joints > 0) console.log(`  missing joints, filled: ${lost.joints}, in ${lost.clips} clips`);
      console.log(`  classes: ${classes.map(({ name, clips: count }) => `${name} ${count}`).join(", ")}`);
      if (damaged) console.log(damaged.length === 0 ? "  every checksum matches" : `  damaged: ${damaged.join("; ")}`);
    }
    if (description.damaged?.length) process.exitCode = 1;
  },
});
