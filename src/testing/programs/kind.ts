/** A kind of statement with all its meanings in one place, and what drawing one needs. */
import type { Scope, Shape } from "./scope.ts";
import type { EngineWorld, PlainWorld } from "./worlds.ts";

export interface Extra {
  readonly line: string;
  readonly plain: (world: PlainWorld) => void;
  readonly engine: (world: EngineWorld) => unknown;
}

/** Draws one, naming what it makes in the scope; undefined where nothing fits. */
export type Kind = (scope: Scope, a: number, b: number, c: number) => Extra | undefined;

export const pick = <T>(from: readonly T[], n: number): T | undefined =>
  from.length ? from[n % from.length] : undefined;
export const sizeOf = (shape: Shape): number => shape.reduce((x, y) => x * y, 1);
export const same = (a: Shape) => (b: Shape) => a.join() === b.join();
