/** Variables assigned in place, alone and together, on all devices; and the accumulation of gradients in them. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import "../../src/autograd/grad.ts";
import type { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import { difference } from "../../src/device/webgpu/gpu/counters.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import {
  Generator,
  type Tensor,
  compile,
  concat,
  liveScalar,
  realize,
  scalar,
  setDefaultDevice,
  tensor,
  variable,
  zeros,
} from "../../src/tensor/index.ts";
import { numbers, openTestDevices } from "../support/helpers.ts";

let gpu: WebGpuDevice;
let cpu: CpuDevice;
before(async () => {
  [gpu, cpu] = await openTestDevices();
});
after(() => {
  gpu.close();
  cpu.close();
});

/** Runs `body` with each device as the default. */
function onEach(name: string, body: (device: Backend) => Promise<void>): void {
  test(name, async () => {
    for (const device of [new ReferenceDevice(), gpu, cpu]) {
      setDefaultDevice(device);
      try {
        await body(device);
      } catch (error) {
        throw new Error(`on ${device.name}: ${(error as Error).message}`, { cause: error });
      } finally {
        setDefaultDevice(undefined);
      }
    }
  });
}

const ramp = (n: number): Tensor => tensor(Float32Array.from({ length: n }, (_, i) => i));

describe("variables", () => {
  onEach("an assignment runs at the next realization, and only once", async () => {
    const v = variable(tensor([1, 2, 3]));
    v.assign(v.mul(2));
    assert.deepEqual(await numbers(v), [2, 4, 6]);
    assert.deepEqual(await numbers(v), [2, 4, 6]);
    v.assign(v.add(1));
    assert.deepEqual(await numbers(v.mul(10)), [30, 50, 70], "uses after the assignment see it");
    assert.deepEqual(await numbers(v), [3, 5, 7]);
  });

  onEach("reading anything runs all pending assignments, in one plan", async () => {
    const [a, b] = [variable(ramp(5)), variable(ramp(5).mul(2))];
    await realize([a, b]);
    a.assign(a.add(b));
    b.assign(b.sub(1));
    await numbers(tensor([1]).add(1));
    assert.deepEqual(
      [await numbers(a), await numbers(b)],
      [
        [0, 3, 6, 9, 12],
        [-1, 1, 3, 5, 7],
      ],
    );
  });

  onEach("later assignments see earlier ones; the last one wins", async () => {
    const [a, b] = [variable(tensor([1, 2])), variable(tensor([10, 20]))];
    a.assign(a.add(1));
    a.assign(a.mul(3));
    b.assign(b.add(a));
    assert.deepEqual(
      [await numbers(a), await numbers(b)],
      [
        [6, 9],
        [16, 29],
      ],
    );
  });

  onEach("two variables are swapped, three rotated", async () => {
    const [a, b, c] = [variable(ramp(7)), variable(ramp(7).mul(-1)), variable(ramp(7).add(100))];
    await realize([a, b, c]);
    const [oldA, oldB, oldC] = [a.mul(1), b.mul(1), c.mul(1)].map((t) => t as Tensor);
    a.assign(oldB);
    b.assign(oldA);
    assert.deepEqual(
      [await numbers(a), await numbers(b)],
      [
        [-0, -1, -2, -3, -4, -5, -6],
        [0, 1, 2, 3, 4, 5, 6],
      ],
    );
    const [x, y, z] = [a, b, c].map((v) => v.add(0));
    a.assign(z);
    b.assign(x);
    c.assign(y);
    await realize([]);
    assert.deepEqual(await numbers(a), [100, 101, 102, 103, 104, 105, 106]);
    assert.deepEqual(await numbers(b), [-0, -1, -2, -3, -4, -5, -6]);
    assert.deepEqual(await numbers(c), [0, 1, 2, 3, 4, 5, 6]);
    void oldC;
  });

  onEach("a value that reads its own variable elsewhere does not see half of itself", async () => {
    const n = 12;
    const host = Array.from({ length: n * n }, (_, i) => i);
    const at = (i: number, j: number) => i * n + j;
    const check = async (
      name: string,
      value: (v: Tensor) => Tensor,
      expected: (i: number, j: number) => number,
      bound = 0,
    ) => {
      const v = variable(tensor(Float32Array.from(host), { shape: [n, n] }), { name });
      await realize([v]);
      v.assign(value(v));
      // Not read in the same run: a value that is also a result would be copied anyway.
      await realize([]);
      const found = await numbers(v);
      const wanted = host.map((_, k) => expected(Math.floor(k / n), k % n));
      const largest = Math.max(...found.map((x, k) => Math.abs(x - wanted[k])));
      assert.ok(found.length === wanted.length && largest <= bound, `${name}: off by ${largest}`);
    };
    await check(
      "transposed",
      (v) => v.transpose(),
      (i, j) => at(j, i),
    );
    await check(
      "sum with its transpose",
      (v) => v.add(v.transpose()),
      (i, j) => at(i, j) + at(j, i),
    );
    await check(
      "flipped",
      (v) => v.flip(0),
      (i, j) => at(n - 1 - i, j),
    );
    await check(
      "shifted",
      (v) =>
        v.slice([1, null]).pad([
          [0, 1],
          [0, 0],
        ]),
      (i, j) => (i === n - 1 ? 0 : at(i + 1, j)),
    );
    await check(
      "rotated",
      (v) => concat([v.slice([3, null]), v.slice([0, 3])]),
      (i, j) => at((i + 3) % n, j),
    );
    // A GPU may divide by a multiplication, which is off by a rounding.
    await check(
      "less its row's mean",
      (v) => v.sub(v.mean(1, true)),
      (i, j) => at(i, j) - at(i, (n - 1) / 2),
      1e-4,
    );
    await check(
      "less its column's maximum",
      (v) => v.sub(v.max(0, true)),
      (i, j) => at(i, j) - at(n - 1, j),
    );
    await check(
      "first row everywhere",
      (v) => v.slice([0, 1]).expand([n, n]),
      (_, j) => j,
    );
    await check(
      "gathered",
      (v) => v.take(tensor(Int32Array.from({ length: n }, (_, i) => n - 1 - i))),
      (i, j) => at(n - 1 - i, j),
    );
    await check(
      "product with itself",
      (v) => v.matmul(v).mul(0).add(v).mul(2),
      (i, j) => 2 * at(i, j),
    );
  });

  onEach("a queue: new rows in at a pointer, the oldest overwritten", async () => {
    const queue = variable(zeros([6, 2]), { trainable: false });
    const pointer = variable(tensor(Int32Array.of(0)), { name: "pointer" });
    assert.equal(pointer.trainable, false);
    const position = tensor(Int32Array.of(0, 1, 2, 3, 4, 5));
    for (let step = 0; step < 4; step++) {
      const fresh = tensor([
        [step + 1, 0],
        [step + 1, 1],
      ]);
      const place = position.sub(pointer).mod(6);
      const rows = fresh.take(place.minimum(1));
      queue.assign(place.lt(2).unsqueeze(1).expand([6, 2]).where(rows, queue));
      pointer.assign(pointer.add(2).mod(6));
      await realize([]);
    }
    assert.deepEqual(await numbers(queue), [4, 0, 4, 1, 2, 0, 2, 1, 3, 0, 3, 1]);
    assert.deepEqual(await numbers(pointer), [2]);
  });

  onEach("tensors built from an old value read it, with the assignment and after it", async () => {
    const v = variable(tensor([1, 2]), { name: "weight" });
    const doubled = v.mul(2);
    v.assign(v.add(1));
    assert.deepEqual((await realize([doubled, v])).length, 2);
    assert.deepEqual(await numbers(doubled), [2, 4], "together with the assignment it is read before it");
    const same = v.mul(1);
    v.assign(v.add(10));
    await realize([same]);
    assert.deepEqual(
      [await numbers(same), await numbers(v)],
      [
        [2, 3],
        [12, 13],
      ],
      "also where it is the variable itself",
    );
    v.assign(v.sub(10));
    const late = v.mul(5);
    v.assign(v.add(1));
    await realize([]);
    assert.deepEqual(
      [await numbers(late), await numbers(v)],
      [
        [10, 15],
        [3, 4],
      ],
    );
  });

  onEach("an error leaves variables as they were", async (device) => {
    const v = variable(tensor([1, 2]), { name: "kept" });
    await realize([v]);
    const other = variable(tensor([1]), {
      name: "elsewhere",
      device: device.kind === "webgpu" ? new ReferenceDevice() : gpu,
    });
    await realize([other]);
    v.assign(v.add(other));
    await assert.rejects(realize([]), /meet in one computation; move one with to\(tensor, device\)/);
    assert.deepEqual(await numbers(v), [1, 2]);
  });

  onEach("first values: from expressions, draws, other variables; drawn once", async () => {
    const g = new Generator(1);
    const a = variable(g.normal([20]));
    const b = variable(a.mul(2));
    const [first, second] = [await numbers(a), await numbers(a)];
    assert.deepEqual(first, second);
    assert.deepEqual(
      await numbers(b),
      first.map((v) => v * 2),
    );
  });

  onEach("scalars, integers and bools are variables too", async () => {
    const [s, i, b] = [
      variable(scalar(0.5)),
      variable(tensor(Uint32Array.of(4294967295))),
      variable(tensor([true, false])),
    ];
    s.assign(s.add(1));
    i.assign(i.add(1));
    b.assign(b.not());
    await realize([]);
    assert.deepEqual([await numbers(s), await numbers(i), await numbers(b)], [[1.5], [0], [0, 1]]);
  });

  test("an assignment of another shape or dtype is refused", () => {
    const v = variable(zeros([2, 3]), { name: "w" });
    assert.throws(
      () => v.assign(zeros([3, 2])),
      /assign: variable "w" is f32\[2, 3\], the value f32\[3, 2\]; they must be equal/,
    );
    assert.throws(() => v.assign(zeros([2, 3], "i32")), /the value i32\[2, 3\]/);
    assert.equal(String(v), "Variable(w: f32[2, 3])");
  });

  test("an assigned variable keeps its buffer: in place, without a copy where nothing reads it later", async () => {
    setDefaultDevice(gpu);
    const v = variable(ramp(1000));
    await realize([v]);
    const storage = v.state.storage;
    const earlier = gpu.gpu.snapshot();
    v.assign(v.mul(0.5).add(1));
    await realize([]);
    const done = difference(gpu.gpu.snapshot(), earlier);
    assert.equal(v.state.storage, storage);
    assert.deepEqual([done.dispatches, done.copies, done.submits], [1, 0, 1]);
    assert.equal((await numbers(v))[10], 6);
    setDefaultDevice(undefined);
  });
});

describe("backward", () => {
  onEach("sets grad of trainable variables and of tensors that asked, and adds up", async () => {
    const w = variable(tensor([1, -2]));
    const frozen = variable(tensor([3, 3]), { trainable: false });
    const x = tensor([5, 7]).requireGrad();
    const ignored = tensor([1, 1]);
    w.mul(x).mul(frozen).add(ignored).sum().backward();
    assert.deepEqual(
      [await numbers(w.grad!), await numbers(x.grad!)],
      [
        [15, 21],
        [3, -6],
      ],
    );
    assert.equal(frozen.grad, undefined);
    assert.equal(ignored.grad, undefined);
    w.square().sum().backward();
    assert.deepEqual(await numbers(w.grad!), [17, 17]);
    w.grad = undefined;
    w.mul(2).backward(tensor([10, 100]));
    assert.deepEqual(await numbers(w.grad!), [20, 200]);
  });

  onEach("a training step: the gradient is of the value before the assignment", async () => {
    const w = variable(tensor([1, 2, 3]));
    const losses: number[] = [];
    for (let step = 0; step < 3; step++) {
      const loss = w.square().sum();
      loss.backward();
      w.assign(w.sub(w.grad!.mul(0.25)));
      w.grad = undefined;
      losses.push(await loss.item());
    }
    assert.deepEqual(losses, [14, 3.5, 0.875]);
    assert.deepEqual(await numbers(w), [0.125, 0.25, 0.375]);
  });

  test("what has no gradient is refused", () => {
    const w = variable(tensor([1, 2]));
    assert.throws(() => w.backward(), /backward: the function must give one number, not shape \[2\]/);
    assert.throws(() => w.gt(0).cast("i32").sum().backward(), /a i32 value has no gradient/);
    assert.throws(() => tensor([1]).sum().backward(), /no trainable variable leads to this value/);
    assert.throws(() => w.detach().sum().backward(), /no trainable variable leads to this value/);
    assert.throws(() => w.mul(1.5).backward(tensor([1])), /the cotangent \[1\] must have the output's shape \[2\]/);
  });
});

describe("compile", () => {
  onEach("replays with other inputs, assigns variables, and plans anew for other shapes", async () => {
    const w = variable(tensor([1, 1]));
    let traces = 0;
    const step = compile((x: Tensor) => {
      traces++;
      w.assign(w.add(x.sum(0)));
      return { loss: x.mul(w).sum(), x2: x.mul(2) };
    });
    const first = await step(
      tensor([
        [1, 2],
        [3, 4],
      ]),
    );
    assert.equal(await first.loss.item(), 1 * 5 + 2 * 7 + 3 * 5 + 4 * 7);
    const second = await step(
      tensor([
        [1, 0],
        [0, 1],
      ]),
    );
    assert.deepEqual(await numbers(w), [6, 8]);
    assert.deepEqual(await numbers(second.x2), [2, 0, 0, 2]);
    assert.deepEqual(await numbers(first.x2), [2, 4, 6, 8], "results are kept when the plan runs again");
    assert.equal(traces, 1);
    await step(tensor([[1, 1]]));
    assert.equal(traces, 2);
    assert.deepEqual(await numbers(w), [7, 9]);
  });

  onEach("takes computed tensors, several inputs, and arrays of outputs; live scalars and draws change", async () => {
    let rate = 1;
    const g = new Generator(9);
    const live = liveScalar(() => rate);
    const step = compile((x: Tensor, i: Tensor) => [x.take(i).mul(live), g.uniform([4])]);
    const x = tensor([10, 20, 30]).add(1);
    const [a, draw] = await step(x, tensor(Int32Array.of(2, 0)));
    rate = 10;
    const [b, other] = await step(x, tensor(Int32Array.of(1, 1)));
    assert.deepEqual(
      [await numbers(a), await numbers(b)],
      [
        [31, 11],
        [210, 210],
      ],
    );
    assert.notDeepEqual(await numbers(draw), await numbers(other));
  });

  onEach("draws what the same step draws untraced", async () => {
    const draws = async (run: (x: Tensor) => Promise<Tensor>) => {
      const found: number[][] = [];
      for (let i = 0; i < 3; i++) found.push(await numbers(await run(tensor([i]))));
      return found;
    };
    const [a, b] = [new Generator(3), new Generator(3)];
    const compiled = await draws(compile((x: Tensor) => a.uniform([2]).add(x)));
    assert.deepEqual(compiled, await draws(async (x) => b.uniform([2]).add(x)));
    assert.equal(a.calls, b.calls);
  });

  onEach("pending assignments run before; those made while tracing belong to the plan", async () => {
    const v = variable(tensor([1]));
    v.assign(v.mul(5));
    const step = compile((x: Tensor) => {
      v.assign(v.add(x));
    });
    await step(tensor([2]));
    assert.deepEqual(await numbers(v), [7]);
    await step(tensor([3]));
    assert.deepEqual(await numbers(v), [10]);
  });

  onEach("a trace that fails leaves nothing behind, and may be tried again", async () => {
    const v = variable(tensor([1, 2]));
    let broken = true;
    const step = compile((x: Tensor) => {
      v.assign(v.mul(100));
      if (broken) throw new Error("not yet");
      return x.add(v);
    });
    await assert.rejects(step(tensor([1, 1])), /not yet/);
    assert.deepEqual(await numbers(v), [1, 2]);
    broken = false;
    assert.deepEqual(await numbers(await step(tensor([1, 1]))), [101, 201]);
  });

  test("an output that is no tensor is named", async () => {
    setDefaultDevice(new ReferenceDevice());
    await assert.rejects(
      compile((x: Tensor) => ({ loss: 3 as unknown as Tensor, x }))(tensor([1])),
      /compile: output "loss" is not a tensor/,
    );
    setDefaultDevice(undefined);
  });
});
