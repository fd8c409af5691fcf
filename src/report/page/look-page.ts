/**
 * A few clips of a store as one HTML page on which the skeletons move, so that a person sees in ten seconds whether the
 * joints are right: names, bones, sizes, and joints that were lost, in red.
 */
import { ClipStore } from "../../data/store/store.ts";
import { normalizationWords } from "../../data/skeleton/upright.ts";
import { writeTextAtomic } from "../../io/byte-sink.ts";
import { PLAYER_SCRIPT } from "./clip-script.ts";
import type { PlayableClip, ShownSkeleton } from "./gallery.ts";
import { playable, skeletonOf } from "./gallery.ts";
import { htmlPage } from "./html-page.ts";
import { LOOK_SCRIPT, LOOK_STYLE } from "./look-script.ts";
import { PAGE_STYLE } from "./page-style.ts";

/** What the page shows. */
export interface LookOptions {
  /** Clips on the page, spread over the store's classes; default 12. */
  readonly clips?: number;
  /** Frames a second of the recordings, where known; the page plays them at that rate, at 30 else. */
  readonly rate?: number;
  /** Where the clips are from, for the page's heading; default the store's path. */
  readonly from?: string;
}

/** What a page was made of. */
export interface LookReport {
  readonly path: string;
  readonly bytes: number;
  readonly clips: number;
  /** Height of a body in the store's units: from the lowest to the highest joint, median over the clips shown. */
  readonly height: number;
}

interface LookClip extends PlayableClip {
  readonly where: string;
  readonly length: number;
  /** Per frame shown, person and joint: 1 where the joint was lost and is filled; base64 of bytes. */
  readonly lost?: string;
  readonly lostCount: number;
}

interface LookData {
  readonly classes: readonly string[];
  readonly clips: readonly LookClip[];
  readonly skeleton: ShownSkeleton;
  readonly rate: number;
}

/** Frames of a clip on the page, at most. */
const MOST_FRAMES = 120;

/**
 * Writes the page of the store `file` to `path`. @throws Error where `path` does not end in .html, or the store holds
 * nothing to show.
 */
export function writeLook(path: string, file: string, options: LookOptions = {}): LookReport {
  if (!path.endsWith(".html")) throw new Error(`look: the page ${path} must end in .html`);
  const store = ClipStore.open(file);
  try {
    const { clips: wanted = 12, rate = 30, from = file } = options;
    const { layout, classes, normalization, normalizedPer } = store.header;
    const numbers = spread(store, wanted);
    const heights: number[] = [];
    const shown = numbers.map((number): LookClip => {
      const clip = store.read(number);
      const facts = store.facts(number);
      const lost = store.lost(number);
      const playing = playable(clip, facts, MOST_FRAMES);
      heights.push(heightOf(clip.data, clip.joints, skeletonOf(store.header).up));
      const perFrame = clip.persons * clip.joints;
      const flags = lost && new Uint8Array(playing.frames * perFrame);
      if (lost && flags) {
        for (let t = 0; t < playing.frames; t++) {
          const at = Math.floor((t * clip.frames) / playing.frames) * perFrame;
          flags.set(lost.subarray(at, at + perFrame), t * perFrame);
        }
      }
      const place = { subject: facts.subject, camera: facts.camera };
      const where = Object.entries(place).flatMap(([name, value]) => (value === undefined ? [] : [`${name} ${value}`]));
      return {
        ...playing,
        where: where.join(", "),
        length: clip.frames,
        lostCount: store.lostCount(number),
        ...(flags ? { lost: Buffer.from(flags).toString("base64") } : {}),
      };
    });
    const height = heights.sort((a, b) => a - b)[heights.length >> 1]!;
    const bones = layout.parents.filter((parent) => parent >= 0).length;
    const data: LookData = { classes, clips: shown, skeleton: skeletonOf(store.header), rate };
    const page = htmlPage({
      title: `${from} – skeletons`,
      heading: from,
      summary:
        `${store.length} clips of ${classes.length} classes, ${shown.length} shown · layout ${layout.name}: ` +
        `${layout.joints.length} joints, ${bones} bones, up to ${layout.persons} persons · ` +
        `${normalizationWords(normalization, normalizedPer)} · a body is ${height.toPrecision(3)} units high` +
        `${options.rate === undefined ? " · frame rate not known, played at 30 frames/s" : ` · ${rate} frames/s`}`,
      styles: [PAGE_STYLE, LOOK_STYLE],
      sections: `<section><h2>Clips</h2>
    <p class="note">Red: joints that were lost and are filled. Point at a clip to see the joints' names; drag to turn it.</p>
    <div class="look"></div></section>
  <section><h2>Joints</h2><p class="note">Each joint and the one that its bone comes from.</p><ol class="joints" start="0"></ol></section>`,
      data,
      scripts: [PLAYER_SCRIPT, LOOK_SCRIPT],
    });
    return { path, bytes: writeTextAtomic(path, page), clips: shown.length, height };
  } finally {
    store.close();
  }
}

/** Numbers of clips, one of each class in turn, ascending. */
function spread(store: ClipStore, wanted: number): number[] {
  const byClass = new Map<number, number[]>();
  for (let i = 0; i < store.length; i++) {
    const label = store.label(i);
    byClass.set(label, [...(byClass.get(label) ?? []), i]);
  }
  const found: number[] = [];
  for (let round = 0; found.length < Math.min(wanted, store.length); round++) {
    for (const clips of byClass.values()) {
      if (round < clips.length && found.length < wanted) found.push(clips[round]!);
    }
  }
  return found.sort((a, b) => a - b);
}

/** From the lowest to the highest joint of the first person in the middle frame. */
function heightOf(data: Float32Array, joints: number, up: "y" | "z"): number {
  const perFrame = joints * 3;
  const frames = Math.floor(data.length / perFrame);
  const from = Math.floor(frames / 2) * perFrame;
  const axis = up === "y" ? 1 : 2;
  const values = Array.from({ length: joints }, (_, j) => data[from + 3 * j + axis]!);
  return Math.max(...values) - Math.min(...values);
}
