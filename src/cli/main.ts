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
    info: () => import("./info.ts").then((module) => module.default as CommandDef),
    verify: () => import("./verify.ts").then((module) => module.default as CommandDef),
  },
}), { showUsage });
