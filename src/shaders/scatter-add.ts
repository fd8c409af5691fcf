/**
 * Sums of sources where an index says, each source visited once: an invocation has one column of one outer element to
 * itself and takes its sources in order, so sums are deterministic without atomics. The places are cleared before, by
 * as many invocations as there are places.
 */
import { sizeOf } from "../tensor/shape.ts";
import type { ValueSpec } from "../tensor/fused.ts";
import type { AdapterProfile, Lowering } from "./kernel.ts";
import { grid } from "./print/program.ts";
import { storageType } from "./print/types.ts";

const WORKGROUP = 64;

/** In: index [O or 1, T, I or 1], 32-bit integers; source [O, T, I]. Out: [O, size, I]; indices outside add to nothing. */
export function scatterAdd(index: ValueSpec, source: ValueSpec, size: number, profile: AdapterProfile): Lowering {
  const [outer, length, inner] = source.shape;
  const type = storageType(source.dtype);
  const results = outer * size * inner;
  // On a software driver an invocation is a few instructions among many: workgroups of columns go to the cores.
  const workgroup = profile.kind === "cpu" ? 16 : WORKGROUP;
  const entry = (count: number): [string, readonly [number, number]] => {
    const [x, y] = grid(Math.ceil(count / workgroup));
    const text = `
@compute @workgroup_size(${workgroup})
fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
  let at = (i32(workgroup_id.y) * ${x} + i32(workgroup_id.x)) * ${workgroup} + i32(local_index);
  if (at >= ${count}) { return; }`;
    return [text, [x, y]];
  };
  const [clearEntry, clearGrid] = entry(Math.ceil(results / 16));
  const clear = `
@group(0) @binding(0) var<storage, read_write> sums: array<${type}>;
${clearEntry}
  let end = min(at * 16 + 16, ${results});
  for (var i: i32 = at * 16; i < end; i = i + 1) { sums[i] = ${type}(0); }
}`;
  const [addEntry, addGrid] = entry(outer * inner);
  const row = index.shape[0] === 1 ? "t" : `(row * ${length} + t)`;
  const named = index.shape[2] === 1 ? row : `${row} * ${inner} + column`;
  const add = `
@group(0) @binding(0) var<storage, read> indices: array<${storageType(index.dtype)}>;
@group(0) @binding(1) var<storage, read> sources: array<${type}>;
@group(0) @binding(2) var<storage, read_write> sums: array<${type}>;
${addEntry}
  let row = at / ${inner};
  let column = at % ${inner};
  for (var t: i32 = 0; t < ${length}; t = t + 1) {
    let place = u32(indices[${named}]);
    if (place < ${size}u) {
      let to = (row * ${size} + i32(place)) * ${inner} + column;
      sums[to] = sums[to] + sources[(row * ${length} + t) * ${inner} + column];
    }
  }
}`;
  return {
    kernels: [
      {
        name: "scatterAdd.clear",
        wgsl: clear,
        bindings: [{ role: "out", index: 0, access: "read_write" }],
        workgroups: [...clearGrid, 1],
      },
      {
        name: "scatterAdd",
        wgsl: add,
        bindings: [
          { role: "in", index: 0, access: "read" },
          { role: "in", index: 1, access: "read" },
          { role: "out", index: 0, access: "read_write" },
        ],
        workgroups: [...addGrid, 1],
      },
    ],
    scratch: [],
  };
}

/** Whether the decomposition, which compares every place with every index but all side by side, is the better. */
export function fewPlaces(source: ValueSpec, size: number): boolean {
  return size * sizeOf(source.shape) < 1 << 16;
}
