/** The parts of the battery in the order they run: figures that later ones are shares of come first. */
import { adapterPart } from "./adapter-part.ts";
import { bandwidthPart } from "./bandwidth-part.ts";
import { latencyPart } from "./latency-part.ts";
import type { Part } from "./part.ts";
import { peakPart } from "./peak-part.ts";
import { productsPart } from "./products-part.ts";

export const PARTS: readonly Part[] = [adapterPart, latencyPart, bandwidthPart, peakPart, productsPart];
