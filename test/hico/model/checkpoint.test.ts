/** Checkpoints: written and resumed from, read by PyTorch, and the published ones read as they are. */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ReferenceDevice } from "../../../src/device/reference/reference.ts";
import { HiCo, HiCoTrainer, hicoState, loadCheckpoint, loadModel, saveCheckpoint } from "../../../src/hico/index.ts";
import type { EncoderName } from "../../../src/hico/index.ts";
import { readSafetensors, readTorchCheckpoint, stateDictOf, writeTorchCheckpoint } from "../../../src/io/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { batchOf, small } from "../helpers.ts";

setDefaultDevice(new ReferenceDevice());
const folder = mkdtempSync(join(tmpdir(), "hico-checkpoint-"));
after(() => rmSync(folder, { recursive: true }));
const golden = (name: string) => fileURLToPath(new URL(`../../../../shared/golden/${name}`, import.meta.url));

/** Loads the checkpoint's model strictly into modules of its names, and its optimizer into torch.optim.SGD. */
const PYTORCH = `
import sys, torch
value = torch.load(sys.argv[1])
root = torch.nn.Module()
for name, tensor in value["state_dict"].items():
    at = root
    *folders, leaf = name.split(".")
    for folder in folders:
        if not hasattr(at, folder): at.add_module(folder, torch.nn.Module())
        at = getattr(at, folder)
    if folders: at.register_parameter(leaf, torch.nn.Parameter(torch.zeros_like(tensor), requires_grad=name.startswith("encoder_q")))
    else: at.register_buffer(leaf, torch.zeros_like(tensor))
print(root.load_state_dict(value["state_dict"], strict=True))
optimizer = torch.optim.SGD(root.parameters(), 0.5)
optimizer.load_state_dict(value["optimizer"])
print(value["epoch"], optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"])
print(float(sum(p.double().sum() for p in value["state_dict"].values())))
print(float(sum(s["momentum_buffer"].double().sum() for s in optimizer.state.values())))
`;

async function trained(steps: number): Promise<HiCoTrainer> {
  const trainer = new HiCoTrainer(new HiCo(small({ momentum: 0.9 })), { lr: 0.05, weightDecay: 0.001 });
  for (let n = 0; n < steps; n++) await trainer.step(batchOf(3, n));
  return trainer;
}

describe("checkpoints", () => {
  test("training resumed from one goes on as if it had not stopped", async () => {
    const path = join(folder, "resumed.pth.tar");
    const whole = await trained(2);
    await saveCheckpoint(path, whole, 7);
    const resumed = new HiCoTrainer(new HiCo(small({ momentum: 0.9 })), { lr: 1, weightDecay: 0 });
    assert.equal(loadCheckpoint(resumed, path), 7);
    assert.equal(resumed.optimizer.lr, 0.05);
    for (const trainer of [whole, resumed]) for (let n = 2; n < 5; n++) await trainer.step(batchOf(3, n));
    const [expected, found] = [await hicoState(whole.model), await hicoState(resumed.model)];
    for (const [name, { data }] of expected) {
      const scale = Math.max(...[...data].map((x) => Math.abs(Number(x))), 1e-3);
      // What is written is float32, and the reference device goes on in float64.
      const apart = Math.max(...[...data].map((x, i) => Math.abs(Number(x) - Number(found.get(name)!.data[i]))));
      assert.ok(apart <= 1e-5 * scale, `${name} is off by ${apart} of ${scale}`);
    }
    assert.equal(found.get("c_queue_ptr")!.dtype, "i64");
  });

  test("PyTorch loads one strictly, and its optimizer", async (context) => {
    const path = join(folder, "torch.pth.tar");
    const trainer = await trained(2);
    await saveCheckpoint(path, trainer, 3);
    const interpreters = ["python3", "/usr/bin/python3"];
    const python = interpreters.find((p) => spawnSync(p, ["-c", "import torch"]).status === 0);
    if (python === undefined) return context.skip("no Python with PyTorch (apt-get install python3-torch)");
    const { stdout, stderr, status } = spawnSync(python, ["-c", PYTORCH, path], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
    const [loaded, settings, sum, momentum] = stdout.trim().split("\n");
    assert.equal(loaded, "<All keys matched successfully>");
    assert.equal(settings, "3 0.05 0.9");
    const total = (values: Iterable<{ data: ArrayLike<number | bigint> }>) =>
      [...values].reduce((all, { data }) => Array.from(data).reduce<number>((a, b) => a + Number(b), all), 0);
    assert.ok(Math.abs(Number(sum) - total((await hicoState(trainer.model)).values())) < 1e-4);
    const slots = (await trainer.optimizer.torchState()).get("state") as Map<
      number,
      Map<string, { data: Float32Array }>
    >;
    assert.ok(Math.abs(Number(momentum) - total([...slots.values()].map((s) => s.get("momentum_buffer")!))) < 1e-4);
  });

  test("weights alone cannot be resumed from, and say so", async () => {
    const path = join(folder, "weights.pth");
    const { model } = await trained(0);
    writeTorchCheckpoint(path, Object.fromEntries(await hicoState(model)));
    assert.throws(() => loadCheckpoint(new HiCoTrainer(model), path), /weights\.pth has no "epoch" and "optimizer"/);
    loadModel(model, path);
  });

  test("another encoder's checkpoint is an error that lists what does not fit", async () => {
    const path = join(folder, "other.pth.tar");
    await saveCheckpoint(path, await trained(0), 1);
    const gru = new HiCo(small({ encoder: "gru" }));
    assert.throws(
      () => loadModel(gru, path),
      /does not fit HiCo with the encoder "gru"[\s\S]*missing[\s\S]*unexpected/,
    );
  });

  for (const encoder of ["gru", "lstm", "transformer"] as EncoderName[]) {
    test(`the published implementation's, with ${encoder}, loads as it is and can be resumed from`, async (context) => {
      const path = golden(`hico_${encoder}.pth.tar`);
      if (!existsSync(path)) return context.skip(`${path} is absent`);
      const state = stateDictOf(readTorchCheckpoint(path));
      const {
        shape: [projection, queue],
      } = state.get("t_queue")!;
      const hidden = state.get("encoder_q.clip_proj.0.weight")!.shape[0];
      const trainer = new HiCoTrainer(
        new HiCo({
          encoder,
          hidden,
          projection,
          queue,
          granularity: state.get("c_queue")!.shape[1] / queue,
          variant: "released",
        }),
      );
      assert.equal(typeof loadCheckpoint(trainer, path), "number");
      const found = await hicoState(trainer.model);
      const { tensors } = readSafetensors(golden(`hico_${encoder}_f32.safetensors`));
      const expected = [...tensors].filter(([name]) => name.startsWith("after8/"));
      assert.equal(found.size, expected.length);
      for (const [name, { data }] of expected)
        assert.deepEqual(found.get(name.slice("after8/".length))!.data, data, name);
    });
  }
});
