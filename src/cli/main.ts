#!/usr/bin/env node
/** The `hico` command. Each subcommand is a file of its own, loaded when it is called. */
import { readFileSync } from "node:fs";
import { defineCommand } from "citty";
import { runHico, subcommand } from "./command.ts";
import { beginLife } from "./process-life.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

beginLife();

await runHico(
  defineCommand({
    meta: {
      name: "hico",
      version,
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
      demo: subcommand(() => import("./demo.ts")),
      report: subcommand(() => import("./report.ts")),
      info: subcommand(() => import("./info.ts")),
      verify: subcommand(() => import("./verify.ts")),
    },
  }),
  version,
);
