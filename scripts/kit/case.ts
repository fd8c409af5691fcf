/** One question of the kit's program: a function, the inputs it is asked at, and what it is meant to be. */
import type { Checked, Input } from "../../src/testing/index.ts";

export interface KitCase {
  readonly f: Checked;
  readonly inputs: readonly Input[];
  /** The same in other operations; default: `f` itself, in float64. */
  readonly meaning?: Checked;
  /** Largest of the named sizes in the second round, for blocks and tails; default 20, 0 for no such round. */
  readonly large?: number;
  /** Highest derivative that is held to differences; 0: it has none. Default 2. */
  readonly order?: 0 | 1 | 2;
  /** Whether gradients on the device are compared; default true. Where false, `order` is 0. */
  readonly gradients?: boolean;
  readonly tolerance?: number;
  /** On `cpu`, where every function is the engine's own, and no driver's; default: `tolerance`. */
  readonly onCpu?: number;
  readonly gradientTolerance?: number;
}

export type KitCases = Readonly<Record<string, KitCase>>;

/** Two sizes by name. */
export const MATRIX = ["n", "m"] as const;
