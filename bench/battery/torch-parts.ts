/** The HiCo step against PyTorch's, in every way that PyTorch can run it: by turns, from the same weights, losses equal. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { median } from "../../src/bench/measure.ts";
import { setDefaultDevice } from "../../src/tensor/index.ts";
import { hicoProblem, type HiCoSizes } from "../hico-problem.ts";
import { greetTorch, openTorch, TORCH_MODES, type TorchPeer } from "../torch-peer.ts";
import type { Part, PartContext } from "./part.ts";
import type { PartResult, Row } from "./results.ts";
import { stepSizes } from "./step-parts.ts";

const NAMES = { eager: "PyTorch, eager", compile: "PyTorch, torch.compile", graphs: "PyTorch, CUDA graph" } as const;

/** Losses of so many steps without dropout must agree, relative to their size. */
const CHECKED = 4;
const TOLERANCE = 1e-3;

async function run(sizes: HiCoSizes, { device, small, python, tell, timeLeft }: PartContext): Promise<PartResult> {
  const threads = 2;
  const greeting = await greetTorch(python, threads);
  const skipped = (why: string): PartResult => ({ summary: `left out: ${why}`, tables: [], notes: [why] });
  if (greeting === undefined) return skipped(`${python} has no torch; --python names another`);
  // Small batteries show on a CPU that the other side works.
  if (!greeting.cuda && !small) return skipped(`PyTorch ${greeting.torch} of ${python} sees no GPU`);
  const where = greeting.cuda ? "cuda" : "cpu";
  setDefaultDevice(device);
  const problem = await hicoProblem(sizes);
  const { inputs } = problem;
  const folder = mkdtempSync(join(tmpdir(), "hico-battery-"));
  const peers: { mode: (typeof TORCH_MODES)[number]; peer: TorchPeer; firstMs: number; losses: number[] }[] = [];
  const notes: string[] = [];
  try {
    const files = problem.writeFiles(folder);
    // A dropout that is drawn cannot give equal losses; only the Transformer has one.
    const drops = sizes.encoder === "transformer";
    const losses: number[] = [];
    const plain = problem.trainer(0);
    tell("losses");
    for (let i = 0; i < CHECKED; i++) losses.push(await (await plain.step(inputs)).loss.item());
    const trainer = drops ? problem.trainer() : plain;
    for (const mode of TORCH_MODES) {
      if (greeting.modes[mode] !== "") {
        notes.push(`${NAMES[mode]}: ${greeting.modes[mode]}`);
        continue;
      }
      if (mode !== "eager" && timeLeft() < 0) {
        notes.push(`${NAMES[mode]}: no time left`);
        continue;
      }
      tell(`${NAMES[mode]}: opening`);
      const peer = openTorch(python, threads);
      const { encoder, hidden, queue } = sizes;
      const request = { do: "open", encoder, hidden, queue, ...files, threads, device: where, mode };
      try {
        const { first } = await peer.ask({ ...request, dropout: 0 });
        const answer = await peer.ask({ do: "losses", count: CHECKED });
        if (drops) await peer.ask(request);
        peers.push({ mode, peer, firstMs: Number(first), losses: answer.losses as number[] });
      } catch (error) {
        peer.close();
        notes.push(`${NAMES[mode]}: ${(error as Error).message.split("\n")[0]}`);
      }
    }
    const [rounds, samples, each] = small ? [1, 1, 1] : [5, 3, 20];
    const ours: number[] = [];
    const theirs = peers.map((): number[] => []);
    for (let round = 0; round <= rounds && (round < 2 || timeLeft() > 0); round++) {
      tell(`round ${round} of ${rounds}`);
      for (let sample = 0; sample < samples; sample++) {
        const start = performance.now();
        for (let i = 1; i < each; i++) (await trainer.step(inputs)).loss.dispose();
        await (await trainer.step(inputs)).loss.item();
        if (round > 0) ours.push((performance.now() - start) / each);
      }
      for (const [i, { peer }] of peers.entries()) {
        const { ms } = await peer.ask({ do: "steps", count: samples, each });
        // The first round warms up.
        if (round > 0) theirs[i].push(...(ms as number[]));
      }
    }
    const oursMs = median(ours);
    const apart = (theirLosses: readonly number[]): number =>
      Math.max(...theirLosses.map((loss, i) => Math.abs(loss - losses[i]) / Math.abs(losses[i])));
    const rows: Row[] = [
      { engine: `this engine, ${device.name}`, ms: oursMs, times: 1, first: null, loss: losses.at(-1)!, apart: 0 },
      ...peers.map(({ mode, firstMs, losses: found }, i) => ({
        engine: `${NAMES[mode]} (${greeting.gpu || where})`,
        ms: median(theirs[i]),
        times: median(theirs[i]) / oursMs,
        first: mode === "eager" ? null : firstMs,
        loss: found.at(-1)!,
        apart: apart(found),
      })),
    ];
    const wrong = peers.filter(({ losses: found }) => !(apart(found) <= TOLERANCE));
    if (wrong.length > 0) {
      throw new Error(
        `losses disagree with ${wrong.map(({ mode }) => NAMES[mode]).join(", ")}: ${losses.join(" ")} here, ` +
          `${wrong[0].losses.join(" ")} there`,
      );
    }
    const said = peers.map(
      ({ mode }, i) => `${(median(theirs[i]) / oursMs).toPrecision(3)} times ${NAMES[mode].slice(9)}`,
    );
    const key = `${sizes.encoder}${sizes.hidden}`;
    return {
      summary: `${said.join(", ") || "no mode of PyTorch ran"}; losses of ${CHECKED} steps equal to ${TOLERANCE}`,
      figures: Object.fromEntries(peers.map(({ mode }, i) => [`${key}Over_${mode}`, median(theirs[i]) / oursMs])),
      tables: [
        {
          title: `PyTorch ${greeting.torch} on ${where}, float32 (TF32 off), ${threads} threads`,
          note:
            `Batch ${sizes.batch}, K ${sizes.queue}. Losses of ${CHECKED} steps without dropout from the same weights and ` +
            "batch; times by turns in one run, medians.",
          columns: [
            { key: "engine", label: "engine", kind: "text" },
            { key: "ms", label: "ms a step", kind: "number" },
            { key: "times", label: "times ours", kind: "number" },
            { key: "first", label: "compiling or capturing, ms", kind: "number" },
            { key: "loss", label: `loss of step ${CHECKED}`, kind: "number" },
            { key: "apart", label: "losses apart", kind: "number" },
          ],
          rows,
        },
      ],
      notes,
    };
  } finally {
    for (const { peer } of peers) peer.close();
    rmSync(folder, { recursive: true });
  }
}

export function torchParts(small: boolean): Part[] {
  return stepSizes(small).map((sizes) => ({
    name: `torch-${sizes.encoder}-${sizes.hidden}`,
    title: `Against PyTorch, ${sizes.encoder}, d ${sizes.hidden}`,
    seconds: { full: 35, small: 40 },
    run: (context) => run(sizes, context),
  }));
}
