/** Products cut along k, and products of one shape put together, give what the plain kernel gives. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { DispatchCommand, Gpu } from "../../../src/device/webgpu/gpu/gpu.ts";
import { groupProducts } from "../../../src/shaders/matmul/grouped.ts";
import { emitMatmul } from "../../../src/shaders/matmul/matmul.ts";
import type { MatmulTile } from "../../../src/shaders/matmul/product.ts";
import { emitSplitK } from "../../../src/shaders/matmul/split-k.ts";
import { openTestGpu } from "../../environments/test-gpu.ts";
import type { Product } from "./matmul-problem.ts";
import { declarationsOf, reference, run, specOf, values, worstError } from "./matmul-problem.ts";

const REGISTERS: MatmulTile = { kind: "registers", rows: 4, columns: 1, workgroup: [8, 1] };
/** Little to compile: every load of a group chooses among its members. */
const TINY: MatmulTile = { kind: "registers", rows: 1, columns: 1, workgroup: [8, 1] };
const SHARED: MatmulTile = { kind: "shared", rows: 4, columns: 1, workgroup: [4, 4], kTile: 8, slices: 1 };

describe("products by other ways", () => {
  let gpu: Gpu;
  before(async () => {
    gpu = await openTestGpu();
  });
  after(() => gpu.close());

  const holding = (data: Float32Array) => {
    const buffer = gpu.acquire(data.byteLength);
    gpu.write(buffer, 0, data);
    return { buffer, offset: 0, size: data.byteLength };
  };
  const empty = (length: number) => holding(new Float32Array(length).fill(Number.NaN));
  type Bound = ReturnType<typeof holding>;

  async function dispatch(
    shader: { readonly wgsl: string; readonly workgroups: readonly [number, number, number] },
    bound: readonly Bound[],
    written: readonly number[],
  ): Promise<DispatchCommand> {
    const bindings = bound.map((_, i) => ({
      access: written.includes(i) ? ("read_write" as const) : ("read" as const),
    }));
    const pipeline = await gpu.pipeline({ name: "combined", wgsl: shader.wgsl, bindings });
    return { kind: "dispatch", pipeline, bindGroup: gpu.bindGroup(pipeline, bound), workgroups: shader.workgroups };
  }

  const splits: [Product, number, MatmulTile][] = [
    [{ batch: 1, m: 12, n: 8, k: 64, transposeA: true }, 4, SHARED],
    [{ batch: 1, m: 9, n: 7, k: 37 }, 3, REGISTERS],
    [{ batch: 2, m: 5, n: 8, k: 20, transposeB: true, fused: true }, 3, SHARED],
    [{ batch: 2, m: 6, n: 5, k: 6 }, 1, REGISTERS],
    [{ batch: 1, m: 30, n: 1, k: 90, fused: true }, 50, REGISTERS],
    [{ batch: 1, m: 8, n: 12, k: 44, scalar: true }, 4, REGISTERS],
  ];
  for (const [product, parts, tile] of splits) {
    test(`split-k in ${parts} of ${JSON.stringify(product)}`, async () => {
      const { batch, m, n, k } = product;
      const [a, b] = [values(batch * m * k, 1), values(batch * k * n, 2)];
      const split = emitSplitK(
        specOf(product),
        {
          parts,
          operands: { declarations: declarationsOf(product, { a: 0, b: 1 }), binding: 2 },
          results: { declarations: declarationsOf(product, { c: 1 }), binding: 0 },
        },
        tile,
        gpu.profile,
      );
      const scratch = empty(split.scratch);
      const result = empty(batch * m * n);
      const commands = [
        await dispatch(split.partial, [holding(a), holding(b), scratch], [2]),
        await dispatch(split.sum, [scratch, result], [1]),
      ];
      const [bytes] = await gpu.readAfter(commands, [{ buffer: result.buffer, offset: 0, bytes: result.size }]);
      const got = new Float32Array(bytes);
      assert.ok(worstError(got, reference(product, a, b)) <= (k + 4) * 2 ** -24);
      const again = await gpu.readAfter(commands, [{ buffer: result.buffer, offset: 0, bytes: result.size }]);
      assert.deepEqual(new Float32Array(again[0]), got, "the same bits each time");
      if (parts === 1) assert.deepEqual(got, await run(gpu, product, tile, a, b), "one part is the plain product");
    });
  }

  const groups: [Product, number, MatmulTile][] = [
    [{ batch: 1, m: 12, n: 8, k: 16 }, 3, SHARED],
    [{ batch: 2, m: 5, n: 7, k: 9, transposeA: true, fused: true }, 2, TINY],
    [{ batch: 1, m: 10, n: 1, k: 12, transposeB: true }, 4, TINY],
  ];
  for (const [product, count, tile] of groups) {
    test(`${count} in one dispatch of ${JSON.stringify(product)} are to the bit what each is alone`, async () => {
      const { batch, m, n, k } = product;
      const members = Array.from({ length: count }, (_, i) => ({
        a: values(batch * m * k, 2 * i),
        b: values(batch * k * n, 2 * i + 1),
        result: empty(batch * m * n),
      }));
      const grouped = groupProducts(
        "group",
        members.map((_, i) => specOf(product, String(i), 3 * i)),
      );
      const bound = members.flatMap(({ a, b, result }) => [holding(a), holding(b), result]);
      const command = await dispatch(
        emitMatmul(grouped, tile, gpu.profile),
        bound,
        members.map((_, i) => 3 * i + 2),
      );
      const before = gpu.snapshot();
      const read = await gpu.readAfter(
        [command],
        members.map(({ result }) => ({ buffer: result.buffer, offset: 0, bytes: result.size })),
      );
      assert.equal(gpu.snapshot().dispatches - before.dispatches, 1);
      for (const [i, { a, b }] of members.entries()) {
        assert.deepEqual(new Float32Array(read[i]), await run(gpu, product, tile, a, b), `member ${i}`);
      }
    });
  }

  test("products of several shapes are no group", () => {
    const specs = [specOf({ batch: 1, m: 4, n: 4, k: 4 }), specOf({ batch: 1, m: 4, n: 4, k: 8 }, "1", 3)];
    assert.throws(
      () => groupProducts("layers", specs),
      /layers: products of one group have one shape; there are 1 of 4 × 4 × 4/,
    );
  });
});
