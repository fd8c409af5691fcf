/** Batches: their contents, order, what is left of an epoch, what is made ahead, and what is refused. */
import assert from "node:assert/strict";
import { after, describe, test } from "node:test";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { tensor } from "../../../src/tensor/index.ts";
import type { Tensor } from "../../../src/tensor/index.ts";
import { collate, DataLoader, TensorDataset } from "../../../src/train/index.ts";

const device = await CpuDevice.open({ threads: 1 });
setDefaultDevice(device);
after(() => device.close());

const numbers = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => i);
const ofNumbers = (count: number): TensorDataset<[Int32Array]> => new TensorDataset(numbers(count));
/** The numbers of every batch that is left of the epoch. */
async function rest(loader: DataLoader<readonly Tensor[]> | DataLoader<[Tensor]>): Promise<number[][]> {
  const found: number[][] = [];
  for await (const batch of loader as DataLoader<readonly Tensor[]>) found.push([...(await batch[0].read())]);
  return found;
}

describe("TensorDataset", () => {
  test("gives rows of every column with their shapes and dtypes", async () => {
    const data = new TensorDataset(
      tensor([
        [1, 2],
        [3, 4],
        [5, 6],
      ]),
      Int32Array.of(7, 8, 9),
      [[true], [false], [true]] as never,
      { dtype: "u8", shape: [3, 1], data: Uint8Array.of(1, 2, 3) } as const,
    );
    assert.equal(data.length, 3);
    const [x, y, z, w] = await data.batch([2, 0]);
    assert.deepEqual(
      [x.shape, x.dtype, await x.toArray()],
      [
        [2, 2],
        "f32",
        [
          [5, 6],
          [1, 2],
        ],
      ],
    );
    assert.deepEqual([y.shape, y.dtype, await y.toArray()], [[2], "i32", [9, 7]]);
    assert.deepEqual([z.dtype, await z.toArray()], ["bool", [[1], [1]]]);
    assert.deepEqual([w.dtype, await w.toArray()], ["i32", [[3], [1]]]);
  });

  test("takes computed tensors, and says what is wrong", async () => {
    const [x] = await new TensorDataset(tensor([1, 2, 3]).mul(2)).batch([1]);
    assert.deepEqual(await x.toArray(), [4]);
    assert.throws(() => new TensorDataset(numbers(3), numbers(4)), /columns have 3, 4 samples/);
    assert.throws(() => new TensorDataset(tensor(1 as never)), /column 0 is one number/);
    await assert.rejects(ofNumbers(3).batch([3]), /no sample 3; samples are 0 … 2/);
  });
});

describe("DataLoader", () => {
  test("has every sample once an epoch, the last batch smaller or left out", async () => {
    assert.deepEqual(await rest(new DataLoader(ofNumbers(5), { batchSize: 2 })), [[0, 1], [2, 3], [4]]);
    const dropping = new DataLoader(ofNumbers(5), { batchSize: 2, dropLast: true });
    assert.deepEqual(
      [dropping.length, await rest(dropping)],
      [
        2,
        [
          [0, 1],
          [2, 3],
        ],
      ],
    );
    assert.equal(new DataLoader(ofNumbers(5), { batchSize: 2 }).length, 3);
  });

  test("shuffles by the seed and the epoch's number alone", async () => {
    const shuffled = (seed: number): DataLoader<[Tensor]> =>
      new DataLoader(ofNumbers(50), { batchSize: 50, shuffle: true, seed });
    const one = shuffled(1);
    const [first, second] = [(await rest(one))[0], (await rest(one))[0]];
    assert.equal(one.epoch, 2);
    assert.notDeepEqual(first, second);
    for (const order of [first, second])
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        [...numbers(50)],
      );
    const again = shuffled(1);
    again.load({ epoch: 1, batch: 0 });
    assert.deepEqual((await rest(again))[0], second);
    assert.notDeepEqual((await rest(shuffled(2)))[0], first);
  });

  test("goes on in the middle of an epoch, of data sets and of iterables, with the same batches", async () => {
    const makers = [
      () => new DataLoader(ofNumbers(9), { batchSize: 2, shuffle: true, seed: 3 }),
      () => new DataLoader(() => numbers(9).values(), { batchSize: 2 }),
      () => new DataLoader([0, 1, 2, 3, 4, 5, 6, 7, 8], { batchSize: 2 }),
    ];
    for (const make of makers) {
      const whole = await rest(make() as DataLoader);
      const begun = make() as DataLoader;
      const head: number[][] = [];
      for await (const [x] of begun) {
        head.push([...(await x.read())]);
        if (head.length === 2) break;
      }
      assert.deepEqual(begun.state(), { epoch: 0, batch: 2 });
      const resumed = make() as DataLoader;
      resumed.load(JSON.parse(JSON.stringify(begun.state())));
      assert.deepEqual([...head, ...(await rest(resumed))], whole);
      assert.deepEqual(resumed.state(), { epoch: 1, batch: 0 });
      assert.deepEqual(await rest(begun), whole.slice(2));
    }
  });

  test("makes so many batches ahead and no more, in order though they come out of it", async () => {
    for (const prefetch of [0, 1, 3]) {
      const begun: number[] = [];
      const data = {
        length: 8,
        async batch([index]: readonly number[]): Promise<readonly Tensor[]> {
          begun.push(index);
          await new Promise((resolve) => setTimeout(resolve, index % 2 === 0 ? 4 : 0));
          return [tensor([index])];
        },
      };
      const given: number[] = [];
      for await (const [x] of new DataLoader<readonly Tensor[]>(data, { prefetch })) {
        given.push((await x.read())[0]);
        assert.equal(begun.length, Math.min(8, given.length + prefetch), `prefetch ${prefetch}`);
      }
      assert.deepEqual(given, [...numbers(8)]);
    }
  });

  test("stacks samples, hands on batches that are given, and closes an iterable that is left", async () => {
    const samples = { length: 3, get: async (i: number, epoch: number) => [i + 10 * epoch, Float32Array.of(i, -i)] };
    const loader = new DataLoader(samples, { batchSize: 3, collate: (rows) => collate(rows, ["i32"]) });
    loader.load({ epoch: 1, batch: 0 });
    for await (const [x, y] of loader) {
      assert.deepEqual([x!.dtype, await x!.toArray()], ["i32", [10, 11, 12]]);
      assert.deepEqual(await y!.toArray(), [
        [0, -0],
        [1, -1],
        [2, -2],
      ]);
    }
    let closed = 0;
    function* strings(): Generator<string> {
      try {
        yield* ["a", "b", "c", "d", "e", "f"];
      } finally {
        closed++;
      }
    }
    const given: string[] = [];
    for await (const item of new DataLoader<string>(() => strings(), { batchSize: null })) {
      given.push(item);
      if (given.length === 2) break;
    }
    assert.deepEqual([given, closed], [["a", "b"], 1]);
  });

  test("an error comes where the batch's turn is, and names what is wrong", async () => {
    const broken = {
      length: 4,
      batch: ([i]: readonly number[]) => (i === 2 ? Promise.reject(new Error("sample 2 is torn")) : [tensor([i])]),
    };
    let given = 0;
    await assert.rejects(async () => {
      for await (const _ of new DataLoader(broken)) given++;
    }, /sample 2 is torn/);
    assert.equal(given, 2);
    assert.throws(() => new DataLoader(numbers(3), { shuffle: true }), /shuffle needs a data set/);
    assert.throws(() => new DataLoader(5 as never), /the source is 5; give a data set/);
    assert.throws(() => new DataLoader(ofNumbers(2), { batchSize: 0 }), /batchSize must be an integer ≥ 1/);
    assert.throws(() => new DataLoader(ofNumbers(2), { batchsize: 2 } as never), /did you mean "batchSize"/);
    const once = new DataLoader(numbers(2).values());
    await rest(once as DataLoader);
    await assert.rejects(rest(once as DataLoader), /gave nothing in epoch 1.*new DataLoader\(\(\) => /);
    const ragged = new DataLoader([Float32Array.of(1), Float32Array.of(1, 2)], { batchSize: 2 });
    await assert.rejects(rest(ragged), /part 0 of sample 1 is f32\[2\], of the first f32\[1\]/);
  });
});
