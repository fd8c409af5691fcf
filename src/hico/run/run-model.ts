/** The model that a run's settings and a store's skeletons ask for. */
import { inputShape } from "../../data/batches/inputs.ts";
import type { SkeletonLayout } from "../../data/skeleton/layout.ts";
import type { HiCoConfig } from "../model/config.ts";
import { HiCo } from "../model/model.ts";
import type { RunSettings } from "./settings.ts";
import { inputSettings } from "./settings.ts";
import { StepGenerator } from "./step-generator.ts";

/** @param generator default: one of its own from the settings' seed, so that first values are those of the run. */
/** A fresh model for these settings and this layout; its first values are drawn from the settings' seed. */
export function modelFor(
  settings: RunSettings,
  layout: SkeletonLayout,
  generator = new StepGenerator(settings.seed),
): HiCo {
  const { temporal, spatial } = inputShape(layout, inputSettings(settings));
  return modelOfInputs(settings, { temporalInput: temporal[1], spatialInput: spatial[1] }, generator);
}

/** The same where the sizes of the inputs are known and no store is at hand. */
export function modelOfInputs(
  settings: RunSettings,
  inputs: Pick<HiCoConfig, "temporalInput" | "spatialInput">,
  generator = new StepGenerator(settings.seed),
): HiCo {
  const { encoder, hidden, heads, layers, dropout, granularity, contrast, projection, queue, temperature, variant } =
    settings;
  return new HiCo({
    encoder,
    hidden,
    heads,
    layers,
    dropout,
    granularity,
    contrast,
    projection,
    queue,
    temperature,
    variant,
    generator,
    momentum: settings.keyMomentum,
    temporalInput: inputs.temporalInput,
    spatialInput: inputs.spatialInput,
  });
}
