/** The kernels of top-k. */
import { topK as wgslTopK } from "../../shaders/top-k.ts";
import { topK } from "../../wasm/top-k.ts";
import type { Kernels } from "./kernels.ts";

export interface TopKAttrs {
  readonly k: number;
}

export const TOP_K: Kernels<TopKAttrs> = {
  cpu: ([x], { k }) => topK(x.shape, k),
  webgpu: ([x], { k }, profile) => wgslTopK(x.shape, k, profile),
};
