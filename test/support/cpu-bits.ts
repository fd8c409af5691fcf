/** The bits that the cpu device computes: random graphs, and rows of many lengths through what models are made of. */
import { createHash } from "node:crypto";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { Generator, realize, setDefaultDevice } from "../../src/tensor/index.ts";
import { softmax } from "../../src/ops/softmax.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { buildProgram, drawProgram } from "./random-graph.ts";
import { ROWS as SHIFTED, WIDTHS } from "./rows.ts";

const ROWS = [1, 3, 37, 130];
const LENGTHS = [4, 8, 9, 64, 67, 128, 301];

function layer(random: Generator, rows: number, length: number): Tensor[] {
  const x = random.normal([rows, length]);
  const gain = random.normal([length]);
  const mean = x.mean(1, true);
  const variance = x.sub(mean).square().mean(1, true);
  const normal = x.sub(mean).div(variance.add(1e-5).sqrt()).mul(gain);
  const y = normal.gelu().add(softmax(x, 1)).add(x.tanh().mul(x.sigmoid()));
  const moved = x.mul(0.9).add(y.square().mul(0.1));
  return [y, y.sum(0), x.max(0), x.square().sum(1), moved, moved.transpose().sum(1), x.gt(0).cast("i32").sum(1)];
}

/** A hash of every result, in order, on a device of one thread. */
export async function cpuBits(): Promise<string[]> {
  const device = await CpuDevice.open({ threads: 1 });
  setDefaultDevice(device);
  const random = new Generator(3);
  const hashes: string[] = [];
  const add = async (tensors: readonly Tensor[]): Promise<void> => {
    await realize([...tensors]);
    const hash = createHash("sha256");
    for (const t of tensors) {
      const values = await t.read();
      hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    hashes.push(hash.digest("hex"));
  };
  for (const rows of ROWS) {
    for (const length of LENGTHS) {
      await add(layer(random, rows, length));
      // Of values that lie in memory, long rows are summed in chains.
      const held = await random.normal([rows, length]).realize();
      await add([held.sum(1), held.max(1), held.square().mean(1)]);
    }
  }
  for (const width of WIDTHS) for (const build of Object.values(SHIFTED)) await add([build(width)]);
  for (let seed = 0; seed < 40; seed++) await add(buildProgram(drawProgram(seed), false).wanted.map((w) => w.tensor));
  return hashes;
}
