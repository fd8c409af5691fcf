/**
 * Pre-normalisation, augmentation, streams and views against the numbers of HiCo's reference implementation, with its
 * recorded draws replayed; everywhere on a cut, and on all of it where the golden files are.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, test } from "node:test";
import {
  augmentClip,
  corruptJoints,
  evaluationClip,
  evaluationCrop,
  shearPose,
  temporalCrop,
} from "../../src/data/batches/augment.ts";
import type { Clip } from "../../src/data/skeleton/clip.ts";
import { fromChannelsFirst, toChannelsFirst, withPersons } from "../../src/data/skeleton/clip.ts";
import { NTU25 } from "../../src/data/skeleton/layout.ts";
import { fillEmptyFrames, normalizeClip } from "../../src/data/skeleton/normalize.ts";
import { ntuClip, parseNtuSkeleton } from "../../src/data/formats/ntu-skeleton.ts";
import { STREAMS } from "../../src/data/skeleton/streams.ts";
import { spaceMajored, timeMajored } from "../../src/data/batches/views.ts";
import type { HostTensor } from "../../src/io/host-tensor.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import {
  CUT_CLIPS,
  CUT_STRIDE,
  everyNth,
  FIXTURES,
  GOLDEN,
  goldenRow,
  maxDifference,
  numbers,
  SHARED_DATA,
  unless,
} from "./helpers.ts";
import { DrawRecord } from "./replay.ts";

const BOUND = 1e-5;

interface GoldenClips {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly clips: readonly number[];
  /** Raw clip `i` with its valid frames, two persons. */
  raw(i: number): Clip;
  normalized(i: number): ArrayLike<number>;
  /** What of a full result the file holds. */
  sample(values: ArrayLike<number>): ArrayLike<number>;
}

function checkAll(golden: GoldenClips): void {
  const { tensors, metadata, sample } = golden;
  const near = (name: string, values: ArrayLike<number>, expected?: ArrayLike<number>): void => {
    const difference = maxDifference(sample(values), expected ?? numbers(tensors, name));
    assert.ok(difference <= BOUND, `${name} differs by ${difference}`);
  };
  const record = (name: string): DrawRecord => new DrawRecord(metadata.get(name) ?? "[]");
  for (const i of golden.clips) {
    const raw = golden.raw(i);
    const padded = normalizeClip(raw, NTU25.axes, { padTo: 300 });
    near(`normalized${i}`, toChannelsFirst(padded), golden.normalized(i));

    const clip = normalizeClip(raw, NTU25.axes);
    const crop = temporalCrop(clip, record(`cropresize${i}`).crop());
    near(`cropresize${i}`, toChannelsFirst(crop));
    near(`subsequence${i}`, toChannelsFirst(evaluationCrop(clip)));
    for (const which of [0, 1]) {
      const corrupted = { ...crop, data: crop.data.slice() };
      corruptJoints(corrupted, record(`joint_corruption${i}_${which}`).corrupt());
      near(`joint_corruption${i}_${which}`, toChannelsFirst(corrupted));
    }
    const sheared = { ...crop, data: crop.data.slice() };
    shearPose(sheared, record(`pose${i}`).shear());
    near(`pose${i}`, toChannelsFirst(sheared));

    for (const stream of STREAMS) {
      const draws = record(`pretrain_${stream}${i}`);
      for (const view of ["q", "k"]) {
        const augmented = augmentClip(clip, draws.augmentation(), stream, NTU25.parents);
        near(`pretrain_${stream}${i}/${view}c`, timeMajored(augmented));
        near(`pretrain_${stream}${i}/${view}p`, spaceMajored(augmented));
      }
      assert.ok(draws.finished(), `draws of pretrain_${stream}${i} are left over`);
      const evaluated = evaluationClip(clip, stream, NTU25.parents);
      near(`downstream_${stream}${i}/qc`, timeMajored(evaluated));
      near(`downstream_${stream}${i}/qp`, spaceMajored(evaluated));
    }
  }
}

describe("data against the reference implementation", () => {
  test("a cut: two clips, every 23rd number", () => {
    const { tensors, metadata } = readSafetensors(`${FIXTURES}/hico_cut.safetensors`);
    checkAll({
      tensors,
      metadata,
      clips: CUT_CLIPS,
      raw: (i) => {
        const { shape } = tensors.get(`raw${i}`) as HostTensor;
        return withPersons(fromChannelsFirst(numbers(tensors, `raw${i}`), shape[1], 25, shape[3]), 2);
      },
      normalized: (i) => numbers(tensors, `normalized${i}`),
      sample: (values) => everyNth(values, CUT_STRIDE),
    });
  });

  const file = `${GOLDEN}/hico_data.safetensors`;
  test("all of it", { skip: unless(file) }, () => {
    const { tensors, metadata } = readSafetensors(file);
    const frames = numbers(tensors, "num_frame");
    checkAll({
      tensors,
      metadata,
      clips: [0, 1, 2, 3],
      raw: (i) => fromChannelsFirst(goldenRow(tensors, "raw", i), 300, 25, 2, frames[i]),
      normalized: (i) => goldenRow(tensors, "normalized", i),
      sample: (values) => values,
    });
  });

  const samples = `${GOLDEN}/ntu_samples.safetensors`;
  const recordings = `${SHARED_DATA}/raw_samples/ntu`;
  test("real NTU recordings: parsed and normalised", { skip: unless(samples) || unless(recordings) }, () => {
    const { tensors } = readSafetensors(samples);
    const files = readdirSync(recordings).filter((name) => name.endsWith(".skeleton"));
    assert.equal(files.length, 10);
    for (const name of files) {
      const path = `${recordings}/${name}`;
      const key = name.replace(".skeleton", "");
      const recording = parseNtuSkeleton(readFileSync(path, "utf8"), path);
      for (const tracking of ["id", "slot"] as const) {
        const clip = ntuClip(recording, path, { tracking });
        const parsed = maxDifference(toChannelsFirst(clip), numbers(tensors, `${key}/xyz`));
        assert.ok(parsed <= BOUND, `${key}/xyz (${tracking}) differs by ${parsed}`);
        const normalized = normalizeClip(clip, NTU25.axes);
        const difference = maxDifference(toChannelsFirst(normalized), numbers(tensors, `${key}/normalized`));
        assert.ok(difference <= BOUND, `${key}/normalized differs by ${difference}`);
        // The file's two sums, of the values and of their sizes, are of a clip normalised twice over; they run over
        // 45,000 numbers of about 0.1, whose float32 roundings add up to about 1e-3.
        const twice = normalizeClip(normalizeClip(clip, NTU25.axes, { padTo: 300 }), NTU25.axes).data;
        const sums = [twice.reduce((sum, x) => sum + x, 0), twice.reduce((sum, x) => sum + Math.abs(x), 0)];
        const off = maxDifference(sums, numbers(tensors, `${key}/normalized_sum_300`));
        assert.ok(off < 5e-3, `${key}: sums over 300 frames differ by ${off}`);
      }
    }
  });

  test("padding only repeats: filling to more frames leaves the first ones as they are", () => {
    const { tensors } = readSafetensors(`${FIXTURES}/hico_cut.safetensors`);
    const clip = fromChannelsFirst(numbers(tensors, "raw3"), 102, 25, 2);
    const short = fillEmptyFrames(clip);
    assert.deepEqual(fillEmptyFrames(clip, 300).data.subarray(0, short.data.length), short.data);
  });
});
