/** `hico data`: clip stores, made and looked at. */
import { defineCommand } from "citty";
import { subcommand } from "../command.ts";

// TypeScript rewrites the extensions of dynamic imports everywhere but inside an `export default` expression.
const dataCommand = defineCommand({
  meta: { name: "data", description: "Prepare, generate, check and look at clip stores" },
  subCommands: {
    prepare: subcommand(() => import("./prepare.ts")),
    generate: subcommand(() => import("./generate.ts")),
    info: subcommand(() => import("./info.ts")),
    look: subcommand(() => import("./look.ts")),
  },
});

export default dataCommand;
