/** What it costs to ask: submits, dispatches, reads and writes of a few bytes. */
import type { DispatchCommand } from "../../src/device/webgpu/gpu/gpu.ts";
import { median } from "../../src/bench/measure.ts";
import { prepareKernel } from "./kernels.ts";
import type { Part } from "./part.ts";
import { wallTime } from "./timing.ts";

const WGSL = `
@group(0) @binding(0) var<storage, read_write> x: array<u32>;
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
  x[i] = x[i] + 1u;
}`;

export const latencyPart: Part = {
  name: "latency",
  title: "Launch latency",
  seconds: { full: 4, small: 2 },
  run: async ({ device, small, timeLeft }) => {
    const { gpu } = device;
    const [dispatches, samples] = small ? [32, 5] : [512, 21];
    const buffers = Array.from({ length: dispatches }, () => gpu.acquire(256));
    const commands: DispatchCommand[] = [];
    for (const buffer of buffers) {
      const kernel = { name: "launch", wgsl: WGSL, workgroups: [1, 1, 1] as const };
      commands.push(await prepareKernel(gpu, { ...kernel, buffers: [{ buffer, bytes: 256, written: true }] }));
    }
    const sampled = async (once: () => Promise<number>): Promise<number> => {
      await once();
      const times: number[] = [];
      for (let i = 0; i < samples && (i === 0 || timeLeft() > 0); i++) times.push(await once());
      return 1000 * median(times);
    };
    const clocked = (work: () => Promise<unknown>) => async (): Promise<number> => {
      const start = performance.now();
      await work();
      return performance.now() - start;
    };
    const alone = await sampled(() => wallTime(gpu, commands.slice(0, 1)));
    const chain = await sampled(() => wallTime(gpu, new Array(dispatches).fill(commands[0])));
    const beside = await sampled(() => wallTime(gpu, commands));
    const encode = await sampled(async () => {
      const start = performance.now();
      gpu.submit(commands);
      const time = performance.now() - start;
      await gpu.idle();
      return time;
    });
    const singly = await sampled(
      clocked(async () => {
        for (const command of commands) gpu.submit([command]);
        await gpu.idle();
      }),
    );
    const read = await sampled(clocked(() => gpu.read(buffers[0], 0, 4)));
    const write = await sampled(
      clocked(async () => {
        for (const buffer of buffers) gpu.write(buffer, 0, new Uint32Array(4));
      }),
    );
    for (const buffer of buffers) gpu.release(buffer);
    const rows = [
      { what: "submit of one dispatch, waited for", us: alone },
      { what: "dispatch after another on the same buffer, in one submit", us: (chain - alone) / (dispatches - 1) },
      { what: "dispatch beside others, in one submit", us: (beside - alone) / (dispatches - 1) },
      { what: "dispatch in a submit of its own, not waited for", us: (singly - alone) / (dispatches - 1) },
      { what: "the host's part of a dispatch: encoding and submitting", us: encode / dispatches },
      { what: "read of 4 bytes, waited for", us: read },
      { what: "write of 16 bytes, queued", us: write / dispatches },
    ].map(({ what, us }) => ({ what, us: Math.max(0, us) }));
    const figures = { submitUs: rows[0].us, dispatchUs: rows[1].us };
    return {
      summary: `${figures.dispatchUs.toPrecision(3)} µs a dispatch, ${figures.submitUs.toPrecision(3)} µs a submit`,
      figures,
      tables: [
        {
          title: "Time of the clock",
          note: `Medians of ${samples}; dispatches of one workgroup, ${dispatches} in a submit.`,
          columns: [
            { key: "what", label: "what", kind: "text" },
            { key: "us", label: "µs", kind: "number" },
          ],
          rows,
        },
      ],
    };
  },
};
