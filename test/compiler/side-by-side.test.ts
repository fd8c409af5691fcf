/** Independent kernels in one dispatch: what they compute, how many dispatches that saves, and in which order they run. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { planOf } from "../../src/device/webgpu/planner.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import { ReferenceDevice } from "../../src/device/reference/reference.ts";
import type { AdapterProfile } from "../../src/shaders/kernel.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import { compile } from "../../src/tensor/program/compile.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { Draw } from "../support/draw.ts";
import { openTestDevice } from "../support/helpers.ts";

const profile: AdapterProfile = {
  kind: "gpu",
  maxStorageBuffers: 10,
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 1 << 27,
  subgroups: false,
  f16: false,
};

/** Two branches of the same form and one of another, none of which needs the others. */
function branches(x: Tensor, y: Tensor, w: Tensor, v: Tensor): Tensor[] {
  const a = x.matmul(w).relu().matmul(v);
  const b = y.matmul(w).relu().matmul(v);
  const c = y.matmul(w.transpose().mul(0.5).transpose()).sum(-1);
  return [a.sub(a.mean(-1, true)), b.sub(b.mean(-1, true)), c];
}

function inputs(rows: number, inner: number, columns: number): [Tensor, Tensor, Tensor, Tensor] {
  const draw = new Draw(rows * 7 + inner);
  const matrix = (...shape: number[]) => {
    const { data } = draw.data(shape, { domain: [-1, 1] });
    return tensor(data, { shape, dtype: "f32" });
  };
  return [matrix(rows, inner), matrix(rows + 3, inner), matrix(inner, columns), matrix(columns, 5)];
}

describe("kernels side by side", () => {
  const sizes = [
    [7, 5, 6],
    [33, 20, 17],
    [70, 64, 68],
  ] as const;

  for (const kind of ["cpu", "gpu"] as const) {
    describe(`${kind} kernels`, () => {
      let device: WebGpuDevice;
      before(async () => {
        device = await openTestDevice({ profile: kind });
      });
      after(() => {
        device.close();
        setDefaultDevice(undefined);
      });

      test("compute what the reference computes", async () => {
        for (const size of sizes) {
          const found: number[][][] = [];
          for (const on of [device, new ReferenceDevice()]) {
            setDefaultDevice(on);
            const [rows, inner, columns] = size;
            const results = await compile(branches)(...inputs(rows, inner, columns));
            found.push(await Promise.all(results.map(async (r) => [...(await r.read())])));
          }
          const [actual, expected] = found;
          expected.forEach((values, i) => {
            const scale = Math.max(...values.map(Math.abs));
            values.forEach((v, k) => {
              assert.ok(
                Math.abs(actual[i][k] - v) <= 1e-5 * scale,
                `result ${i} of ${size}: element ${k} is ${actual[i][k]}, not ${v}`,
              );
            });
          });
        }
      });
    });
  }

  test("two branches of the same form take the dispatches of one", () => {
    const [x, y, w, v] = inputs(64, 32, 32);
    const both = (a: Tensor, b: Tensor) => [a, b].map((t) => t.matmul(w).relu().matmul(v).exp());
    const one = planOf((a: Tensor) => both(a, a)[0], [x] as const, profile).dispatches;
    const two = planOf(both, [x, y] as const, profile).dispatches;
    assert.equal(two.length, one.length);
    assert.ok(
      two.some((name) => name.includes(" + ")),
      two.join("; "),
    );
  });

  test("a plan made for looking leaves nothing waiting and gives nothing memory", () => {
    const [x, , w] = inputs(8, 4, 4);
    const { memory, copies } = planOf((a: Tensor) => a.matmul(w).relu().sum(), [x] as const, profile);
    assert.equal(copies, 0);
    assert.ok(memory.held >= memory.needed && memory.needed > 0);
  });
});
