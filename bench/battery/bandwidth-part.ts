/** Bytes a second: copies by a kernel and by the driver, reads and writes alone, and between host and device. */
import type { Command } from "../../src/device/webgpu/gpu/gpu.ts";
import { median } from "../../src/bench/measure.ts";
import { MAX_WORKGROUPS } from "../../src/shaders/kernel.ts";
import { prepareKernel } from "./kernels.ts";
import type { Part } from "./part.ts";
import type { Row } from "./results.ts";
import { timeLists, wallTime } from "./timing.ts";

const MIB = 2 ** 20;
/** Vectors an invocation of the kernels handles, `threads` apart. */
const EACH = 4;

/** A kernel over `bytes` of vec4s: `body` is told the vector's index `i`. */
function overVectors(
  bytes: number,
  declarations: string,
  body: string,
  end = "",
): { wgsl: string; workgroups: [number, number, number] } {
  const count = bytes / 16;
  const groups = Math.ceil(count / EACH / 256);
  const x = Math.min(groups, MAX_WORKGROUPS);
  const threads = x * Math.ceil(groups / x) * 256;
  const wgsl = `
${declarations}
@compute @workgroup_size(256) fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let first = (group.x + group.y * ${x}u) * 256u + index;
  var sum = vec4<f32>();
  for (var j = 0u; j < ${EACH}u; j++) {
    let i = first + j * ${threads}u;
    if (i < ${count}u) { ${body} }
  }
  ${end}
}`;
  return { wgsl, workgroups: [x, Math.ceil(groups / x), 1] };
}

const READ = "@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;";
const written = (binding: number): string =>
  `@group(0) @binding(${binding}) var<storage, read_write> b: array<vec4<f32>>;`;

export const bandwidthPart: Part = {
  name: "bandwidth",
  title: "Memory bandwidth",
  seconds: { full: 8, small: 3 },
  run: async ({ device, small, tell, timeLeft }) => {
    const { gpu } = device;
    const sizes = (small ? [1, 4] : [1, 4, 16, 64, 256, 1024]).map((mib) => mib * MIB);
    const rows: Row[] = [];
    const notes: string[] = [];
    let copyGbs = 0;
    for (const bytes of sizes) {
      if (bytes > gpu.profile.maxBindingBytes || (rows.length > 0 && timeLeft() < 0)) {
        notes.push(`${bytes / MIB} MiB: ${timeLeft() < 0 ? "no time left" : "more than the adapter binds"}`);
        continue;
      }
      tell(`${bytes / MIB} MiB`);
      const [from, to] = [gpu.acquire(bytes), gpu.acquire(bytes)];
      const a = { buffer: from, bytes };
      const b = { buffer: to, bytes, written: true };
      const kernels: { what: string; traffic: number; list: Command[] }[] = [
        {
          what: "copy by a kernel",
          traffic: 2 * bytes,
          list: [
            await prepareKernel(gpu, {
              name: "copy",
              buffers: [a, b],
              ...overVectors(bytes, `${READ}\n${written(1)}`, "b[i] = a[i];"),
            }),
          ],
        },
        {
          what: "read by a kernel",
          traffic: bytes,
          list: [
            await prepareKernel(gpu, {
              name: "read",
              buffers: [a, b],
              // Nothing that is read can be left out: it decides whether anything is written.
              ...overVectors(bytes, `${READ}\n${written(1)}`, "sum += a[i];", "if (sum.x == 1e30) { b[0] = sum; }"),
            }),
          ],
        },
        {
          what: "write by a kernel",
          traffic: bytes,
          list: [
            await prepareKernel(gpu, {
              name: "write",
              buffers: [b],
              ...overVectors(bytes, written(0), "b[i] = vec4<f32>(1.0);"),
            }),
          ],
        },
      ];
      const times = await timeLists(
        gpu,
        kernels.map(({ list }) => list),
        { samples: small ? 3 : 9, each: small ? 2 : 10 },
        timeLeft,
      );
      const copy: Command = { kind: "copy", from, fromOffset: 0, to, toOffset: 0, bytes };
      const runs = Math.max(1, Math.min(32, Math.round((256 * MIB) / bytes)));
      const samples: number[] = [];
      for (let i = 0; i < (small ? 2 : 6); i++) samples.push((await wallTime(gpu, [copy], runs)) / runs);
      const host = new Uint8Array(bytes);
      const clocked = async (work: () => Promise<unknown>): Promise<number> => {
        const all: number[] = [];
        for (let i = 0; i < 3; i++) {
          const start = performance.now();
          await work();
          all.push(performance.now() - start);
        }
        return median(all);
      };
      const upload = await clocked(async () => {
        gpu.write(to, 0, host);
        gpu.submit([{ kind: "copy", from: to, fromOffset: 0, to: from, toOffset: 0, bytes: 4 }]);
        await gpu.idle();
      });
      const download = await clocked(() => gpu.read(to, 0, bytes));
      const found = [
        ...kernels.map(({ what, traffic }, i) => ({ what, traffic, ms: times[i] })),
        { what: "copy by the driver", traffic: 2 * bytes, ms: median(samples.slice(1)) },
        { what: "host to device", traffic: bytes, ms: upload },
        { what: "device to host", traffic: bytes, ms: download },
      ];
      for (const { what, traffic, ms } of found) {
        rows.push({ what, mib: bytes / MIB, ms, gbs: traffic / ms / 1e6 });
      }
      // Small copies stay in caches: the largest is the memory's.
      copyGbs = (2 * bytes) / times[0] / 1e6;
      for (const buffer of [from, to]) gpu.release(buffer);
      gpu.trim();
    }
    return {
      summary: `${copyGbs.toPrecision(3)} GB/s, read and write of a copy of ${sizes.at(-1)! / MIB} MiB together`,
      figures: { copyGbs },
      tables: [
        {
          title: "Bytes a second",
          note: "A copy reads and writes: both count. Small sizes stay in the caches.",
          columns: [
            { key: "what", label: "what", kind: "text" },
            { key: "mib", label: "MiB", kind: "number" },
            { key: "ms", label: "ms", kind: "number" },
            { key: "gbs", label: "GB/s", kind: "number" },
          ],
          rows: [...rows].sort((p, q) => (p.what === q.what ? 0 : String(p.what) < String(q.what) ? -1 : 1)),
        },
      ],
      notes,
    };
  },
};
