/** One question of the suite, and what is known of its answer. */
import type { EngineRequest, PlainArray } from "../protocol.ts";

/** What a case looks at; the columns of the table. */
export const ASPECTS = [
  "values",
  "shapes",
  "empty",
  "specials",
  "gradients",
  "edges",
  "second",
  "programs",
  "updates",
] as const;

export type Aspect = (typeof ASPECTS)[number];

export interface ConformanceCase {
  /** The row of the table. */
  readonly operation: string;
  readonly aspect: Aspect;
  /** What sets it apart from others of its aspect. */
  readonly name: string;
  readonly request: EngineRequest;
  /** Outputs, where they are known otherwise than from the oracle. */
  readonly outputs?: readonly PlainArray[];
  /** Largest error, relative to each element; default 1e-5. */
  readonly relative?: number;
  /** Largest error besides; default 1e-6. */
  readonly absolute?: number;
  /** Whether that is relative to the array's largest magnitude or 1, as where elements are sums. */
  readonly scaled?: boolean;
  /** Whether the sign of a zero counts. */
  readonly signed?: boolean;
  /** Whether gradients that differ from the oracle's are another right answer, as at a kink. */
  readonly otherwise?: (gradients: readonly PlainArray[]) => boolean;
  /** Cases of few elements, tried where this one fails until a list of them has some that fail too. */
  readonly smaller?: () => readonly (readonly ConformanceCase[])[];
}
