/** The model that a run's settings and a store's skeletons ask for. */
import { inputShape } from "../data/inputs.ts";
import type { SkeletonLayout } from "../data/layout.ts";
import type { Generator } from "../tensor/random.ts";
import { HiCo } from "./model.ts";
import type { RunSettings } from "./settings.ts";
import { inputSettings } from "./settings.ts";

export function modelFor(settings: RunSettings, layout: SkeletonLayout, generator: Generator): HiCo {
  const { temporal, spatial } = inputShape(layout, inputSettings(settings));
  const { encoder, hidden, heads, layers, dropout, granularity, projection, queue, temperature, variant } = settings;
  return new HiCo({
    encoder, hidden, heads, layers, dropout, granularity, projection, queue, temperature, variant, generator,
    momentum: settings.keyMomentum, temporalInput: temporal[1], spatialInput: spatial[1],
  });
}
