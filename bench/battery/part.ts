/** What a part of the battery is: a measurement that stands alone, takes at most a minute or two, and gives tables. */
import type { WebGpuDevice } from "../../src/device/webgpu/webgpu-device.ts";
import type { PartResult } from "./results.ts";

/** What a part may use. */
export interface PartContext {
  /** A device of its own, opened for this part and closed after it; tiles are not tuned on it. */
  readonly device: WebGpuDevice;
  /** Sizes for software adapters and tests. */
  readonly small: boolean;
  /** The Python that PyTorch is looked for in. */
  readonly python: string;
  /** A figure that an earlier part found. */
  figure(name: string): number | undefined;
  /** Tells what is being done. */
  tell(text: string): void;
  /** Milliseconds until the part should come to its end: it then gives what it has. */
  timeLeft(): number;
}

export interface Part {
  readonly name: string;
  readonly title: string;
  /** Seconds it is expected to take on a data-centre GPU, and with small sizes on a software adapter. */
  readonly seconds: { readonly full: number; readonly small: number };
  run(context: PartContext): Promise<PartResult>;
}
