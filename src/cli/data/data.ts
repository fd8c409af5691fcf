/** `hico data`: clip stores, made and looked at. */
import { defineCommand } from "citty";
import { subcommand } from "../command.ts";

// TypeScript rewrites the extensions of dynamic imports everywhere but inside an `export default` expression.
const dataCommand = defineCommand({
  subCommands: {
    prepare: subcommand(
      "Raw skeletons to one checksummed clip store with protocol splits",
      () => import("./prepare.ts"),
    ),
    generate: subcommand("A clip store of generated skeleton actions", () => import("./generate.ts")),
    info: subcommand("What a clip store holds; exit code 1 where clips are damaged", () => import("./info.ts")),
    look: subcommand(
      "A page with moving skeletons: joints, bones, and what was lost, in red",
      () => import("./look.ts"),
    ),
  },
});

export default dataCommand;
