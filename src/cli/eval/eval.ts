/** `hico eval`: what a run's features are worth. */
import { defineCommand } from "citty";
import { subcommand } from "../command.ts";

// TypeScript rewrites the extensions of dynamic imports everywhere but inside an `export default` expression.
const evalCommand = defineCommand({
  meta: { name: "eval", description: "Judge a run, beside what raw coordinates and random weights reach" },
  subCommands: {
    linear: subcommand(() => import("./linear.ts")),
    knn: subcommand(() => import("./knn.ts")),
    finetune: subcommand(() => import("./finetune.ts")),
    transfer: subcommand(() => import("./transfer.ts")),
    semi: subcommand(() => import("./semi.ts")),
  },
});

export default evalCommand;
