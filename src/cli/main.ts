#!/usr/bin/env node
/** The `hico` command. Each subcommand is a file of its own, loaded when it is called. */
import { readFileSync } from "node:fs";
import type { CommandDef } from "citty";
import { defineCommand, runMain } from "citty";
import { showUsage } from "./command.ts";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

await runMain(defineCommand({
  meta: {
    name: "hico",
    version,
    description: "Training on any GPU from TypeScript, and HiCo: contrastive learning of skeleton actions",
  },
  subCommands: {
    data: () => import("./data.ts").then((module) => module.default as CommandDef),
    pretrain: () => import("./pretrain.ts").then((module) => module.default as CommandDef),
    eval: () => import("./eval.ts").then((module) => module.default as CommandDef),
    embed: () => import("./embed.ts").then((module) => module.default as CommandDef),
    demo: () => import("./demo.ts").then((module) => module.default as CommandDef),
    report: () => import("./report.ts").then((module) => module.default as CommandDef),
    info: () => import("./info.ts").then((module) => module.default as CommandDef),
    verify: () => import("./verify.ts").then((module) => module.default as CommandDef),
  },
}), { showUsage });
