/**
 * The k largest elements of every row, in k passes over the row: each pass takes the largest of what comes after the
 * last pick (smaller, or equal and further on), so nothing has to be marked or moved, and equals come in order.
 *
 * On a GPU 64 invocations share a row; on a software driver each row is one invocation.
 */
import type { Shape } from "../tensor/shape.ts";
import { sizeOf } from "../tensor/shape.ts";
import type { AdapterProfile, Lowering } from "./kernel.ts";
import { grid } from "./print/program.ts";

const SHARE = 64;

/** In: x [..., n], f32. Out: values [..., k], f32, and indices [..., k], i32. */
export function topK(shape: Shape, k: number, profile: AdapterProfile): Lowering {
  const n = shape[shape.length - 1];
  const rows = sizeOf(shape) / n;
  const shared = profile.kind === "gpu" && n >= 2 * SHARE;
  const [x, y] = grid(shared ? rows : Math.ceil(rows / SHARE));
  const row = shared
    ? `let row = i32(workgroup_id.y) * ${x} + i32(workgroup_id.x);`
    : `let row = (i32(workgroup_id.y) * ${x} + i32(workgroup_id.x)) * ${SHARE} + i32(local_index);`;
  // `better` compares by value, then by place.
  const combine = `
      workgroupBarrier();
      best_value[local] = value;
      best_place[local] = place;
      for (var span: i32 = ${SHARE / 2}; span > 0; span = span / 2) {
        workgroupBarrier();
        if (local < span && better(best_value[local + span], best_place[local + span], best_value[local], best_place[local])) {
          best_value[local] = best_value[local + span];
          best_place[local] = best_place[local + span];
        }
      }
      workgroupBarrier();
      value = best_value[0];
      place = best_place[0];`;
  const wgsl = `
@group(0) @binding(0) var<storage, read> input: array<f32>;
@group(0) @binding(1) var<storage, read_write> values: array<f32>;
@group(0) @binding(2) var<storage, read_write> indices: array<i32>;
${shared ? `var<workgroup> best_value: array<u32, ${SHARE}>;\nvar<workgroup> best_place: array<i32, ${SHARE}>;` : ""}
// The order of floats as that of integers: zeros are equal, and what is not a number is above all.
fn order(v: f32) -> u32 {
  let bits = bitcast<u32>(v);
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return 0xffffffffu; }
  return select(0x80000000u + size, 0x80000000u - size, bits > 0x80000000u);
}
fn better(v: u32, p: i32, than_v: u32, than_p: i32) -> bool {
  return p < ${n} && (than_p >= ${n} || v > than_v || (v == than_v && p < than_p));
}
@compute @workgroup_size(${SHARE})
fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {
  ${row}
  let local = i32(local_index);
  let inside = row < ${rows};
  let base = min(row, ${rows - 1}) * ${n};
  var last_value = 0xffffffffu;
  var last_place = -1;
  for (var round: i32 = 0; round < ${k}; round = round + 1) {
    var value = 0u;
    var place = ${n};
    for (var i: i32 = ${shared ? "local" : "0"}; i < ${n}; i = i + ${shared ? SHARE : 1}) {
      let v = order(input[base + i]);
      let left = v < last_value || (v == last_value && i > last_place);
      if (left && better(v, i, value, place)) {
        value = v;
        place = i;
      }
    }
    ${shared ? combine : ""}
    last_value = value;
    last_place = place;
    if (inside${shared ? " && local == 0" : ""}) {
      values[row * ${k} + round] = input[base + place];
      indices[row * ${k} + round] = last_place;
    }
  }
}`;
  return {
    kernels: [
      {
        name: "topK",
        wgsl,
        bindings: [
          { role: "in", index: 0, access: "read" },
          { role: "out", index: 0, access: "read_write" },
          { role: "out", index: 1, access: "read_write" },
        ],
        workgroups: [x, y, 1],
      },
    ],
    scratch: [],
  };
}
