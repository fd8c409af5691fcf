/**
 * The most multiply-adds a second that the adapter's float32 units do: a kernel of independent chains of fma that
 * touches memory at its end alone. It is what shares of the peak are of.
 */
import { prepareKernel } from "./kernels.ts";
import type { Part } from "./part.ts";
import type { Row } from "./results.ts";
import { timeLists } from "./timing.ts";

interface Shape {
  /** Chains of vec4s an invocation. */
  readonly chains: number;
  readonly workgroup: number;
}

/** `steps` rounds of one fma on every chain. The factors come from memory, so that nothing is known beforehand. */
function chainsText({ chains, workgroup }: Shape, steps: number): string {
  const each = (text: (i: number) => string): string => Array.from({ length: chains }, (_, i) => text(i)).join(" ");
  return `
@group(0) @binding(0) var<storage, read> factors: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<vec4<f32>>;
@compute @workgroup_size(${workgroup}) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let a = factors[0];
  let b = factors[1];
  ${each((i) => `var s${i} = factors[2] + vec4<f32>(f32(index) + ${i}.0);`)}
  for (var i = 0; i < ${steps}; i++) { ${each((i) => `s${i} = fma(s${i}, a, b);`)} }
  sums[(group.x * ${workgroup}u + index) & 1023u] = ${Array.from({ length: chains }, (_, i) => `s${i}`).join(" + ")};
}`;
}

export const peakPart: Part = {
  name: "peak",
  title: "Peak of float32 multiply-adds",
  seconds: { full: 5, small: 6 },
  run: async ({ device, small, timeLeft }) => {
    const { gpu } = device;
    const shapes: Shape[] = [4, 8, 16].flatMap((chains) =>
      (small ? [64] : [64, 256]).map((workgroup) => ({ chains, workgroup })),
    );
    const [workgroups, steps] = gpu.profile.kind === "cpu" ? [64, 256] : [16384, 2048];
    const factors = gpu.acquire(256);
    const sums = gpu.acquire(16 * 1024);
    gpu.write(factors, 0, new Float32Array([0.999, 0.998, 0.997, 0.996, 0.001, 0.002, 0.003, 0.004, 1, 2, 3, 4]));
    const commands = await Promise.all(
      shapes.map((shape) =>
        prepareKernel(gpu, {
          name: `fma ${shape.chains}x${shape.workgroup}`,
          wgsl: chainsText(shape, steps),
          workgroups: [Math.ceil((workgroups * 64) / shape.workgroup), 1, 1],
          buffers: [
            { buffer: factors, bytes: 256 },
            { buffer: sums, bytes: 16 * 1024, written: true },
          ],
        }),
      ),
    );
    const times = await timeLists(
      gpu,
      commands.map((command) => [command]),
      { samples: small ? 3 : 7, each: small ? 1 : 20 },
      timeLeft,
    );
    for (const buffer of [factors, sums]) gpu.release(buffer);
    const rows: Row[] = shapes.map(({ chains, workgroup }, i) => {
      const flops = 2 * 4 * chains * steps * Math.ceil((workgroups * 64) / workgroup) * workgroup;
      return { chains, workgroup, ms: times[i], gflops: flops / times[i] / 1e6 };
    });
    const peakGflops = Math.max(...rows.map(({ gflops }) => Number(gflops)));
    return {
      summary: `${peakGflops.toPrecision(3)} GFLOP/s of float32 multiply-adds`,
      figures: { peakGflops },
      tables: [
        {
          title: "Independent chains of fma",
          note: "The largest is the peak that the tables below give shares of.",
          columns: [
            { key: "chains", label: "vec4 chains an invocation", kind: "number" },
            { key: "workgroup", label: "workgroup", kind: "number" },
            { key: "ms", label: "ms", kind: "number" },
            { key: "gflops", label: "GFLOP/s", kind: "number" },
          ],
          rows,
        },
      ],
    };
  },
};
