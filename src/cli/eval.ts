/** `hico eval`: what a run's features are worth. */
import { defineCommand } from "citty";
import type { CommandDef } from "citty";

export default defineCommand({
  meta: { name: "eval", description: "Judge a run's features, beside raw coordinates and a random encoder" },
  subCommands: {
    linear: () => import("./eval-linear.ts").then((module) => module.default as CommandDef),
    knn: () => import("./eval-knn.ts").then((module) => module.default as CommandDef),
  },
});
