/** An exponential moving average along the last axis, with a kernel for either kind of device. */
import { arange } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/index.ts";
import { defineFusedOp, f32, i32 } from "../../src/kernels/index.ts";
import type { FusedOpDefinition, WgslKernel } from "../../src/kernels/index.ts";

export interface Decay {
  readonly decay: number;
}

/** How often each part was asked. */
export const asked = { wgsl: 0, wasm: 0 };

export const meaning = ([x]: readonly Tensor[], { decay }: Decay): Tensor => {
  const length = x.shape.at(-1)!;
  const at = arange(length);
  const lag = at.reshape([1, length]).sub(at.reshape([length, 1]));
  const weights = lag.ge(0).where(
    lag
      .maximum(0)
      .mul(Math.log(decay))
      .exp()
      .mul(1 - decay),
    0,
  );
  return x.matmul(weights.cast(x.dtype));
};

export const definition: FusedOpDefinition<Decay, Tensor> = {
  name: "ema",
  decompose: meaning,
  vjp: ([dy], _, __, attrs) => [movingAverage([dy.flip(-1)], attrs).flip(-1)],
  wgsl([{ shape }], { decay }): WgslKernel {
    asked.wgsl++;
    const length = shape.at(-1)!;
    const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
    return {
      workgroups: Math.ceil(rows / 64),
      code: `
        @group(0) @binding(0) var<storage, read> x: array<f32>;
        @group(0) @binding(1) var<storage, read_write> y: array<f32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3u) {
          if (id.x >= ${rows}u) { return; }
          var mean = 0.0;
          for (var i = id.x * ${length}u; i < (id.x + 1u) * ${length}u; i++) {
            mean = f32(${decay}) * mean + f32(${1 - decay}) * x[i];
            y[i] = mean;
          }
        }`,
    };
  },
  wasm([{ shape }], { decay }) {
    asked.wasm++;
    const length = shape.at(-1)!;
    return {
      units: shape.slice(0, -1).reduce((a, b) => a * b, 1),
      emit(f, { begin, end, input, output }) {
        const mean = f.local("f32", f32.const(0));
        f.for(begin, end, 1, (row) => {
          const first = f.name(i32.mul(row, i32.const(4 * length)));
          const [x, y] = [f.name(i32.add(input(0), first)), f.name(i32.add(output(0), first))];
          f.set(mean, f32.const(0));
          f.for(i32.const(0), i32.const(4 * length), 4, (at) => {
            const own = f32.mul(f32.const(1 - decay), f32.load(i32.add(x, at)));
            f.set(mean, f32.add(f32.mul(f32.const(decay), mean), own));
            f.store(i32.add(y, at), mean);
          });
        });
      },
    };
  },
};
export const movingAverage = defineFusedOp(definition);
