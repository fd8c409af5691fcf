/** What pages need to show moving skeletons, and queries with what was found for them. */
import type { Clip } from "../../data/skeleton/clip.ts";
import type { StoreHeader } from "../../data/store/store.ts";

/** A clip as the page plays it: 16-bit coordinates [frames, persons, joints, 3] in base64, times `scale`. */
export interface PlayableClip {
  readonly name: string;
  readonly label: number;
  readonly frames: number;
  readonly persons: number;
  readonly scale: number;
  readonly data: string;
}

/** How joints hang together, and which coordinate points up. */
export interface ShownSkeleton {
  readonly joints: readonly string[];
  readonly parents: readonly number[];
  readonly up: "y" | "z";
}

/** Queries and their nearest clips, with the skeletons to show them. */
export interface GalleryData {
  readonly classes: readonly string[];
  readonly gallery: readonly {
    readonly query: number;
    readonly nearest: readonly { readonly clip: number; readonly similarity: number }[];
  }[];
  /** Clips by the numbers that the rest knows them by. */
  readonly clips: Readonly<Record<number, PlayableClip>>;
  readonly skeleton: ShownSkeleton;
}

/** Frames of a clip on the page. */
const SHOWN_FRAMES = 32;
/** Coordinates are whole numbers up to this. */
const STEPS = 32767;

/** Pre-normalised clips stand along z, others as the sensor saw them. */
export function skeletonOf({ layout, normalized }: StoreHeader): ShownSkeleton {
  return { joints: layout.joints, parents: layout.parents, up: normalized ? "z" : "y" };
}

export function playable(
  { data, frames, persons, joints }: Clip,
  { name, label }: Pick<PlayableClip, "name" | "label">,
  most = SHOWN_FRAMES,
): PlayableClip {
  const count = Math.min(frames, most);
  const perFrame = persons * joints * 3;
  const largest = data.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  const steps = new Int16Array(count * perFrame);
  for (let t = 0; t < count; t++) {
    const from = Math.floor((t * frames) / count) * perFrame;
    for (let i = 0; i < perFrame; i++) steps[t * perFrame + i] = Math.round((data[from + i] / largest) * STEPS);
  }
  return {
    name,
    label,
    frames: count,
    persons,
    scale: largest / STEPS,
    data: Buffer.from(steps.buffer).toString("base64"),
  };
}
