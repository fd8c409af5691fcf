/** `hico eval`: what a run's features are worth. */
import { defineCommand } from "citty";
import { subcommand } from "../command.ts";

// TypeScript rewrites the extensions of dynamic imports everywhere but inside an `export default` expression.
const evalCommand = defineCommand({
  subCommands: {
    linear: subcommand("A linear classifier on frozen features", () => import("./linear.ts")),
    knn: subcommand("Retrieval: the class of the nearest training clips (cosine)", () => import("./knn.ts")),
    finetune: subcommand(
      "The whole network trained with labels, from the run's weights",
      () => import("./finetune.ts"),
    ),
    transfer: subcommand(
      "A run on another data set: a linear classifier, or the whole network trained",
      () => import("./transfer.ts"),
    ),
    semi: subcommand(
      "The whole network trained with labels of a part of the training clips",
      () => import("./semi.ts"),
    ),
  },
});

export default evalCommand;
