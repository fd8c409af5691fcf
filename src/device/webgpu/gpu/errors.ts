/**
 * What can go wrong on a GPU, as errors that name the kernels concerned.
 *
 * WebGPU reports errors later than the call that caused them: a scope or the device's own promise tells. The classes
 * here carry what was running then, since the message of the driver does not.
 */

/** Any error that a `Gpu` raises. `kernels` names what was being compiled or was in flight. */
export class GpuError extends Error {
  override readonly name: string = "GpuError";
  readonly kernels: readonly string[];

  /**
   * @param message what failed, in words.
   * @param kernels names of the kernels that were being compiled or were in flight.
   * @param options the `cause`, where another error is behind it.
   */
  constructor(message: string, kernels: readonly string[] = [], options?: ErrorOptions) {
    super(message, options);
    this.kernels = kernels;
  }
}

/** The device is gone (driver reset, removal, `device.destroy()`). It stays so: `useDevice` opens another. */
export class DeviceLostError extends GpuError {
  override readonly name = "DeviceLostError";
  /** WebGPU's reason: `"destroyed"` or `"unknown"`. */
  readonly reason: string;

  /**
   * @param reason WebGPU's reason: `"destroyed"` or `"unknown"`.
   * @param detail what the driver says of it; "" where it says nothing.
   * @param kernels names of the kernels that were in flight.
   */
  constructor(reason: string, detail: string, kernels: readonly string[]) {
    super(
      `the GPU device is lost (${reason}${detail === "" ? "" : `: ${detail}`}); ${inFlight(kernels)}. ` +
        "Open the device again and resume from the last checkpoint.",
      kernels,
    );
    this.reason = reason;
  }
}

/** A buffer could not be had: too large for the adapter, or memory is used up. */
export class OutOfMemoryError extends GpuError {
  override readonly name = "OutOfMemoryError";
  /** Bytes that were asked for. */
  readonly bytes: number;

  /**
   * @param bytes how many were asked for.
   * @param message what there was no room for, in words.
   * @param kernels names of the kernels that were in flight.
   */
  constructor(bytes: number, message: string, kernels: readonly string[] = []) {
    super(message, kernels);
    this.bytes = bytes;
  }
}

/** A kernel that does not compile, or a submit that WebGPU found invalid. */
export class KernelError extends GpuError {
  override readonly name = "KernelError";
}

/** The first few different names, for a message: `in flight: a, b (and 3 more)`. */
export function inFlight(kernels: readonly string[]): string {
  const names = [...new Set(kernels)];
  if (names.length === 0) return "no kernel was in flight";
  const shown = names.slice(0, 8).join(", ");
  return `in flight: ${shown}${names.length > 8 ? ` (and ${names.length - 8} more)` : ""}`;
}
