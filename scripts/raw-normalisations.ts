/**
 * What raw coordinates reach under each normalisation, and how far bodies lean in it: 1-NN by cosine of clips resampled
 * to 64 frames, as `hico eval knn` prints it, on the data sets of ../shared/data. Prints the table of docs/results.md.
 *
 *     node --import tsx scripts/raw-normalisations.ts [nw-ucla|utd-mhad|sbu ...] [--default] [--lose 0.3 --draws 5]
 *
 * With `--lose` that share of the joints is planted as lost, in bursts, before anything else is done; so many draws of
 * them give a line each. `--default` leaves out what is not prepared by default.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Clip } from "../src/data/skeleton/clip.ts";
import { isPresent } from "../src/data/skeleton/clip.ts";
import { perClipOrFrame } from "../src/data/skeleton/upright.ts";
import { openSourceOf } from "../src/data/sources/kinds.ts";
import type { PrepareOptions } from "../src/data/sources/prepare.ts";
import { prepareStore } from "../src/data/sources/prepare.ts";
import type { SkeletonLayout } from "../src/data/skeleton/layout.ts";
import { ClipStore } from "../src/data/store/store.ts";
import { rawFeatures } from "../src/hico/judge/features.ts";
import { nearest } from "../src/hico/judge/knn.ts";
import { device, setDefaultDevice } from "../src/index.ts";
import { loseInBursts } from "./lose-joints.ts";

const DATA = process.env.HICO_DATA ?? join(import.meta.dirname, "../../shared/data");
const SETS = { "nw-ucla": "nw_ucla", "utd-mhad": "utd_mhad", sbu: "sbu" } as const;
type SetName = keyof typeof SETS;

const FORMS: readonly PrepareOptions[] = [
  { normalize: true },
  { normalize: "none" },
  { normalize: "centre", normalizePer: "clip" },
  { normalize: "centre", normalizePer: "frame" },
  { normalize: "yaw", normalizePer: "clip" },
  { normalize: "yaw", normalizePer: "frame" },
  { normalize: "upright", normalizePer: "clip" },
  { normalize: "upright", normalizePer: "frame" },
  { normalize: "full" },
];

/** Above this a body is lying or bent, and says nothing of what is upright. */
const UPRIGHT = 45;

setDefaultDevice(await device("cpu"));
const folder = mkdtempSync(join(tmpdir(), "hico-normalisations-"));
try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { lose: { type: "string" }, draws: { type: "string", default: "1" }, default: { type: "boolean" } },
  });
  const lost = Number(values.lose ?? 0);
  const forms = values.default ? FORMS.slice(0, 1) : FORMS;
  const draws = Array.from({ length: Number(values.draws) }, (_, i) => i + 1);
  console.log("| set | normalisation | raw 1-NN | lean |\n|---|---|---|---|");
  for (const name of (positionals.length > 0 ? positionals : Object.keys(SETS)) as SetName[]) {
    const from = join(DATA, SETS[name]);
    if (!existsSync(from)) throw new Error(`${from}: no such folder; HICO_DATA names the folder of the data sets`);
    const upright = await leansOf(name, from, { normalize: "centre" });
    for (const [form, draw] of forms.flatMap((form) => draws.map((draw) => [form, draw] as const))) {
      const { store, close } = await prepared(name, from, form, lost, draw);
      const { normalization, normalizedPer } = store.header;
      const words = form.normalize === true ? `by default: ${normalization}` : normalization;
      const per = perClipOrFrame(normalization) ? `, per ${normalizedPer}` : "";
      const accuracy = await neighbours(store);
      const leans = leansIn(store).map((of, i) => middle(of.filter((_, t) => upright[i][t] < UPRIGHT)));
      const lean = middle(leans.filter((angle) => !Number.isNaN(angle)));
      console.log(`| ${name} | ${words}${per} | ${accuracy.toFixed(1)} | ${lean.toFixed(1)}° |`);
      close();
    }
  }
} finally {
  rmSync(folder, { recursive: true });
}

async function prepared(
  name: SetName,
  from: string,
  form: PrepareOptions,
  share: number,
  draw: number,
): Promise<{ store: ClipStore; close: () => void }> {
  const { source, map } = openSourceOf(name, from);
  const path = join(folder, `${name}.clips`);
  await prepareStore(share > 0 ? loseInBursts(source, share, draw) : source, path, { ...form, map });
  const store = ClipStore.open(path);
  return { store, close: () => store.close() };
}

/** Mean over the protocols of the store: folds are one each. */
async function neighbours(store: ClipStore): Promise<number> {
  const inputs = { stream: "joint", frames: 64 } as const;
  let sum = 0;
  for (const { name } of store.header.protocols) {
    const train = await rawFeatures(store, store.indices(name, "train"), { inputs });
    const test = await rawFeatures(store, store.indices(name, "test"), { inputs });
    const { rows } = await nearest(train, test);
    const right = test.labels.reduce((count, label, i) => count + (train.labels[rows[i]] === label ? 1 : 0), 0);
    sum += (100 * right) / test.rows;
  }
  return sum / store.header.protocols.length;
}

async function leansOf(name: SetName, from: string, form: PrepareOptions): Promise<number[][]> {
  const { store, close } = await prepared(name, from, form, 0, 1);
  const leans = leansIn(store);
  close();
  return leans;
}

function leansIn(store: ClipStore): number[][] {
  return Array.from({ length: store.length }, (_, i) => leanOf(store.read(i), store.header));
}

/** Degrees between upright and the long spine, pelvis to shoulders, frame by frame. */
function leanOf(
  clip: Clip,
  { layout, normalized }: { readonly layout: SkeletonLayout; readonly normalized: boolean },
): number[] {
  const [hips, shoulders] = ["SpineBase", "SpineShoulder"].map((joint) => [layout.joints.indexOf(joint)]);
  const up = normalized ? 2 : 1;
  return Array.from({ length: clip.frames }, (_, t) => {
    if (!isPresent(clip, t, 0)) return NaN;
    const along = [0, 1, 2].map((c) => mean(clip, t, shoulders, c) - mean(clip, t, hips, c));
    return (Math.acos(along[up] / Math.hypot(...along)) * 180) / Math.PI;
  });
}

function mean(clip: Clip, t: number, joints: readonly number[], c: number): number {
  const start = t * clip.persons * clip.joints * 3;
  return joints.reduce((sum, v) => sum + clip.data[start + v * 3 + c], 0) / joints.length;
}

function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN;
}
