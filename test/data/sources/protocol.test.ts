/** Published splits: their rules, their counts, and the real data sets' own split files. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseMissingList, parseNtuName } from "../../../src/data/formats/ntu-names.ts";
import {
  NTU120_TRAIN_SUBJECTS,
  parseSplitList,
  protocolNamed,
  PROTOCOLS,
  SBU_FOLDS,
} from "../../../src/data/store/protocol.ts";
import { readNpy } from "../../../src/io/numpy/npy.ts";
import { SHARED_DATA, unless } from "../helpers.ts";

const name = "x";

/** How many of 1..most train. */
function trainingCount(protocol: string, fact: "subject" | "camera" | "setup", most: number): number {
  const { split } = protocolNamed(protocol);
  const values = Array.from({ length: most }, (_, i) => i + 1);
  return values.filter((value) => split({ name, [fact]: value }) === "train").length;
}

describe("protocols", () => {
  test("training parts have the published sizes", () => {
    assert.equal(trainingCount("ntu60-xsub", "subject", 40), 20);
    assert.equal(trainingCount("ntu120-xsub", "subject", 106), 53);
    assert.equal(new Set(NTU120_TRAIN_SUBJECTS).size, 53);
    assert.equal(trainingCount("ntu120-xset", "setup", 32), 16);
    assert.equal(trainingCount("ntu60-xview", "camera", 3), 2);
    assert.equal(trainingCount("nw-ucla-xview", "camera", 3), 2);
    assert.equal(trainingCount("utd-mhad-xsub", "subject", 8), 4);
    assert.equal(protocolNamed("ntu60-xview").split({ name, camera: 1 }), "test");
    assert.equal(protocolNamed("nw-ucla-xview").split({ name, camera: 3 }), "test");
    assert.equal(protocolNamed("ntu120-xset").split({ name, setup: 2 }), "train");
  });

  test("each SBU pair is tested in exactly one fold", () => {
    assert.equal(new Set(SBU_FOLDS.flat()).size, 21);
    for (const pair of SBU_FOLDS.flat()) {
      const tested = [1, 2, 3, 4, 5].filter(
        (fold) => protocolNamed(`sbu-fold${fold}`).split({ name: `${pair}/01/001` }) === "test",
      );
      assert.equal(tested.length, 1);
    }
  });

  test("what a rule needs must be there", () => {
    const { split } = protocolNamed("ntu60-xsub");
    assert.throws(() => split({ name: "S" }), /S: label: protocol ntu60-xsub needs a subject/);
    assert.throws(() => split({ name, subject: 41 }), /from 1 to 40, got 41/);
    assert.throws(() => protocolNamed("sbu-fold1").split({ name: "s08s09/1" }), /"s08s09" is in none of the 5 folds/);
    assert.throws(() => protocolNamed("ntu61"), new RegExp(`there are ${PROTOCOLS[0].name}`));
  });

  test("PKU-MMD's lists", () => {
    const text = "Training videos: \r\nA01N01-L, A01N01-M,\r\n\r\nValidataion videos: \nA01N02-L\n";
    const { split, rule } = parseSplitList(text, "cross_subject_v2.txt");
    assert.equal(split({ name: "A01N01-M_12" }), "train");
    assert.equal(split({ name: "A01N02-L_0" }), "test");
    assert.match(rule, /2 recordings train, 1 test/);
    assert.throws(() => split({ name: "A01N03-L_0" }), /A01N03-L_0: label: recording A01N03-L is in neither list/);
    assert.throws(() => parseSplitList("A01N01-L", "f"), /f: format: starts without a heading/);
    assert.throws(() => parseSplitList("Training videos: a, b", "f"), /two headed lists .*holds 1/);
    assert.throws(() => parseSplitList("T: a, b\nV: b", "f"), /f: label: b is in both lists/);
  });

  test("NTU names and the list of missing skeletons", () => {
    assert.deepEqual(parseNtuName("/d/S018C002P106R001A120.skeleton"), {
      name: "S018C002P106R001A120",
      setup: 18,
      camera: 2,
      subject: 106,
      replication: 1,
      action: 120,
    });
    assert.throws(() => parseNtuName("S018C002P040R001A060", 60), /label: setup 18 is outside 1..17/);
    assert.throws(() => parseNtuName("S001C001P001R001A061", 60), /action 61 is outside 1..60/);
    assert.throws(() => parseNtuName("S001C001P001R003A001"), /replication 3/);
    assert.throws(() => parseNtuName("S001C004P001R001A001"), /camera 4/);
    assert.throws(() => parseNtuName("S001C001P001R001.skeleton"), /not of the form/);
    const list = "Samples with missing skeletons:\r\nS001C002P005R002A008\r\nS001C002P006R001A008.skeleton\n";
    assert.deepEqual([...parseMissingList(list, "f")], ["S001C002P005R002A008", "S001C002P006R001A008"]);
    assert.throws(() => parseMissingList("nothing here", "f"), /f: format: no line is a sample name/);
  });

  test("the real data sets' own splits", { skip: unless(SHARED_DATA) }, () => {
    const column = (path: string): number[] => [...readNpy(`${SHARED_DATA}/${path}.npy`).data].map(Number);
    const views = column("nw_ucla/views");
    const split = column("nw_ucla/split");
    const ucla = protocolNamed("nw-ucla-xview");
    views.forEach((camera, i) => assert.equal(ucla.split({ name, camera }), split[i] === 0 ? "train" : "test"));
    const utd = protocolNamed("utd-mhad-xsub");
    const trained = column("utd_mhad/subjects").filter((subject) => utd.split({ name, subject }) === "train");
    assert.equal(trained.length, 431);
    const names = JSON.parse(readFileSync(`${SHARED_DATA}/sbu/names.json`, "utf8")) as string[];
    column("sbu/folds").forEach((fold, i) => {
      assert.equal(protocolNamed(`sbu-fold${fold}`).split({ name: names[i] }), "test");
    });
  });
});
