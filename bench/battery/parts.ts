/** The parts of the battery in the order they run: figures that later ones are shares of come first. */
import { adapterPart } from "./adapter-part.ts";
import { bandwidthPart } from "./bandwidth-part.ts";
import { latencyPart } from "./latency-part.ts";
import { otherKernelsPart } from "./other-kernels-part.ts";
import type { Part } from "./part.ts";
import { peakPart } from "./peak-part.ts";
import { productsPart } from "./products-part.ts";
import { stepParts } from "./step-parts.ts";
import { torchParts } from "./torch-parts.ts";

export function partsOf(small: boolean): Part[] {
  const rates = [adapterPart, latencyPart, bandwidthPart, peakPart];
  return [...rates, ...stepParts(small), productsPart, otherKernelsPart, ...torchParts(small)];
}
