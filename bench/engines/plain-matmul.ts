/**
 * A matrix product as one writes it first for a CPU-backed WebGPU adapter: each invocation keeps a tile of 16 rows by
 * 4 vec4 columns in registers and reads both factors straight from storage; no shared memory, no packing, no tuning.
 * It is the yardstick of the matrix-product benchmark, so it must not follow the engine's own kernels.
 */
import { waitFor } from "../../src/device/webgpu/gpu/wait.ts";
import { installWebGpu, requestAdapter } from "../webgpu-environment.ts";
import type { MatmulEngine, MatmulProblem, MatmulRun } from "./matmul-engine.ts";

const TILE_ROWS = 16;
/** In vec4: 16 columns. */
const TILE_VECTORS = 4;
const WORKGROUP = [4, 4];

/** @param fused accumulate by `fma`, or by `*` and `+`: drivers differ in which is the fast one. */
export function plainMatmul(fused: boolean): MatmulEngine {
  return {
    name: fused ? "plain-wgsl-fma" : "plain-wgsl-mul-add",
    adapter: "webgpu",
    async available() {
      try {
        await installWebGpu();
        return true;
      } catch (error) {
        return (error as Error).message;
      }
    },
    prepare: (problem) => prepare(problem, fused),
  };
}

async function prepare(problem: MatmulProblem, fused: boolean): Promise<MatmulRun> {
  const { rows, inner, columns, a, b } = problem;
  const [blockRows, blockColumns] = [TILE_ROWS * WORKGROUP[1], 4 * TILE_VECTORS * WORKGROUP[0]];
  if (rows % TILE_ROWS || inner % 4 || columns % (4 * TILE_VECTORS)) {
    throw new RangeError(`plain-wgsl: ${rows}×${inner}×${columns} must be multiples of ${TILE_ROWS}, 4 and 16`);
  }
  const adapter = await requestAdapter();
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize, maxStorageBufferBindingSize } });
  const storage = (size: number) =>
    device.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
    });
  const [left, right, product] = [storage(a.byteLength), storage(b.byteLength), storage(4 * rows * columns)];
  device.queue.writeBuffer(left, 0, a as Float32Array<ArrayBuffer>);
  device.queue.writeBuffer(right, 0, b as Float32Array<ArrayBuffer>);
  const pipeline = device.createComputePipeline({
    layout: "auto",
    compute: { module: device.createShaderModule({ code: source(rows, inner, columns, fused) }), entryPoint: "main" },
  });
  const bindGroup = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [left, right, product].map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  return {
    async multiply() {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(Math.ceil(columns / blockColumns), Math.ceil(rows / blockRows));
      pass.end();
      device.queue.submit([encoder.finish()]);
      await waitFor(device.queue.onSubmittedWorkDone());
    },
    async result() {
      const staging = device.createBuffer({
        size: product.size,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(product, 0, staging, 0, product.size);
      device.queue.submit([encoder.finish()]);
      await waitFor(staging.mapAsync(GPUMapMode.READ));
      const values = new Float32Array(staging.getMappedRange().slice(0));
      staging.destroy();
      return values;
    },
    dispose: () => device.destroy(),
  };
}

/** WGSL with the tile written out, so that no driver has to keep an indexed array in registers. */
function source(rows: number, inner: number, columns: number, fused: boolean): string {
  const tile = Array.from({ length: TILE_ROWS }, (_, r) =>
    Array.from({ length: TILE_VECTORS }, (_, c) => ({ r, c, name: `sum${r}_${c}` })),
  ).flat();
  const eachRow = (line: (r: number) => string) => Array.from({ length: TILE_ROWS }, (_, r) => line(r)).join("\n");
  const vectors = columns / 4;
  const accumulate = (sum: string, x: string, y: string) =>
    fused ? `      ${sum} = fma(vec4<f32>(${x}), ${y}, ${sum});` : `      ${sum} += ${x} * ${y};`;
  return `
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> product: array<vec4<f32>>;

@compute @workgroup_size(${WORKGROUP.join(", ")})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y * ${TILE_ROWS}u;
  let column = id.x * ${TILE_VECTORS}u;
  if (row >= ${rows}u || column >= ${vectors}u) { return; }
${tile.map(({ name }) => `  var ${name} = vec4<f32>();`).join("\n")}
  for (var k = 0u; k < ${inner / 4}u; k++) {
${eachRow((r) => `    let a${r} = a[(row + ${r}u) * ${inner / 4}u + k];`)}
${["x", "y", "z", "w"]
  .map(
    (lane, i) => `    {
      let at = (4u * k + ${i}u) * ${vectors}u + column;
${Array.from({ length: TILE_VECTORS }, (_, c) => `      let b${c} = b[at + ${c}u];`).join("\n")}
${tile.map(({ r, c, name }) => accumulate(name, `a${r}.${lane}`, `b${c}`)).join("\n")}
    }`,
  )
  .join("\n")}
  }
${tile.map(({ r, c, name }) => `  product[(row + ${r}u) * ${vectors}u + column + ${c}u] = ${name};`).join("\n")}
}`;
}
