/**
 * What the tensor layer asks of a device, and which device is the default.
 *
 * The tensor layer knows devices only through this interface; `src/device` implements it.
 */
import type { DType, HostArray } from "./dtype.ts";
import type { Node, VariableState } from "./node.ts";
import type { Shape } from "./shape.ts";

/** Memory on a device that holds one contiguous tensor. */
export interface Storage {
  readonly device: Backend;
  readonly shape: Shape;
  readonly dtype: DType;
  /** Gives the memory back; using the tensor afterwards is an error. */
  dispose(): void;
}

/** One variable and the node whose value it takes. */
export interface Assignment {
  readonly variable: VariableState;
  readonly value: Node;
}

/** A function traced once: its inputs are leaves, refilled before every run. */
export interface CompiledStep {
  /**
   * Runs with these inputs, in the order of the leaves at tracing; returns the storages of the outputs.
   *
   * @param drawn values of leaves that change from call to call; those left out are asked for now
   */
  run(inputs: readonly (HostArray | Storage)[], drawn?: ReadonlyMap<Node, HostArray>): Promise<Storage[]>;
  /** Gives the plan's memory back; it must not run afterwards. */
  dispose(): void;
}

/** A device: where graphs are computed. `device(…)` opens one. */
export interface Backend {
  /** `reference`, `webgpu`, `cpu`. */
  readonly kind: string;
  /** For people: the kind with the adapter's name. */
  readonly name: string;
  /** Whether it has tensors of this dtype. */
  supports(dtype: DType): boolean;
  /** Computes the nodes and the assignments in one plan; storages of `outputs` in their order. */
  realize(outputs: readonly Node[], assignments: readonly Assignment[]): Promise<Storage[]>;
  /**
   * Plans once for many runs, each of which computes `outputs` and runs `assignments` as `realize` does. `inputs` are
   * `data` leaves of the graph that change from run to run.
   */
  compile(inputs: readonly Node[], outputs: readonly Node[], assignments: readonly Assignment[]): Promise<CompiledStep>;
  /** A copy of the values on the host, in row-major order. */
  read(storage: Storage): Promise<HostArray>;
  /** The values as they lie in memory that the host sees; undefined where looking would mean waiting. */
  peek?(storage: Storage): HostArray | undefined;
  /** Waits until everything submitted has run. */
  synchronize(): Promise<void>;
  /** Gives the device and all memory back; tensors on it can no longer be used. */
  close(): void;
}

let current: Backend | undefined;
let opener: (() => Promise<Backend>) | undefined;

/** Makes `device` the one that tensors without a device of their own are computed on. */
export function setDefaultDevice(device: Backend | undefined): void {
  if (device && !device.realize) throw new TypeError(`setDefaultDevice: takes a device, not ${String(device)}`);
  current = device;
}

/** The default device, where it is open. */
export function currentDefault(): Backend | undefined {
  return current;
}

/** How the default device is opened at first use; set by `src/device`. */
export function setDefaultOpener(open: () => Promise<Backend>): void {
  opener = open;
}

export async function defaultDevice(): Promise<Backend> {
  if (current) return current;
  if (!opener) {
    throw new Error("no device is open: call await useDevice(), or setDefaultDevice(await CpuDevice.open())");
  }
  current = await opener();
  return current;
}
