/** Options of the linear classifier. */
import type { ArgsDef } from "citty";
import type { ProbeSettings } from "../../hico/judge/linear-probe.ts";
import { PROBE_SETTINGS } from "../../hico/judge/linear-probe.ts";
import { numberOption, wholeOption } from "../options.ts";

export const PROBE_ARGS = {
  lr: { type: "string", description: `Learning rate (${PROBE_SETTINGS.lr})` },
  epochs: { type: "string", description: `Epochs (${PROBE_SETTINGS.epochs}); the rate falls at 5/8 and 7/8 of them` },
  batch: {
    type: "string",
    description: `Clips in a step (${PROBE_SETTINGS.batch}, or fewer where an epoch would have less than 16 steps)`,
  },
  "weight-decay": {
    type: "string",
    description: `Weight decay (${PROBE_SETTINGS.weightDecay}); a few hundred clips want some, with a lower rate`,
  },
  seed: { type: "string", description: `Seed of first values and order (${PROBE_SETTINGS.seed})` },
} as const satisfies ArgsDef;

export function probeSettings(args: { readonly [Name in keyof typeof PROBE_ARGS]?: string }): Partial<ProbeSettings> {
  const epochs = wholeOption("epochs", args.epochs) ?? PROBE_SETTINGS.epochs;
  return {
    epochs,
    drops: PROBE_SETTINGS.drops.map((at) => Math.round((at / PROBE_SETTINGS.epochs) * epochs)),
    lr: numberOption("lr", args.lr) ?? PROBE_SETTINGS.lr,
    weightDecay: numberOption("weight-decay", args["weight-decay"]) ?? PROBE_SETTINGS.weightDecay,
    batch: wholeOption("batch", args.batch),
    seed: wholeOption("seed", args.seed, 0) ?? PROBE_SETTINGS.seed,
  };
}
