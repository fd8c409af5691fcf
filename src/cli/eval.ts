/** `hico eval`: what a run's features are worth. */
import { defineCommand } from "citty";
import { subcommand } from "./command.ts";

// TypeScript rewrites the extensions of dynamic imports everywhere but inside an `export default` expression.
const evalCommand = defineCommand({
  meta: { name: "eval", description: "Judge a run, beside what raw coordinates and random weights reach" },
  subCommands: {
    linear: subcommand(() => import("./eval-linear.ts")),
    knn: subcommand(() => import("./eval-knn.ts")),
    finetune: subcommand(() => import("./eval-finetune.ts")),
    transfer: subcommand(() => import("./eval-transfer.ts")),
    semi: subcommand(() => import("./eval-semi.ts")),
  },
});

export default evalCommand;
