/** A HiCo step that both sides take: a batch, and weights, in memory and as files that PyTorch reads. */
import { join } from "node:path";
import type { EncoderName, HiCoBatch } from "../src/hico/index.ts";
import { HiCo, HiCoTrainer, hicoState } from "../src/hico/index.ts";
import { hostTensor, writeTorchCheckpoint } from "../src/io/index.ts";
import { realize, tensor } from "../src/tensor/index.ts";
import { Generator } from "../src/tensor/random.ts";
import { shapesOf } from "./hico-shapes.ts";

export interface HiCoSizes {
  readonly encoder: EncoderName;
  readonly hidden: number;
  readonly batch: number;
  readonly queue: number;
}

export interface HiCoProblem {
  readonly inputs: HiCoBatch;
  /** A trainer of the weights as they were drawn, at a dropout. */
  trainer(dropout?: number): HiCoTrainer;
  /** Files of the weights and the batch, written into a folder. */
  writeFiles(folder: string): { readonly state: string; readonly batch: string };
}

/** Draws weights and a batch on the default device, the same for the same sizes. */
export async function hicoProblem({ encoder, hidden, batch, queue }: HiCoSizes): Promise<HiCoProblem> {
  const random = new Generator(7);
  const drawn: Record<string, { data: Float32Array; shape: number[] }> = {};
  for (const [name, shape] of Object.entries(shapesOf(batch))) {
    drawn[name] = { data: (await random.normal([...shape]).read()) as Float32Array, shape: [...shape] };
  }
  const inputs = Object.fromEntries(
    Object.entries(drawn).map(([name, { data, shape }]) => [name, tensor(data, { shape })]),
  ) as unknown as HiCoBatch;
  await realize(Object.values(inputs));
  const settings = { encoder, hidden, queue, generator: random } as const;
  const state = await hicoState(new HiCo(settings));
  return {
    inputs,
    trainer: (dropout) => {
      const model = new HiCo(dropout === undefined ? settings : { ...settings, dropout });
      model.loadStateDict(state);
      return new HiCoTrainer(model);
    },
    writeFiles: (folder) => {
      const files = { state: join(folder, "state.pth"), batch: join(folder, "batch.pth") };
      writeTorchCheckpoint(files.state, new Map(state));
      writeTorchCheckpoint(
        files.batch,
        new Map(Object.entries(drawn).map(([name, { data, shape }]) => [name, hostTensor("f32", shape, data)])),
      );
      return files;
    },
  };
}
