/** `hico eval`: what a run's features are worth. */
import { defineCommand } from "citty";
import { subcommand } from "./command.ts";

// TypeScript rewrites the extensions of dynamic imports everywhere but inside an `export default` expression.
const evalCommand = defineCommand({
  meta: { name: "eval", description: "Judge a run's features, beside raw coordinates and a random encoder" },
  subCommands: {
    linear: subcommand(() => import("./eval-linear.ts")),
    knn: subcommand(() => import("./eval-knn.ts")),
  },
});

export default evalCommand;
