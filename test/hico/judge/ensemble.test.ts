/** Ensembles, folds and transfer: clips matched by name, weights chosen on training clips, what a run has seen. */
import { after, before, describe, test } from "node:test";
import assert from "node:assert/strict";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { layoutNamed } from "../../../src/data/skeleton/layouts.ts";
import { prepareStore } from "../../../src/data/sources/prepare.ts";
import { NTU60_TRAIN_SUBJECTS, PROTOCOLS } from "../../../src/data/store/protocol.ts";
import { ClipStore } from "../../../src/data/store/store.ts";
import { device } from "../../../src/device/index.ts";
import {
  evaluateEnsemble,
  evaluateFinetune,
  evaluateKnn,
  evaluateLinear,
  evaluatePairings,
  openRun,
  pairings,
  pretrain,
} from "../../../src/hico/index.ts";
import type { ClipTable } from "../../../src/hico/judge/clip-table.ts";
import { matchTables, readClipTable, writeClipTable } from "../../../src/hico/judge/clip-table.ts";
import { bestWeights, fuseFeatures, fuseScores, weightGrid } from "../../../src/hico/judge/fusion/fusion.ts";
import { heldOutGroups } from "../../../src/hico/judge/held-out.ts";
import { readNpz } from "../../../src/io/index.ts";
import { setDefaultDevice } from "../../../src/tensor/backend.ts";
import { kinectStore, randomClip } from "../../data/synthetic.ts";
import { temporaryFolder, tinySettings } from "../run/run-helpers.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const cpu = await device("cpu", { threads: 1 });
setDefaultDevice(cpu);
const COUNT = 24;
/** Runs of the three streams on stores of the same clips in different orders; a copy of one on another fold. */
const RUNS = ["joint", "motion", "bone"] as const;
before(async () => {
  const ntu = { ...layoutNamed("ntu25"), persons: 1 };
  await kinectStore(at("joint.clips"), COUNT, ntu);
  await kinectStore(at("motion.clips"), COUNT, ntu, (i) => COUNT - 1 - i);
  await kinectStore(at("bone.clips"), COUNT, ntu, (i) => (i * 5) % COUNT);
  for (const stream of RUNS) {
    await pretrain({
      settings: tinySettings(at(`${stream}.clips`), { epochs: 1, stream, protocol: "made-up-fold1" }),
      run: at(stream),
    });
  }
  const other = tinySettings(at("joint.clips"), { epochs: 1, protocol: "made-up-fold2" });
  await pretrain({ settings: other, run: at("fold2") });
});
after(() => {
  cpu.close();
  rmSync(folder, { recursive: true });
});

const table = (names: string[], data: number[], more: Partial<ClipTable> = {}): ClipTable => ({
  names,
  data: Float32Array.from(data),
  width: data.length / names.length,
  labels: Int32Array.from(names, (n) => n.charCodeAt(0) % 2),
  classes: ["x", "y"],
  ...more,
});

describe("tables of clips", () => {
  test("are matched by name, and what does not match is named", () => {
    const [a, b] = [table(["a", "b", "c"], [1, 2, 3, 4, 5, 6]), table(["c", "a", "b"], [5, 6, 1, 2, 3, 4])];
    const [first, second] = matchTables([
      { from: "A", table: a },
      { from: "B", table: b },
    ]);
    assert.deepEqual(second, first);
    const refused = (other: ClipTable, message: RegExp): void => {
      assert.throws(
        () =>
          matchTables([
            { from: "A", table: a },
            { from: "B", table: other },
          ]),
        message,
      );
    };
    refused(table(["a", "b"], [1, 2]), /B and A cannot be fused: B has no clip c/);
    refused(
      table(["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"], Array<number>(10).fill(0)),
      /A has no clip d, e, f, g, h and 2 more/,
    );
    refused(table(["a", "b", "b"], [1, 2, 3]), /B has several clips named b/);
    refused({ ...b, labels: Int32Array.of(1, 1, 1) }, /give different classes to b/);
    refused({ ...b, classes: ["x", "z"] }, /classes differ: z/);
  });

  test("are kept for what they were computed from and nothing else", () => {
    const kept = table(["ä", "b"], [0.5, 0.25]);
    writeClipTable(at("kept.npz"), kept, { checkpoint: "one" });
    assert.deepEqual(readClipTable(at("kept.npz"), { checkpoint: "one" }), kept);
    assert.equal(readClipTable(at("kept.npz"), { checkpoint: "two" }), undefined);
    writeFileSync(at("damaged.npz"), readFileSync(at("kept.npz")).subarray(0, 200));
    assert.throws(
      () => readClipTable(at("damaged.npz"), { checkpoint: "one" }),
      /damaged\.npz: .*; remove the file, and/,
    );
    assert.equal(readClipTable(at("none.npz"), { checkpoint: "one" }), undefined);
  });
});

describe("fusion", () => {
  test("sums scores, and its features have the weighted sum of cosines as inner products", () => {
    const [a, b] = [table(["a", "b"], [0.9, 0.1, 0.2, 0.8]), table(["a", "b"], [0.3, 0.7, 0.6, 0.4])];
    const fused = fuseScores([a, b], [2, 1]);
    [2.1, 0.9, 1, 2].forEach((x, i) => assert.ok(Math.abs(fused[i] - x) < 1e-6));
    const { data, width } = fuseFeatures([a, b], [0.7, 0.3]);
    const dot = (x: ArrayLike<number>, y: ArrayLike<number>): number =>
      Array.from(x).reduce((s, v, i) => s + v * y[i], 0);
    const cosine = ({ data: d }: ClipTable): number =>
      dot(d.subarray(0, 2), d.subarray(2)) /
      Math.sqrt(dot(d.subarray(0, 2), d.subarray(0, 2)) * dot(d.subarray(2), d.subarray(2)));
    const expected = 0.7 * cosine(a) + 0.3 * cosine(b);
    assert.ok(Math.abs(dot(data.subarray(0, width), data.subarray(width)) - expected) < 1e-6);
  });

  test("weights: the whole grid, and of equals the most even ones", () => {
    const grid = weightGrid(3);
    assert.equal(grid.length, 66);
    assert.ok(
      grid.every((weights) => Math.abs(weights.reduce((s, w) => s + w, 0) - 1) < 1e-12 && weights.every((w) => w >= 0)),
    );
    assert.equal(new Set(grid.map(String)).size, 66);
    const judged = (weights: number[], accuracy: number, tieBreaker = 0) => ({ weights, accuracy, tieBreaker });
    assert.deepEqual(
      bestWeights([judged([1, 0], 0.5), judged([0.5, 0.5], 0.5), judged([0.6, 0.4], 0.5)]).weights,
      [0.5, 0.5],
    );
    assert.deepEqual(bestWeights([judged([0.5, 0.5], 0.5, 1), judged([1, 0], 0.5, 2)]).weights, [1, 0]);
    assert.deepEqual(bestWeights([judged([0.5, 0.5], 0.5, 3), judged([1, 0], 0.6, 2)]).weights, [1, 0]);
  });

  test("groups hold whole subjects where there are any", () => {
    const clips = Array.from({ length: 30 }, (_, i) => i);
    const bySubject = heldOutGroups(clips, (i) => i % 7, 4);
    clips.forEach((i) => assert.equal(bySubject[i], bySubject[i % 7]));
    assert.equal(new Set(bySubject).size, 4);
    const unknown = heldOutGroups(clips, () => undefined, 4);
    assert.deepEqual(
      [0, 1, 2, 3].map((g) => unknown.filter((x) => x === g).length),
      [8, 8, 7, 7],
    );
  });
});

describe("ensembles", () => {
  const probe = { epochs: 3 };
  const runs = RUNS.map(at);

  test("take what evaluations kept, match clips by name, and give each run its own accuracy", async () => {
    const alone = [];
    for (const run of runs)
      alone.push((await evaluateLinear({ run, probe, baselines: false })).results.pretrained!.last.accuracy);
    const kept = runs.map((run) => statSync(join(run, "eval", "linear-scores.npz")).mtimeMs);
    const found = await evaluateEnsemble({ runs, probe });
    assert.deepEqual(
      runs.map((run) => statSync(join(run, "eval", "linear-scores.npz")).mtimeMs),
      kept,
    );
    // By another classifier than the evaluation's, whose scores stay beside its result.
    await evaluateEnsemble({ runs, probe: { epochs: 2 } });
    assert.deepEqual(
      runs.map((run) => statSync(join(run, "eval", "linear-scores.npz")).mtimeMs),
      kept,
    );
    const beside = runs.map((run) => statSync(join(run, "eval", "linear-scores-epochs2-batch1.npz")).mtimeMs);
    await evaluateEnsemble({ runs, probe: { epochs: 2 } });
    assert.deepEqual(
      runs.map((run) => statSync(join(run, "eval", "linear-scores-epochs2-batch1.npz")).mtimeMs),
      beside,
    );
    assert.deepEqual(
      found.runs.map(({ result }) => result.accuracy),
      alone,
    );
    assert.deepEqual(
      found.runs.map(({ stream, weight }) => [stream, weight]),
      RUNS.map((stream) => [stream, 1]),
    );
    assert.equal(found.fused.clips, 12);
    // The kept scores of each run, summed here by name.
    const sums = new Map<string, [even: number, odd: number]>();
    for (const run of runs) {
      const file = readNpz(join(run, "eval", "linear-scores.npz"));
      const values = file.get("values")!.data as Float32Array;
      (file.get("names")!.data as string[]).forEach((name, row) => {
        const [even, odd] = sums.get(name) ?? [0, 0];
        sums.set(name, [even + values[2 * row], odd + values[2 * row + 1]]);
      });
    }
    const right = [...sums].filter(([name, [even, odd]]) => Number(name.slice(5)) % 2 === Number(odd > even));
    assert.deepEqual([sums.size, right.length / sums.size], [12, found.fused.accuracy]);
    const only = await evaluateEnsemble({ runs, probe, weights: [0, 1, 0] });
    assert.deepEqual(only.fused, only.runs[1].result);
  });

  test("of k-NN are the sums of similarities", async () => {
    const found = await evaluateEnsemble({ runs, method: "knn", weights: [0.6, 0.6, 0.4], k: 3 });
    for (const [i, run] of runs.entries()) {
      const { accuracy } = (await evaluateKnn({ run, k: 3, baselines: false })).results.pretrained!;
      assert.equal(found.runs[i].result.accuracy, accuracy);
    }
    // The same runs in another order, of which each store has its clips in another.
    const turned = await evaluateEnsemble({ runs: [...runs].reverse(), method: "knn", weights: [0.4, 0.6, 0.6], k: 3 });
    assert.deepEqual(turned.fused.confusion, found.fused.confusion);
  });

  test("search weights on training clips alone", async () => {
    for (const method of ["linear", "knn"] as const) {
      const { runs: members, search } = await evaluateEnsemble({ runs, method, probe, weights: "search" });
      assert.ok(Math.abs(members.reduce((sum, { weight }) => sum + weight, 0) - 1) < 1e-9);
      assert.equal(search!.clips, 12);
    }
  });

  test("refuse what cannot be fused", async () => {
    await assert.rejects(evaluateEnsemble({ runs: runs.slice(1, 2) }), /at least two runs; 1 given/);
    await assert.rejects(evaluateEnsemble({ runs, weights: [1, 1] }), /2 weights for 3 runs/);
    await assert.rejects(evaluateEnsemble({ runs, weights: [0, 0, 0] }), /all weights are 0/);
    await assert.rejects(
      evaluateEnsemble({ runs, method: "knn", weights: "search", k: 12 }),
      /k is 12; weights are searched with \d+ training clips of other groups as gallery, so it must be at most \d+/,
    );
    const otherFold = evaluateEnsemble({ runs: [runs[0], at("fold2")], probe });
    await assert.rejects(otherFold, /fold2 is judged on made-up-fold2, .*joint on made-up-fold1; name one --protocol/);
    await kinectStore(at("short.clips"), COUNT - 4, { ...layoutNamed("ntu25"), persons: 1 });
    await pretrain({
      settings: tinySettings(at("short.clips"), { epochs: 1, protocol: "made-up-fold1" }),
      run: at("short"),
    });
    const shorter = evaluateEnsemble({ runs: [runs[0], at("short")], probe });
    await assert.rejects(shorter, /cannot be fused: .*short has no clip clip-2\d, clip-2\d/);
  });
});

describe("folds", () => {
  test("one run on all of them says what it has seen; a run for each has seen nothing", async () => {
    const pairs = pairings([at("joint")], { protocol: "all" });
    assert.deepEqual(pairs, [
      { run: at("joint"), protocol: undefined },
      { run: at("joint"), protocol: "made-up-fold2" },
    ]);
    const judge = (list: typeof pairs) =>
      evaluatePairings(
        list,
        ({ run, protocol }) => evaluateKnn({ run, protocol, baselines: false }),
        ({ results }) => ({ pretrained: results.pretrained!.accuracy }),
      );
    const one = await judge(pairs);
    assert.deepEqual([one.results.map((r) => r.seenInPretraining), one.seen], [[0, 12], 1]);
    assert.ok(statSync(join(at("joint"), "eval", "knn-made-up-fold2.json")).size > 0);
    const both = await judge(pairings([at("joint"), at("fold2")], { protocol: "all" }));
    assert.deepEqual([both.results.map((r) => r.protocol), both.seen], [["made-up-fold1", "made-up-fold2"], 0]);
    const accuracies = both.results.map((r) => r.results.pretrained!.accuracy);
    assert.ok(Math.abs(both.mean.pretrained.mean - (accuracies[0] + accuracies[1]) / 2) < 1e-12);
    assert.throws(
      () => pairings([at("joint"), at("bone")], { protocol: "all" }),
      /no run was pretrained on made-up-fold2/,
    );
  });
});

test("NTU RGB+D's protocols judge the clips that their rules name", async () => {
  const layout = { ...layoutNamed("ntu25"), persons: 1 };
  const protocols = PROTOCOLS.filter(({ name }) => name.startsWith("ntu"));
  // Subjects and setups that are in both data sets.
  const facts = Array.from({ length: 24 }, (_, i) => ({
    name: `S${i}`,
    label: i % 2,
    subject: 1 + ((i * 7) % 40),
    camera: 1 + (i % 3),
    setup: 1 + (i % 17),
  }));
  const clips = () => facts.map((f, i) => ({ facts: f, clip: randomClip(i, 20, 1, 25) }));
  await prepareStore({ layout, classes: ["a", "b"], protocols, inputs: 24, clips }, at("ntu.clips"));
  await pretrain({ settings: tinySettings(at("ntu.clips"), { epochs: 1, protocol: "ntu60-xview" }), run: at("ntu") });
  const { results } = await evaluatePairings(
    pairings([at("ntu")], { protocol: "all" }),
    ({ run, protocol }) => evaluateKnn({ run, protocol, baselines: false }),
    (found) => ({ pretrained: found.results.pretrained!.accuracy }),
  );
  const trains = facts.map((f) => [
    NTU60_TRAIN_SUBJECTS.includes(f.subject),
    f.camera !== 1,
    NTU60_TRAIN_SUBJECTS.includes(f.subject),
    f.setup % 2 === 0,
  ]);
  assert.deepEqual(
    results.map((r) => r.protocol),
    ["ntu60-xsub", "ntu60-xview", "ntu120-xsub", "ntu120-xset"],
  );
  results.forEach((r, p) => {
    const [train, test] = [true, false].map((split) => facts.filter((_, i) => trains[i][p] === split).length);
    assert.deepEqual([r.trainClips, r.testClips], [train, test]);
    assert.equal(r.seenInPretraining, facts.filter((f, i) => f.camera !== 1 && !trains[i][p]).length);
  });
});

describe("transfer", () => {
  test("maps joints and persons, and refuses skeletons without a map", async () => {
    await kinectStore(at("kinect.clips"), 8);
    const linear = await evaluateLinear({
      run: at("joint"),
      data: at("kinect.clips"),
      probe: { epochs: 2 },
      name: "transfer-linear",
    });
    assert.deepEqual([linear.testClips, linear.protocol, Object.keys(linear.results).length], [4, "made-up-fold1", 3]);
    const settings = { epochs: 1, leastSteps: 1, batch: 4 };
    const tuned = await evaluateFinetune({
      run: at("joint"),
      data: at("kinect.clips"),
      settings,
      name: "transfer-finetune",
    });
    assert.equal(tuned.results.pretrained!.last.clips, 4);

    const unknown = { ...layoutNamed("kinect-v1-20"), name: "suit" };
    await kinectStore(at("suit.clips"), 8, unknown);
    await assert.rejects(
      evaluateLinear({ run: at("joint"), data: at("suit.clips") }),
      /layout "suit".*"ntu25".*hico data prepare --map FILE/s,
    );
  });

  test("uses another copy of the run's store as its own", () => {
    const { store, ownProtocol, settings } = openRun({ run: at("fold2"), data: at("motion.clips") });
    assert.deepEqual([ownProtocol, settings.protocol], [true, "made-up-fold2"]);
    store.close();
    assert.ok(ClipStore.open(at("motion.clips")).header.protocols[0].name === "made-up-fold1");
  });
});
