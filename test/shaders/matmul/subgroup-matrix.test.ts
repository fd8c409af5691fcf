/**
 * No adapter here multiplies subgroup matrices, so their text is held to Dawn's compiler, on its null backend. Only
 * Dawn under Node has one.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isNode } from "../../../src/device/environment.ts";
import type { AdapterProfile } from "../../../src/shaders/kernel.ts";
import { emitMatmul } from "../../../src/shaders/matmul/matmul.ts";
import type { SubgroupMatrixDialect, SubgroupMatrixTile } from "../../../src/shaders/matmul/subgroup-matrix.ts";
import { probeSubgroupMatrix, SUBGROUP_MATRIX_DIALECTS } from "../../../src/shaders/matmul/subgroup-matrix.ts";
import { specOf } from "./matmul-problem.ts";

const profile: AdapterProfile = {
  kind: "gpu",
  maxStorageBuffers: 8,
  maxInvocations: 256,
  maxWorkgroupBytes: 32768,
  maxBindingBytes: 128 << 20,
  subgroups: true,
  f16: true,
};

const tileOf = (dialect: SubgroupMatrixDialect, more: Partial<SubgroupMatrixTile> = {}): SubgroupMatrixTile => ({
  kind: "subgroup-matrix",
  rows: 2,
  columns: 2,
  subgroups: [2, 1],
  kTile: 32,
  shape: { m: 8, n: 16, k: 32 },
  // The null backend's subgroups may have 128 invocations, and Dawn wants workgroups of whole subgroups.
  subgroupSize: 128,
  dialect,
  ...more,
});

describe("matmul on subgroup matrices", { skip: isNode ? false : "needs Dawn's null backend" }, () => {
  // Dawn stops when the object that made it is collected.
  let gpu: GPU;
  let device: GPUDevice;
  const open = async (features: string[]): Promise<GPUDevice> =>
    (await gpu.requestAdapter())!.requestDevice({ requiredFeatures: features as GPUFeatureName[] });

  before(async () => {
    const dawn = await import("webgpu");
    gpu = dawn.create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
    device = await open(["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"]);
  });
  after(() => {
    device.destroy();
    assert.ok(gpu);
  });

  async function errorsOf(wgsl: string): Promise<string[]> {
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ code: wgsl });
    const info = await module.getCompilationInfo();
    await device.popErrorScope();
    return info.messages.filter(({ type }) => type === "error").map(({ message }) => message);
  }

  test("this version of Dawn takes a dialect, and its kernels compile for all layouts and edges", async () => {
    const dialect = await probeSubgroupMatrix(device);
    assert.ok(dialect !== undefined);
    for (const [m, n, k] of [
      [64, 64, 64],
      [33, 20, 17],
      [32, 22, 40],
    ]) {
      for (const transposed of [false, true]) {
        const spec = specOf({ batch: 3, m, n, k, transposeA: transposed, transposeB: transposed });
        const { wgsl, workgroups } = emitMatmul(spec, tileOf(dialect), profile);
        assert.deepEqual(await errorsOf(wgsl), []);
        assert.deepEqual(workgroups, [3 * Math.ceil(m / 16) * Math.ceil(n / 64), 1, 1]);
        device.pushErrorScope("validation");
        await device.createComputePipelineAsync({
          layout: "auto",
          compute: { module: device.createShaderModule({ code: wgsl }), entryPoint: "main" },
        });
        assert.equal(await device.popErrorScope(), null);
      }
    }
  });

  test("the probe tells the orders of the size parameters apart", async () => {
    const dialect = (await probeSubgroupMatrix(device))!;
    const [order, layout] = dialect.split("-");
    const other = `${order === "columns" ? "rows" : "columns"}-${layout}` as SubgroupMatrixDialect;
    assert.ok(SUBGROUP_MATRIX_DIALECTS.includes(other));
    const { wgsl } = emitMatmul(specOf({ batch: 1, m: 64, n: 64, k: 64 }), tileOf(other), profile);
    assert.notDeepEqual(await errorsOf(wgsl), []);
  });

  test("a device without the features has no dialect", async () => {
    const bare = await open([]);
    assert.equal(await probeSubgroupMatrix(bare), undefined);
    bare.destroy();
  });

  test("tiles that do not fit are refused by the rule", () => {
    const spec = specOf({ batch: 1, m: 64, n: 64, k: 64 });
    const emit = (more: Partial<SubgroupMatrixTile>) => () =>
      emitMatmul(spec, tileOf("columns-template", more), profile);
    assert.throws(emit({ kTile: 48 }), /kTile = 48 .* multiple of the matrices' k/);
    assert.throws(emit({ kTile: 512 }), /bytes of workgroup memory/);
    assert.throws(emit({ subgroups: [4, 2] }), /1024 invocations/);
  });
});
