/**
 * Makes test/fixtures/data/hico_cut.safetensors: from the reference implementation's numbers on synthetic clips
 * (shared/golden/hico_data.safetensors), two whole inputs and every 23rd number of everything computed from them.
 *
 *     node --import tsx test/data/cut-golden.ts
 */
import { writeSafetensors } from "../../src/io/safetensors.ts";
import { readSafetensors } from "../../src/io/safetensors.ts";
import type { HostTensor } from "../../src/io/host-tensor.ts";
import { CUT_CLIPS, CUT_STRIDE, everyNth, FIXTURES, GOLDEN, goldenRow, numbers } from "./helpers.ts";

const { tensors, metadata } = readSafetensors(`${GOLDEN}/hico_data.safetensors`);
const cut = new Map<string, HostTensor>();
const kept = new Map<string, string>();
const frames = numbers(tensors, "num_frame");

for (const i of CUT_CLIPS) {
  const raw = goldenRow(tensors, "raw", i);
  const second = raw.some((value, at) => at % 2 === 1 && value !== 0);
  const persons = second ? 2 : 1;
  const data = new Float32Array(3 * frames[i] * 25 * persons);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let rest = 0; rest < frames[i] * 25; rest++) {
      for (let m = 0; m < persons; m++) data[at++] = raw[(c * 300 * 25 + rest) * 2 + m];
    }
  }
  cut.set(`raw${i}`, { dtype: "f32", shape: [3, frames[i], 25, persons], data });
  const normalized = everyNth(goldenRow(tensors, "normalized", i), CUT_STRIDE);
  cut.set(`normalized${i}`, { dtype: "f32", shape: [normalized.length], data: normalized });
}
for (const name of tensors.keys()) {
  const clip = /(\d)(?:_\d|\/\w\w)?$/.exec(name)?.[1];
  if (clip === undefined || !CUT_CLIPS.includes(Number(clip))) continue;
  const data = everyNth(numbers(tensors, name), CUT_STRIDE);
  cut.set(name, { dtype: "f32", shape: [data.length], data });
}
for (const [name, value] of metadata) {
  if (CUT_CLIPS.includes(Number(/(\d)(?:_\d)?$/.exec(name)?.[1]))) kept.set(name, value);
}
writeSafetensors(`${FIXTURES}/hico_cut.safetensors`, cut, kept);
