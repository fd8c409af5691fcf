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
      data: subcommand("Prepare, generate, check and look at clip stores", () => import("./data/data.ts")),
      pretrain: subcommand(
        "Learn action representations from a clip store, without labels",
        () => import("./pretrain.ts"),
      ),
      eval: subcommand(
        "Judge a run, beside what raw coordinates and random weights reach",
        () => import("./eval/eval.ts"),
      ),
      ensemble: subcommand(
        "Fuse several runs (joint, motion, bone), matched by the names of clips",
        () => import("./ensemble.ts"),
      ),
      embed: subcommand(
        "Write a run's features of clips as npy, with names and labels as JSON beside it",
        () => import("./embed.ts"),
      ),
      search: subcommand(
        "The clips of a store that a run's features hold nearest to a query (cosine)",
        () => import("./search.ts"),
      ),
      import: subcommand(
        "A released HiCo checkpoint as a run: encoder and sizes are read off its tensors",
        () => import("./import.ts"),
      ),
      export: subcommand(
        "A run's network as safetensors, as a PyTorch checkpoint, or its encoder as ONNX",
        () => import("./export.ts"),
      ),
      sweep: subcommand("A grid of pretraining runs, each judged, and a table over seeds", () => import("./sweep.ts")),
      bench: subcommand(
        "Measure this machine's devices: products, memory, operations, training steps",
        () => import("./bench.ts"),
      ),
      "check-engine": subcommand(
        "Ask an engine for values and gradients, and tell what differs from float64 and PyTorch's rules",
        () => import("./check/check-engine.ts"),
      ),
      demo: subcommand(
        "Generated clips, pretraining, evaluation and a report, in a few minutes and without data",
        () => import("./demo.ts"),
      ),
      report: subcommand(
        "One self-contained HTML page of a run: curves, map, confusion, retrieval",
        () => import("./report.ts"),
      ),
      info: subcommand(
        'Show the WebGPU adapters and the CPU, what they can do, and the device that "auto" takes',
        () => import("./info.ts"),
      ),
      verify: subcommand(
        "Replay a file of golden numbers and compare; exit code 1 if a case fails",
        () => import("./check/verify.ts"),
      ),
    },
  }),
  packageVersion,
);
