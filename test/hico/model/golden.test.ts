/**
 * Whole training steps against the published implementation's numbers: projections, logits, gradients, losses, and the
 * state after one and eight steps. One small file lies with the tests; the others are replayed where they are to be had.
 */
import { describe, test } from "node:test";
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readSafetensors, writeSafetensors } from "../../../src/io/index.ts";
import type { HostTensor } from "../../../src/io/index.ts";
import type { CaseResult } from "../../../src/verify/verify.ts";
import { replay } from "../../golden/replay.ts";

const fixture = fileURLToPath(new URL("../../fixtures/golden/hico_lstm_g3_f64.safetensors", import.meta.url));
const golden = (name: string) =>
  fileURLToPath(new URL(`../../../../shared/golden/${name}.safetensors`, import.meta.url));

async function replayed(file: string, device: string): Promise<CaseResult> {
  const { cases } = await replay({ file, device, software: device === "webgpu" ? "swiftshader" : undefined });
  assert.equal(cases.length, 1);
  assert.equal(cases[0].kind, "training step");
  return cases[0];
}

/** Every quantity of the file but what the steps start from was compared, and none is further off than the bar. */
async function assertMet(file: string, device: string, bar: number): Promise<void> {
  const { failure, passed, error, worst, compared } = await replayed(file, device);
  assert.equal(failure, undefined);
  assert.ok(passed && error! <= bar, `${worst} is off by ${error}`);
  const names = [...readSafetensors(file).tensors.keys()];
  assert.equal(compared, names.filter((name) => !/^(init|batch\d+)\//.test(name)).length);
}

describe("training steps equal the reference implementation's", () => {
  test("LSTM, three levels: float64 to 1e-8", () => assertMet(fixture, "reference", 1e-8));
  test("LSTM, three levels: WebGPU to 1e-3, the first step to 1e-4", () => assertMet(fixture, "webgpu", 1e-3));

  test("LSTM, three levels: cpu to 1e-3, the first step to 1e-4", () => assertMet(fixture, "cpu", 1e-3));

  for (const [name, device, bar] of [
    ["hico_transformer_f64", "reference", 1e-8],
    ["hico_gru2_f64", "reference", 1e-8],
    ["hico_transformer_f32", "webgpu", 1e-3],
    ["hico_gru_f32", "webgpu", 1e-3],
    ["hico_lstm_f32", "webgpu", 1e-3],
    ["hico_transformer_f32", "cpu", 1e-4],
    ["hico_gru_f32", "cpu", 1e-4],
    ["hico_lstm_f32", "cpu", 1e-4],
  ] as const) {
    test(`${name} on ${device}`, async (context) => {
      if (!existsSync(golden(name))) return context.skip(`${golden(name)} is absent`);
      await assertMet(golden(name), device, bar);
    });
  }
});

describe("a file that is wrong", () => {
  /** The fixture with changes, replayed in float64. */
  async function changed(
    change: (tensors: Map<string, HostTensor>, metadata: Map<string, string>) => void,
  ): Promise<CaseResult> {
    const folder = mkdtempSync(join(tmpdir(), "hico-steps-"));
    try {
      const { tensors, metadata } = readSafetensors(fixture);
      change(tensors, metadata);
      const path = join(folder, "changed.safetensors");
      writeSafetensors(path, tensors, metadata);
      return await replayed(path, "reference");
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  function scaled(value: HostTensor, by: number): HostTensor {
    return { ...value, data: (value.data as Float64Array).map((x) => x * by) };
  }

  test("in one gradient fails by its name", async () => {
    const name = "step0/grad/hi_encoder.s_downsample.norm.bias";
    const { passed, worst, error } = await changed((tensors) =>
      tensors.set(name, scaled(tensors.get(name)!, 1 + 1e-6)),
    );
    assert.equal(passed, false);
    assert.equal(worst, name);
    assert.ok(Math.abs(error! - 1e-6) < 1e-8);
  });

  test("in its settings fails: another temperature, another learning rate", async () => {
    const warm = await changed((_, metadata) => metadata.set("T", "0.21"));
    assert.ok(!warm.passed && warm.error! > 1e-3);
    const fast = await changed((_, metadata) => metadata.set("lr", "0.06"));
    assert.ok(!fast.passed && fast.error! > 1e-3);
  });

  test("without a setting, a batch or a parameter says which", async () => {
    assert.match(
      (await changed((_, metadata) => metadata.delete("granularity"))).failure!,
      /metadata has no "granularity"/,
    );
    assert.match((await changed((tensors) => tensors.delete("batch0/kp"))).failure!, /no tensor "batch0\/kp"/);
    const without = await changed((tensors) => tensors.delete("init/encoder_q.clip_proj.0.bias"));
    assert.match(without.failure!, /missing \(2\): "encoder_q\.clip_proj\.0\.bias", "encoder_k\.clip_proj\.0\.bias"/);
    assert.match(
      (await changed((_, metadata) => metadata.set("encoder", "Mamba"))).failure!,
      /encoder is "mamba"; it must be one of/,
    );
  });
});
