/** How a scan's rows and hidden units are dealt out to the invocations of a workgroup, for an adapter. */
import type { AdapterProfile } from "../kernel.ts";
import type { GateCount } from "../../specs/cells.ts";
import type { ScanSpec } from "../../specs/scan.ts";

/** How the rows and hidden units of a scan are dealt out to invocations. */
export interface ScanTile {
  /** Batch rows of an invocation. */
  readonly rowTile: number;
  /** Groups of invocations in a workgroup that take different rows. */
  readonly rowGroups: number;
  /** Invocations that share the hidden units of a row. */
  readonly lanes: number;
  /** Quads of hidden units an invocation computes; quad `lane + c * lanes` for `c < quadsPerLane`. */
  readonly quadsPerLane: number;
  /** Gates whose values lie in workgroup memory at a time (backward; 1 forward, where the state is what is shared). */
  readonly sharedGates: number;
}

export const quadsOf = (hidden: number): number => Math.ceil(hidden / 4);

/** What a pass asks of the tile: gates summed at a time, vec4 sums of a large and a huge product, gates shared. */
interface TileDemand {
  readonly gatesPerSum: number;
  readonly sums: readonly [large: number, huge: number];
  readonly sharedGates: number;
}

export const forwardDemand = (gates: GateCount): TileDemand => ({ gatesPerSum: gates, sums: [64, 96], sharedGates: 1 });

// Fewer than forward: lavapipe's compile time grows steeply with the quads an invocation sums.
export const backwardDemand = (gates: GateCount): TileDemand => ({
  gatesPerSum: 1,
  sums: [32, 64],
  sharedGates: gates,
});

/** Workgroups that keep a few cores busy, and invocations that fill a SIMD register, on a software driver. */
const CPU_WORKGROUPS = 4;
const CPU_LANES = 8;
/** Multiply-adds of a pass from which larger tiles, whose text takes seconds to compile, repay themselves. */
const LARGE_PRODUCT = 2e7;
const HUGE_PRODUCT = 1e9;

/**
 * Chooses a tile for the adapter. Throws, naming `op`, when not even one row fits its workgroup memory.
 *
 * A software driver emulates every load lane by lane (tens of cycles a vector), so it gets as many sums per load as
 * compile time allows. A real GPU gets few rows an invocation and a workgroup: many workgroups hide latency.
 */
export function chooseTile(
  op: string,
  spec: ScanSpec,
  gates: GateCount,
  profile: AdapterProfile,
  demand: TileDemand,
): ScanTile {
  const { steps, batch, directions, hidden } = spec;
  const quads = quadsOf(hidden);
  const rowBytes = quads * 16;
  if (rowBytes > profile.maxWorkgroupBytes) {
    throw new Error(
      `${op}: one state of hidden size ${hidden} takes ${rowBytes} bytes of workgroup memory and the adapter has ` +
        `${profile.maxWorkgroupBytes}; use a hidden size of at most ${Math.floor(profile.maxWorkgroupBytes / 16) * 4}`,
    );
  }
  const cpu = profile.kind === "cpu";
  const product = steps * batch * directions * gates * hidden * hidden;
  const large = product >= LARGE_PRODUCT;
  const wantedRows = !cpu || !large ? 4 : Math.max(4, Math.min(16, Math.ceil((batch * directions) / CPU_WORKGROUPS)));
  const rowsThatFit = (shared: number): number => Math.floor(profile.maxWorkgroupBytes / (rowBytes * shared));
  const sharedGates = rowsThatFit(demand.sharedGates) >= Math.min(wantedRows, batch) ? demand.sharedGates : 1;
  // Tiles of equal size: 17 rows are 9 and 8, not 16 and 1.
  const mostRows = Math.min(wantedRows, rowsThatFit(sharedGates), batch);
  const rows = Math.ceil(batch / Math.ceil(batch / mostRows));

  const sums = product >= HUGE_PRODUCT ? demand.sums[1] : large ? demand.sums[0] : 16;
  const worthwhile = Math.floor(sums / (rows * demand.gatesPerSum));
  const perLane = cpu ? Math.min(4, worthwhile, Math.floor(quads / CPU_LANES)) : 1;
  const lanes = Math.ceil(quads / Math.max(1, perLane, Math.ceil(quads / profile.maxInvocations)));
  const quadsPerLane = Math.ceil(quads / lanes);

  const wantedGroups = cpu ? Math.floor(CPU_LANES / lanes) : Math.ceil(rows / 2);
  const rowGroups = Math.max(1, Math.min(rows, wantedGroups, Math.floor(profile.maxInvocations / lanes)));
  return { rowTile: Math.ceil(rows / rowGroups), rowGroups, lanes, quadsPerLane, sharedGates };
}
