/**
 * Programs that assign and assign and read nothing: what waits is run when it has grown to some thousand nodes.
 *
 * The cut falls before an optimizer's step, or where a variable is assigned that waits already, so that the runs of a loop
 * are one plan. What was built meanwhile and is part of nothing else (losses, sums of losses) is computed
 * along: later it would need old values of all variables.
 */
import { type Node, nodesBuilt, noteNodes } from "../node.ts";

/** Nodes built since the last run from which on the next assignment of a waiting variable runs what waits. */
export const LONG_PROGRAM = 8192;

let since = nodesBuilt();
let recent: Node[] | undefined;
let run: (recent: readonly Node[]) => void = () => undefined;

/** @param cut runs what waits, and computes of these nodes what nothing else was built on */
export function onLongProgram(cut: (recent: readonly Node[]) => void): void {
  run = cut;
}

/** What waited has its place in the order now. */
export function startedAnew(): void {
  since = nodesBuilt();
  recent = undefined;
  noteNodes(undefined);
}

/** To be called where something waits, between two steps of a loop. */
export function cutLongPrograms(): void {
  const waiting = nodesBuilt() - since;
  if (waiting > LONG_PROGRAM) run(recent ?? []);
  else if (!recent && waiting > LONG_PROGRAM / 2) noteNodes((recent = []));
}
