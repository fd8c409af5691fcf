/** `hico data`: clip stores, made and looked at. */
import type { CommandDef } from "citty";
import { defineCommand } from "citty";

export default defineCommand({
  meta: { name: "data", description: "Prepare, generate and check clip stores" },
  subCommands: {
    prepare: () => import("./data-prepare.ts").then((module) => module.default as CommandDef),
    generate: () => import("./data-generate.ts").then((module) => module.default as CommandDef),
    info: () => import("./data-info.ts").then((module) => module.default as CommandDef),
  },
});
