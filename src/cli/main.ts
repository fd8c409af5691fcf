#!/usr/bin/env node
/** The `hico` command. Each subcommand is a file of its own, loaded when it is called. */
import { defineCommand } from "citty";
import { packageVersion, runHico, subcommand } from "./command.ts";
import { beginLife } from "./process-life.ts";

beginLife();

await runHico(
  defineCommand({
    meta: {
      name: "hico",
      version: packageVersion,
      description: "Training on any GPU from TypeScript, and HiCo: contrastive learning of skeleton actions",
    },
    subCommands: {
      data: subcommand(() => import("./data/data.ts")),
      pretrain: subcommand(() => import("./pretrain.ts")),
      eval: subcommand(() => import("./eval/eval.ts")),
      ensemble: subcommand(() => import("./ensemble.ts")),
      embed: subcommand(() => import("./embed.ts")),
      search: subcommand(() => import("./search.ts")),
      import: subcommand(() => import("./import.ts")),
      export: subcommand(() => import("./export.ts")),
      sweep: subcommand(() => import("./sweep.ts")),
      bench: subcommand(() => import("./bench.ts")),
      "check-engine": subcommand(() => import("./check/check-engine.ts")),
      demo: subcommand(() => import("./demo.ts")),
      report: subcommand(() => import("./report.ts")),
      info: subcommand(() => import("./info.ts")),
      verify: subcommand(() => import("./check/verify.ts")),
    },
  }),
  packageVersion,
);
