/**
 * What stays in memory when a program has let go of it, counted in nodes of graphs, by V8 and not by the engine; and how
 * large the modules of programs are.
 */
import { setTimeout } from "node:timers/promises";
import * as v8 from "node:v8";
import { compile, realize, tensor, variable } from "../../src/index.ts";
import type { CpuDevice, Tensor } from "../../src/index.ts";
import { SGD } from "../../src/nn/index.ts";

type Count = (of: unknown, options: { format: "count" }) => number;
/** Counts the living objects of a class, after it has collected the others; from Node 20.13 on. */
const queryObjects = (v8 as unknown as { queryObjects?: Count }).queryObjects;

/** Runs `work` so often, then as often again, by which no more than `most` nodes may have stayed. */
async function holds(times: number, most: number, work: (i: number) => Promise<unknown>): Promise<void> {
  if (!queryObjects) return;
  const nodes = (): number => queryObjects(tensor([1]).node.constructor, { format: "count" });
  for (let i = 0; i < times; i++) await work(i);
  const before = nodes();
  for (let i = times; i < 2 * times; i++) await work(i);
  let kept = nodes() - before;
  // What a weak reference was asked for lives until the turn ends.
  for (let turn = 0; turn < 20 && kept > most; turn++) {
    await setTimeout(1);
    kept = nodes() - before;
  }
  if (kept > most) throw new Error(`${times} rounds more left ${kept} nodes in memory; it may be ${most}`);
}

/** A device remembers plans, not the graphs they were made of: a chain of 92 nodes in few kernels, which no two sizes share. */
export const checkPlansKept = (): Promise<void> =>
  holds(15, 15 * 10, async (i) => {
    let x = tensor(Float32Array.from({ length: 100 + i }, (_, at) => at / 100));
    for (let step = 0; step < 30; step++)
      x = x
        .mul(0.5)
        .add(step % 10 === 9 ? x.sum() : 0.25)
        .tanh();
    await x.read();
  });

/** A compiled function lets go of the traces that it uses least, gradients that they have set with them. */
export async function checkTracesKept(): Promise<void> {
  const w = variable(tensor([1, 2]));
  const optimizer = new SGD([w], { lr: 0.1 });
  const step = compile((x: Tensor) => {
    const loss = x.matmul(w).sum();
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  });
  await holds(70, 70 * 5, (i) => step(tensor(new Float32Array(2 * i + 2), { shape: [i + 1, 2] })));
}

/**
 * Kernels of equal code are one function of a module, however long their tensors are: a program of twelve has not many
 * times the bytes of a program of one.
 * @param device the default one
 */
export async function checkModuleSizes({ counters }: CpuDevice): Promise<void> {
  const bytesOf = async (kernels: number): Promise<number> => {
    const inputs = Array.from({ length: kernels }, (_, i) => tensor(new Float32Array(128 * (i + 1))));
    await realize(inputs);
    const before = counters.moduleBytes;
    await realize(inputs.map((x) => x.erf().sin().square()));
    return counters.moduleBytes - before;
  };
  const [one, twelve] = [await bytesOf(1), await bytesOf(12)];
  if (twelve > 4 * one) throw new Error(`a module of twelve equal kernels has ${twelve} B, that of one ${one} B`);
}
