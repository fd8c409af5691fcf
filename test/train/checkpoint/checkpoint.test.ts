/** Checkpoints: every part comes back with its bits, and what does not fit or was changed is told, with nothing changed. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { CpuDevice } from "../../../src/device/cpu/cpu-device.ts";
import { Adam, Linear, Muon, Sequential, SGD } from "../../../src/nn/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { Generator, tensor, variable } from "../../../src/tensor/index.ts";
import {
  DamagedCheckpointError,
  DataLoader,
  EarlyStopping,
  encodeCheckpoint,
  FolderStore,
  loadCheckpoint,
  MemoryStore,
  RunningMeans,
  saveCheckpoint,
  TensorDataset,
} from "../../../src/train/index.ts";

const device = await CpuDevice.open({ threads: 1 });
setDefaultDevice(device);
const folder = mkdtempSync(join(tmpdir(), "hico-checkpoint-"));
after(() => {
  device.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A model, optimizers and counters, some steps on. */
async function parts(steps: number) {
  const noise = new Generator(4);
  const model = new Sequential(
    new Linear(3, 4, { generator: new Generator(1) }),
    new Linear(4, 2, { generator: new Generator(2) }),
  );
  const [first, second] =
    model.parameters().length === 4 ? [model.parameters().slice(0, 2), model.parameters().slice(2)] : [];
  const adam = new Adam([{ params: [first![0]!], lr: 0.1 }, { params: [first![1]!] }], { lr: 0.01, betas: [0.8, 0.9] });
  const sgd = new SGD(second!, { lr: 0.1, momentum: 0.9 });
  const queue = new Map([
    ["keys", variable(tensor([1, 2, 3, 4]))],
    ["at", variable(tensor(Int32Array.of(3)))],
  ]);
  const means = new RunningMeans();
  const stopping = new EarlyStopping({ mode: "max" });
  const batches = new DataLoader(new TensorDataset(new Float32Array(6)), { batchSize: 2 });
  const step = async (): Promise<void> => {
    const x = noise.normal([5, 3]);
    model.forward(x).square().mean().backward();
    adam.step();
    sgd.step();
    adam.zeroGrad();
    sgd.zeroGrad();
    adam.lr *= 0.5;
    queue.get("keys")!.assign(queue.get("keys")!.mul(1.5));
    means.add({ loss: 2, worst: Infinity });
    stopping.next(0.1);
    batches.load({ epoch: 2, batch: 1 });
    await queue.get("keys")!.read();
  };
  for (let i = 0; i < steps; i++) await step();
  return { named: { model, adam, sgd, queue, noise, means, stopping, batches }, step };
}

describe("checkpoints", () => {
  test("bring every part back, from a file and from bytes, and go on with the same bits", async () => {
    const trained = await parts(3);
    const file = join(folder, "last.safetensors");
    await saveCheckpoint(file, trained.named);
    const bytes = await encodeCheckpoint(trained.named);
    assert.deepEqual(new Uint8Array(readFileSync(file)), bytes);
    assert.deepEqual(readdirSync(folder), ["last.safetensors"]);
    for (const input of [file, bytes, new Blob([new Uint8Array(bytes)])]) {
      const other = await parts(1);
      await loadCheckpoint(input, other.named);
      assert.deepEqual(await encodeCheckpoint(other.named), bytes);
      assert.equal(other.named.means.state().sums.worst, Infinity);
      const [here, there] = [await parts(3), other];
      await here.step();
      await there.step();
      assert.deepEqual(await encodeCheckpoint(there.named), await encodeCheckpoint(here.named));
    }
  });

  test("keep numbers that JSON has no word for", async () => {
    const given = { list: [-0, NaN, -Infinity, 0.1], nothing: null };
    let found: unknown;
    const part = { state: () => given, load: (state: unknown) => void (found = state) };
    await loadCheckpoint(await encodeCheckpoint({ part }), { part });
    assert.deepEqual(found, given);
  });

  test("an optimizer that has made no step has nothing to save but its settings", async () => {
    const { named } = await parts(0);
    const bytes = await encodeCheckpoint({ adam: named.adam });
    const other = (await parts(2)).named.adam;
    await loadCheckpoint(bytes, { adam: other });
    assert.equal(other.lr, 0.1);
    assert.ok([...(await other.stateDict().get("state.0.exp_avg")!.read())].every((value) => value === 0));
  });

  test("list what does not fit, and change nothing", async () => {
    const { named } = await parts(2);
    const bytes = await encodeCheckpoint({ ...named, extra: new Generator(1) });
    const other = await parts(1);
    const before = await encodeCheckpoint(other.named);
    const wider = {
      ...other.named,
      model: new Sequential(new Linear(3, 4), new Linear(4, 3), new Linear(3, 1)),
      noise: named.model,
      more: named.queue,
    };
    await assert.rejects(loadCheckpoint(bytes, wider), (error) => {
      const { message } = error as Error;
      for (const fault of [
        /it has no part "more"/,
        /its part "extra" is not asked for/,
        /"1\.weight" of "model" is \[2, 4\], here \[3, 4\]/,
        /it has no "2\.bias" of "model"/,
        /part "noise" is generator in it, module here/,
      ])
        assert.match(message, fault);
      return true;
    });
    const muon = new Muon([
      variable(
        tensor([
          [1, 2],
          [3, 4],
        ]),
      ),
    ]);
    await assert.rejects(
      loadCheckpoint(await encodeCheckpoint({ a: named.adam }), { a: muon }),
      /"state.0.exp_avg" of "a" is \[4, 3\], here \[2, 2\]/,
    );
    assert.deepEqual(await encodeCheckpoint(other.named), before);
    await assert.rejects(encodeCheckpoint({ "a/b": named.noise }), /"a\/b" holds a slash/);
    await assert.rejects(encodeCheckpoint({ a: 5 as never }), /part "a" is 5; give a module/);
  });

  test("tell every byte that has changed", async () => {
    const { named } = await parts(1);
    const bytes = await encodeCheckpoint({ noise: named.noise, queue: named.queue });
    let told = 0;
    for (let at = 0; at < bytes.length; at++) {
      const changed = bytes.slice();
      changed[at]! ^= 4;
      await assert.rejects(loadCheckpoint(changed, { noise: named.noise, queue: named.queue }), Error, `byte ${at}`);
      told++;
    }
    assert.equal(told, bytes.length);
    await assert.rejects(loadCheckpoint(bytes.subarray(0, 100), { noise: named.noise }), DamagedCheckpointError);
  });
});

describe("stores", () => {
  test("a folder and memory hold the same by name", () => {
    for (const store of [new FolderStore(join(folder, "store")), new MemoryStore()]) {
      assert.deepEqual(store.names(), []);
      store.write("a.safetensors", Uint8Array.of(1));
      store.write("b.safetensors", Uint8Array.of(2));
      store.write("a.safetensors", Uint8Array.of(3));
      assert.deepEqual(
        [store.names().sort(), [...store.read("a.safetensors")]],
        [["a.safetensors", "b.safetensors"], [3]],
      );
      store.remove("a.safetensors");
      assert.deepEqual(store.names(), ["b.safetensors"]);
      assert.throws(() => store.read("a.safetensors"), /a\.safetensors/);
    }
    writeFileSync(join(folder, "store", ".c.safetensors.left.tmp"), "");
    writeFileSync(join(folder, "store", "notes.txt"), "");
    assert.deepEqual(new FolderStore(join(folder, "store")).names(), ["b.safetensors"]);
  });
});
