/**
 * Golden files of cases (golden_cases.py): each op's values, gradients and second derivatives, computed here on a device
 * and compared.
 */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { fileURLToPath } from "node:url";
import { gradients } from "../../src/autograd/grad.ts";
import { CpuDevice } from "../../src/device/cpu/cpu-device.ts";
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { HostTensor } from "../../src/io/index.ts";
import { readSafetensors } from "../../src/io/index.ts";
import { setDefaultDevice } from "../../src/tensor/backend.ts";
import type { Backend } from "../../src/tensor/backend.ts";
import type { DType } from "../../src/tensor/index.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { tensor } from "../../src/tensor/index.ts";
import { disagreement, openTestDevice, valuesOf } from "../support/helpers.ts";
import type { LayerOp } from "./layer-ops.ts";

/** The devices of float32 for the tests of a block: opened before them, closed after them. */
export function float32Devices(): { readonly cpu: () => CpuDevice; readonly webgpu: () => WebGpuDevice } {
  let cpu: CpuDevice;
  let webgpu: WebGpuDevice;
  before(async () => {
    cpu = await CpuDevice.open({ threads: 2 });
    webgpu = await openTestDevice();
  });
  after(() => {
    cpu.close();
    webgpu.close();
  });
  return { cpu: () => cpu, webgpu: () => webgpu };
}

export interface GoldenCase {
  readonly op: string;
  readonly options: Record<string, unknown>;
}

/** A golden file and how its ops are called here. Cases of an op "module" are left to the test. */
export class GoldenCases {
  readonly tensors: ReturnType<typeof readSafetensors>["tensors"];
  readonly cases: readonly (readonly [string, GoldenCase])[];
  readonly #ops: Readonly<Record<string, LayerOp>>;

  constructor(file: string, ops: Readonly<Record<string, LayerOp>>) {
    const read = readSafetensors(fileURLToPath(new URL(`../fixtures/golden/${file}`, import.meta.url)));
    this.tensors = read.tensors;
    this.cases = Object.entries(JSON.parse(read.metadata.get("cases")!) as Record<string, GoldenCase>);
    this.#ops = ops;
  }

  load(name: string, dtype: DType): Tensor {
    const { data, shape, dtype: stored } = this.tensors.get(name) as HostTensor;
    return tensor(data as Float64Array, { shape, dtype: stored === "f64" ? dtype : (stored as DType) });
  }

  namesBelow(prefix: string): string[] {
    return [...this.tensors.keys()].filter((key) => key.startsWith(`${prefix}/`));
  }

  /** What a case computes and the golden names of it. */
  #computed(name: string, op: string, options: object, dtype: DType): [string, Tensor][] {
    const inputs = this.namesBelow(`${name}/in`).map((key) => this.load(key, dtype));
    const state = new Map(
      this.namesBelow(`${name}/state`).map(
        (key) => [key.slice(`${name}/state/`.length), this.tensors.get(key)!] as const,
      ),
    );
    const out = this.#ops[op](inputs, options, state);
    const list: [string, Tensor][] = [[`${name}/out`, out]];
    if (!this.tensors.has(`${name}/cotangent`)) return list;
    const floats = inputs.flatMap((t, i) => (t.dtype === dtype ? [i] : []));
    const targets = floats.map((i) => inputs[i]);
    const first = gradients([out], [this.load(`${name}/cotangent`, dtype)], targets);
    floats.forEach((i, at) => {
      if (this.tensors.has(`${name}/grad/${i}`)) list.push([`${name}/grad/${i}`, first[at]]);
    });
    const weighted = floats.flatMap((i, at) =>
      this.tensors.has(`${name}/weight/${i}`) ? [[i, first[at]] as const] : [],
    );
    if (weighted.length === 0 || this.namesBelow(`${name}/grad2`).length === 0) return list;
    const second = gradients(
      weighted.map(([, g]) => g),
      weighted.map(([i]) => this.load(`${name}/weight/${i}`, dtype)),
      targets,
    );
    floats.forEach((i, at) => {
      if (this.tensors.has(`${name}/grad2/${i}`)) list.push([`${name}/grad2/${i}`, second[at]]);
    });
    return list;
  }

  /** @param every one case in how many is computed */
  async replay(device: Backend, dtype: DType, bound: number, every = 1): Promise<void> {
    setDefaultDevice(device);
    try {
      const list: [string, Tensor][] = [];
      const wrong: string[] = [];
      for (const [i, [name, { op, options }]] of this.cases.entries()) {
        if (op === "module" || i % every !== 0) continue;
        try {
          list.push(...this.#computed(name, op, options, dtype));
        } catch (error) {
          wrong.push(`${name}: ${String(error)}`);
        }
      }
      // In parts: one plan of all would be as large as a model of hundreds of layers.
      for (let i = 0; i < list.length; i += 60) {
        const part = list.slice(i, i + 60);
        const values = await valuesOf(
          device,
          part.map(([, t]) => t.node),
        );
        part.forEach(([name, t], k) => {
          const golden = this.tensors.get(name) as HostTensor;
          assert.deepEqual([...t.shape], [...golden.shape], `${name}: shape`);
          const found = Float64Array.from(values[k] as Float64Array);
          const message = disagreement(found, Float64Array.from(golden.data as Float64Array), bound, false);
          if (message) wrong.push(`${name}: ${message}`);
        });
      }
      assert.deepEqual(wrong, []);
    } finally {
      setDefaultDevice(undefined);
    }
  }
}
