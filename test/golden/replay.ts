/** Replays a golden file in whatever runtime this is: called in Node, and through runInDeno. */
import { device } from "../../src/device/index.ts";
import type { VerifyReport } from "../../src/verify/verify.ts";
import { verifyFile } from "../../src/verify/verify.ts";
import type { GpuOptions } from "../../src/device/webgpu/gpu/gpu.ts";

export interface Replay {
  readonly file: string;
  readonly device: string;
  readonly software?: GpuOptions["software"];
}

export async function replay({ file, device: name, software }: Replay): Promise<VerifyReport> {
  const opened = await device(name, { software });
  try {
    return await verifyFile(file, opened);
  } finally {
    opened.close();
  }
}
