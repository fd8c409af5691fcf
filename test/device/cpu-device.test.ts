/** The cpu device as a device: same bits on any number of threads, plans replayed, memory flat, errors that say what. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import vm from "node:vm";
import { valueAndGrad } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import { newCpuCounters } from "../../src/device/cpu/counters.ts";
import { prepareEngine } from "../../src/device/cpu/engine.ts";
import { CpuMemory } from "../../src/device/cpu/memory.ts";
import type { ProgramExports, SharedProgram } from "../../src/device/cpu/threads.ts";
import { PhaseError, Threads } from "../../src/device/cpu/threads.ts";
import { device } from "../../src/device/index.ts";
import { crossEntropy, layerNorm, softmax } from "../../src/ops/index.ts";
import { apply } from "../../src/tensor/build.ts";
import type { ElementwiseOp } from "../../src/tensor/elementwise/row.ts";
import type { ElementwiseName } from "../../src/tensor/elementwise/values.ts";
import { ELEMENTWISE } from "../../src/tensor/elementwise/table.ts";
import { Generator, Tensor, compile, realize, setDefaultDevice, tensor, variable } from "../../src/tensor/index.ts";
import { f32x4, i32 } from "../../src/wasm/assembler/instructions.ts";
import type { WasmKernel } from "../../src/wasm/kernel.ts";
import { emitProgram } from "../../src/wasm/program.ts";
import { emitPhases } from "../../src/wasm/work-sharing.ts";
import { Draw } from "../support/draw.ts";
import { devicesAgree, numbers } from "../support/helpers.ts";

/** A training step with products, reductions of every kind, draws and assignments. */
function network() {
  const g = new Generator(5);
  const weights = [
    [96, 70],
    [70, 70],
    [70, 10],
  ].map((shape) => variable(g.normal(shape, 0, 0.2)));
  const scale = variable(g.uniform([70]));
  const x = g.normal([130, 96]);
  const labels = g.integers([130], 0, 10);
  const loss = valueAndGrad((parameters: Tensor[]) => {
    const [a, b, c, s] = parameters;
    const hidden = layerNorm(x.matmul(a).tanh(), { weight: s, bias: s }).mul(g.dropoutMask([130, 70], 0.2));
    const mixed = softmax(hidden.matmul(b)).add(hidden.mean(0, true)).gelu();
    return crossEntropy(mixed.matmul(c).sub(mixed.max(0).sum()), labels);
  });
  const parameters = [...weights, scale];
  return {
    parameters,
    step: () => {
      const [value, gradients] = loss(parameters) as [Tensor, Tensor[]];
      parameters.forEach((p, i) => p.assign(p.sub(gradients[i].mul(0.05))));
      return value;
    },
  };
}

async function on<T>(threads: number, body: (device: CpuDevice) => Promise<T>): Promise<T> {
  const opened = await CpuDevice.open({ threads });
  setDefaultDevice(opened);
  try {
    return await body(opened);
  } finally {
    setDefaultDevice(undefined);
    opened.close();
  }
}

describe("the cpu device", () => {
  test("gives the same bits on 1, 2, 3 and 7 threads", async () => {
    const run = (threads: number) =>
      on(threads, async (d) => {
        assert.equal(d.threads, threads);
        const { step, parameters } = network();
        const losses: number[] = [];
        for (let i = 0; i < 4; i++) losses.push(await step().item());
        const g = new Generator(1);
        const sums = [
          g.normal([300_000]).sum(),
          g.normal([40, 9000]).sum(1),
          g.normal([9000, 40]).sum(0),
          g.normal([50, 200, 30]).max([0, 2]),
        ];
        return [losses, ...(await Promise.all([...parameters, ...sums].map(numbers)))];
      });
    const expected = await run(1);
    assert.ok(expected[0].every(Number.isFinite) && new Set(expected[0]).size === 4);
    for (const threads of [2, 3, 7]) assert.deepEqual(await run(threads), expected, `${threads} threads`);
  });

  test("products of operands that are the same along an axis, or stand in any order", () =>
    on(2, (d) => {
      const draw = new Draw(2);
      const leaves = [[6, 9, 16], [6, 16, 24], [24], [1, 3]].map((shape) => draw.data(shape));
      return devicesAgree(d, [
        {
          name: "products",
          leaves,
          f: (x, y, row, small) => [
            x.matmul(row.expand([6, 16, 24])),
            x.slice([0, 1]).expand([6, 9, 16]).matmul(y),
            x.matmul(y.flip(1)).transpose(1, 2),
            small.matmul(y.slice([0, 2], [0, 1]).expand([2, 3, 24])),
            x.transpose(1, 2).matmul(x.flip(0)),
          ],
        },
      ]);
    }));

  test("a NaN stays one: through every op of one float, beside a number, and through reductions", () =>
    on(1, async () => {
      const names = Object.entries<ElementwiseOp>(ELEMENTWISE)
        .filter(
          ([, { arity, takes, gives }]) => arity === 1 && takes !== "integer" && takes !== "bool" && gives !== "bool",
        )
        .map(([name]) => name as ElementwiseName);
      assert.ok(names.length > 20);
      const x = tensor(
        Float32Array.from({ length: 150 }, (_, i) => (i === 77 || i === 149 ? NaN : 0.5)),
        { shape: [2, 75] },
      );
      const one = names.map((name) => new Tensor(apply(name, [x.node])));
      const two = [x.maximum(0), tensor(0).maximum(x), x.minimum(0), x.add(1), x.mul(3), x.pow(2)];
      const rows = [x.sum(1), x.max(1), x.min(1), x.prod(1), softmax(x).sum(1), layerNorm(x).sum(1)];
      const columns = [x.sum(0), x.max(0), x.min(0)];
      await realize([...one, ...two, ...rows, ...columns]);
      for (const [k, t] of [...one, ...two].entries()) {
        const wrong = Array.from(await t.read()).findIndex(
          (value, i) => Number.isNaN(value) !== (i === 77 || i === 149),
        );
        assert.equal(wrong, -1, names[k] ?? `operation ${k - names.length} of two operands`);
      }
      for (const [k, t] of rows.entries())
        assert.deepEqual(Array.from(await t.read(), Number.isNaN), [false, true], `reduction ${k}`);
      for (const [k, t] of columns.entries()) {
        const found = Array.from(await t.read(), Number.isNaN);
        assert.deepEqual(
          found.flatMap((nan, i) => (nan ? [i] : [])),
          [2, 74],
          `reduction ${k} over rows`,
        );
      }
    }));

  test("a step traced again compiles nothing; memory is flat over 300 steps", () =>
    on(2, async (d) => {
      const { step } = network();
      const losses: Tensor[] = [];
      for (let i = 0; i < 5; i++) {
        losses.push(step());
        await realize([losses[i]]);
      }
      v8.setFlagsFromString("--expose-gc");
      const collect = vm.runInNewContext("gc") as () => void;
      // What the first steps dropped is given back when V8 collects it: before or during the steps that count.
      const collected = async (least = 0): Promise<number> => {
        for (let i = 0; i < 20 && d.counters.bytesLive > least; i++) {
          collect();
          await setTimeout(5);
        }
        return d.counters.bytesLive;
      };
      const bytesLive = await collected();
      const { modulesCompiled, runs } = d.counters;
      const earlier = { modulesCompiled, bytesLive, runs, plans: d.plans };
      for (let i = 0; i < 295; i++) {
        const loss = step();
        await realize([loss]);
        loss.dispose();
      }
      assert.equal(d.counters.modulesCompiled, earlier.modulesCompiled);
      assert.equal(d.plans, earlier.plans);
      assert.equal(d.counters.runs - earlier.runs, 295);
      assert.equal(await collected(earlier.bytesLive), earlier.bytesLive);
    }));

  test("tensors that nobody refers to are given back after a collection", () =>
    on(1, async (d) => {
      v8.setFlagsFromString("--expose-gc");
      const collect = vm.runInNewContext("gc") as () => void;
      const x = await tensor(new Float32Array(100_000)).realize();
      const square = compile((t: Tensor) => t.square());
      await square(x);
      const before_ = d.counters.bytesLive;
      for (let i = 0; i < 20; i++) await square(x);
      assert.ok(d.counters.bytesLive >= before_ + 10 * 400_000);
      for (let i = 0; i < 20 && d.counters.bytesLive > before_; i++) {
        collect();
        await setTimeout(5);
      }
      assert.ok(d.counters.bytesLive <= before_, `${d.counters.bytesLive} bytes live, ${before_} before`);
    }));

  test("a loop that drops large results does not run out of memory", () =>
    on(1, async (d) => {
      const x = await tensor(new Float32Array(8 << 20)).realize();
      const next = compile((t: Tensor) => t.add(1));
      for (let i = 0; i < 150; i++) await next(x);
      assert.ok(d.counters.bytesPeak < 1 << 30, `${d.counters.bytesPeak} bytes at once for results of ${4 * x.size}`);
    }));

  test("disposed tensors and variables cannot be used; a closed device neither; trim leaves variables", () =>
    on(1, async (d) => {
      const x = await tensor([1, 2, 3]).realize();
      x.dispose();
      await assert.rejects(async () => numbers(x.add(1)), /disposed/);
      const gone = variable(tensor(new Float32Array(5000)));
      const step = compile((x: Tensor) => gone.assign(gone.add(x)).sum());
      await step(tensor(1));
      const before = d.counters.bytesLive;
      gone.dispose();
      assert.ok(d.counters.bytesLive <= before - 4 * gone.size);
      for (const use of [() => step(tensor(1)), () => gone.read(), () => gone.assign(gone.mul(2)).read()])
        await assert.rejects(use, /disposed/);
      const v = variable(tensor([1, 2]));
      assert.deepEqual(await numbers(v.add(1)), [2, 3]);
      d.trim();
      assert.equal(d.plans, 0);
      assert.deepEqual(await numbers(v.add(1)), [2, 3]);
      d.close();
      await assert.rejects(numbers(v.add(2)), /the cpu device was closed/);
    }));

  test("dtypes it has not, and tensors that do not fit, are errors that say so", () =>
    on(1, async () => {
      await assert.rejects(
        numbers(tensor(new Float64Array(3), { dtype: "f64" }).add(1)),
        /has no f64 tensors: it exists on the reference/,
      );
      await assert.rejects(numbers(tensor([1, 2]).cast("f16").add(1)), /has no f16 tensors/);
      await assert.rejects(
        numbers(
          tensor([1])
            .expand([1 << 15, 1 << 16])
            .add(tensor([2]))
            .contiguous(),
        ),
        /no room for .* MiB .*4 GiB at most/s,
      );
      assert.deepEqual(await numbers(tensor([1]).add(1)), [2]);
    }));

  test("threads: by option, by HICO_THREADS, and never a number that is none", async () => {
    for (const threads of [0, 1.5, -1, 65, NaN]) {
      await assert.rejects(device("cpu", { threads }), /threads must be a whole number from 1 to 64/);
    }
    process.env.HICO_THREADS = "2";
    try {
      const opened = (await device("cpu")) as CpuDevice;
      assert.equal(opened.threads, 2);
      assert.match(opened.name, /^cpu \(2 threads\)$/);
      opened.close();
      process.env.HICO_THREADS = "many";
      await assert.rejects(device("cpu"), /whole number from 1 to 64, not many/);
    } finally {
      delete process.env.HICO_THREADS;
    }
  });

  test("a process ends with its work, though the device is open", () => {
    const script = `
      import { device, setDefaultDevice, tensor } from ${JSON.stringify(fileURLToPath(new URL("../../src/index.ts", import.meta.url)))};
      setDefaultDevice(await device("cpu", { threads: 3 }));
      const x = tensor(new Float32Array(500000).fill(2));
      console.log((await x.square().sum().read())[0]);`;
    const args = ["--import", "tsx", "--input-type=module", "-e", script];
    assert.equal(execFileSync(process.execPath, args, { encoding: "utf8", timeout: 60_000 }).trim(), "2000000");
  });
});

describe("threads", () => {
  /** Adds 1 to a word a unit; unit `bad` writes where there is no memory. */
  const counting = (units: number, bad = -1): WasmKernel => ({
    name: "counting",
    units,
    threadBytes: 0,
    emit: (f, { begin, end, input }) =>
      f.for(begin, end, 1, (unit) => {
        const at = f.name(i32.add(input(0), i32.shl(unit, i32.const(2))));
        f.if(i32.eq(unit, i32.const(bad)), () => f.store(i32.const(-64), f32x4.const(0)));
        f.drop(i32.atomicAdd(at, i32.const(1)));
      }),
  });

  let memory: CpuMemory;
  let threads: Threads;
  before(async () => {
    await prepareEngine();
    memory = new CpuMemory(true, newCpuCounters());
    threads = await Threads.start(memory, 4);
  });
  after(() => threads.close());

  async function program(id: number, kernels: readonly WasmKernel[], parallel: boolean): Promise<SharedProgram> {
    const phases = parallel
      ? [{ kernels: kernels.map((k, kernel) => ({ kernel, units: k.units })) }]
      : kernels.map((k, kernel) => ({ kernels: [{ kernel, units: k.units }] }));
    const entries = kernels.map((kernel) => ({ kernel, inputs: [0], outputs: [], scratch: [] }));
    const bytes = emitProgram(entries, { relaxedSimd: false, threads: true }, true, (m, k) =>
      emitPhases(m, k, phases, true),
    );
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory: memory.memory } });
    const module = memory.allocate(bytes.length);
    memory.bytes.set(bytes, module.address);
    return {
      id,
      exports: instance.exports as unknown as ProgramExports,
      module,
      moduleBytes: bytes.length,
      counters: phases.length,
      threadBytes: 0,
    };
  }

  for (const parallel of [false, true]) {
    test(`every unit runs once a run, ${parallel ? "kernels side by side" : "one kernel after the other"}`, async () => {
      const kernels = [counting(1), counting(5), counting(1000), counting(3), counting(77)];
      const made = await program(parallel ? 2 : 1, kernels, parallel);
      const words = memory.allocate(4 * 1000);
      const table = memory.allocate(4);
      new Uint32Array(memory.bytes.buffer, table.address, 1)[0] = words.address;
      const counts = new Int32Array(memory.bytes.buffer, words.address, 1000);
      counts.fill(0);
      for (let run = 0; run < 500; run++) threads.run(made, table.address);
      counts.forEach((count, unit) =>
        assert.equal(count, 500 * kernels.filter((k) => unit < k.units).length, `unit ${unit}`),
      );
    });
  }

  test("every unit runs once on one thread, those of a kernel of many in sixteen calls at most", async () => {
    const calls = (kernel: WasmKernel): WasmKernel => ({
      ...kernel,
      emit: (f, context) => {
        f.drop(i32.atomicAdd(context.input(0), i32.const(1)));
        kernel.emit(f, { ...context, input: () => f.name(i32.add(context.input(0), i32.const(4))) });
      },
    });
    const words = memory.allocate(4 * 1001);
    const table = memory.allocate(4);
    new Uint32Array(memory.bytes.buffer, table.address, 1)[0] = words.address;
    const counts = new Int32Array(memory.bytes.buffer, words.address, 1001);
    for (const [units, wanted] of [
      [1, 1],
      [16, 1],
      [77, 16],
      [1000, 16],
    ]) {
      const { exports } = await program(5, [calls(counting(units))], false);
      counts.fill(0);
      exports.alone(table.address, 0);
      const [called, ...each] = counts;
      assert.equal(called, wanted, `calls of ${units} units`);
      assert.deepEqual(
        each,
        each.map((_, unit) => (unit < units ? 1 : 0)),
      );
    }
  });

  test("a kernel that fails is told by its phase, on whatever thread, and the next run works", async () => {
    const words = memory.allocate(4 * 5000);
    const table = memory.allocate(4);
    new Uint32Array(memory.bytes.buffer, table.address, 1)[0] = words.address;
    const bad = await program(3, [counting(20), counting(5000, 4000), counting(9)], false);
    const good = await program(4, [counting(30)], false);
    for (let i = 0; i < 5; i++) {
      assert.throws(
        () => threads.run(bad, table.address),
        (error: unknown) => error instanceof PhaseError && error.phase === 1,
      );
      threads.run(good, table.address);
    }
  });
});
