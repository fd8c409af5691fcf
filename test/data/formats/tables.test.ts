/**
 * Tables as spreadsheets and recorders write them: quoted cells, semicolons with decimal commas, tabs, headings; units by
 * the size of bodies; specifications checked key by key; recordings of PKU-MMD without labels.
 */
import { after, describe, test } from "node:test";
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { SourceKindOptions } from "../../../src/data/index.ts";
import {
  ClipStore,
  detectKind,
  generateClips,
  KINECT_V2_CSV,
  NTU25,
  openSourceOf,
  parseCsvSpec,
  parseSkeletonCsv,
  prepareStore,
} from "../../../src/data/index.ts";
import { readLabelTable } from "../../../src/data/formats/label-table.ts";
import { hostTensor, writeNpy } from "../../../src/io/index.ts";

const folder = mkdtempSync(join(tmpdir(), "hico-tables-"));
after(() => rmSync(folder, { recursive: true }));

function put(path: string, content: string): string {
  const file = join(folder, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

const [{ clip }] = generateClips({ subjects: 1, repetitions: 1, noise: 0, variety: 0 });
const FRAMES = 6;
const places = Array.from(clip.data.subarray(0, 0));
for (let t = 0; t < FRAMES; t++) {
  const start = t * clip.persons * 75;
  places.push(...[...clip.data.subarray(start, start + 75)].map((value) => Number(value.toFixed(4))));
}

/** The recording as a table; `cell` writes a number. */
function table(cell: (value: number) => string, delimiter: string, factor = 1): string {
  const rows = Array.from({ length: FRAMES }, (_, t) =>
    Array.from({ length: 25 }, (_joint, v) => [...places.slice(t * 75 + v * 3, t * 75 + v * 3 + 3), 2 / factor])
      .flat()
      .map((value) => cell(Number((value * factor).toFixed(4))))
      .join(delimiter),
  );
  return `${rows.join("\n")}\n`;
}

const heading = (delimiter: string): string =>
  NTU25.joints.flatMap((joint) => ["x", "y", "z", "state"].map((field) => `${joint} ${field}`)).join(delimiter);
const comma = (value: number): string => String(value).replace(".", ",");

describe("tables", () => {
  const read = (text: string): number[] => [...parseSkeletonCsv(text, "x.csv", KINECT_V2_CSV).clip.data];
  const expected = [...Float32Array.from(places)];
  for (const [what, text] of [
    ["semicolons and decimal commas", table(comma, ";")],
    ["tabs", table(String, "\t")],
    ["tabs and decimal commas", table(comma, "\t")],
    ["quoted cells", table((value) => `"${value}"`, ",")],
    ["quoted decimal commas after semicolons", table((value) => `"${comma(value)}"`, ";")],
    ["a heading", `${heading(",")}\n${table(String, ",")}`],
    ["a quoted heading", `"${heading('";"')}"\n${table(comma, ";")}`],
    ["lines that end in semicolons", table(comma, ";").replaceAll("\n", ";\n")],
  ] as const) {
    test(`${what} are read as they are meant`, () => assert.deepEqual(read(text), expected));
  }
  test("decimal commas without another delimiter are not guessed at", () => {
    assert.throws(() => read(table(comma, ",")), /line 1 has \d+ columns/);
  });
  test("a table of labels may have semicolons", () => {
    const rows = readLabelTable(put("labels.csv", 'file;label;subject\n"a;1.csv";wave;2\n'));
    assert.deepEqual([...rows], [["a;1.csv", { label: "wave", subject: 2, camera: undefined, split: undefined }]]);
  });
  test("a table of labels that names a column twice is refused", () => {
    assert.throws(() => readLabelTable(put("twice.csv", "file,label,label\na.csv,x,y\n")), /the column "label" twice/);
  });
  test("names that a table and the files spell with other signs for one letter are the same", () => {
    const [one, two] = ["H\u00f6he", "Ho\u0308he"];
    put(`spelled/${two}.csv`, table(String, ","));
    const labels = put("spelled.csv", `file,label\n${one}.csv,${two}\n`);
    const { source } = openSourceOf("csv", join(folder, "spelled"), { labels });
    const fail = (error: Error): never => {
      throw error;
    };
    const names = [...source.clips(fail, () => {})].map(({ facts }) => facts.name);
    assert.deepEqual([source.classes, names], [[one], [`${one}.csv`]]);
  });
  test("a heading that names a column twice does not say which is meant", () => {
    const columns = [Object.fromEntries(NTU25.joints.map((joint) => [joint, ["a", "b", "c"]]))];
    const spec = { layout: NTU25, columns };
    assert.equal(parseSkeletonCsv("a,b,c,d\n1,2,3,4\n", "x.csv", spec).clip.frames, 1);
    assert.throws(() => parseSkeletonCsv("a,b,c,a\n1,2,3,4\n", "x.csv", spec), /names column "a" twice/);
  });
  test("a state may be a confidence: 0 and below is a joint that was not seen, any share above is one that was", () => {
    const lost = [0.9, 0.001, 0, -1].map((share) => {
      const text = table(String, ",").replace(/,2,/, `,${share},`);
      return Number.isNaN(parseSkeletonCsv(text, "x.csv", KINECT_V2_CSV).clip.data[0]);
    });
    assert.deepEqual(lost, [false, false, true, true]);
  });
});

async function prepared(
  kind: "csv" | "npy" | "pku-mmd",
  from: string,
  options: SourceKindOptions = {},
): Promise<{ store: ClipStore; remarks: readonly string[] }> {
  const { source, map } = openSourceOf(kind, join(folder, from), options);
  const path = join(folder, `${from}-${kind}.clips`);
  const report = await prepareStore(source, path, { map, normalize: "none" });
  const store = ClipStore.open(path);
  after(() => store.close());
  return { store, remarks: report.remarks.map(({ what, names }) => `${what}: ${names.join(", ")}`) };
}

const near = (store: ClipStore, factor = 1): void => {
  const { data, persons } = store.read(0);
  for (let t = 0; t < FRAMES; t++)
    for (let i = 0; i < 75; i++)
      assert.ok(Math.abs(data[t * persons * 75 + i] - factor * places[t * 75 + i]) < 1e-4, `${t} ${i}`);
};

describe("units", () => {
  put("metres/wave/a.csv", table(String, ","));
  put("centi/wave/a.csv", table(String, ",", 100));
  put("milli/wave/a.tsv", table(comma, "\t", 1000));

  test("metres stay as they are, and nothing is said", async () => {
    const { store, remarks } = await prepared("csv", "metres");
    near(store);
    assert.deepEqual(remarks, []);
  });
  test("centimetres and millimetres are recognised, said and converted", async () => {
    const centi = await prepared("csv", "centi");
    near(centi.store);
    assert.match(centi.remarks[0], /converted to metres; --units says otherwise: centimetres/);
    assert.equal(detectKind(join(folder, "milli"))?.kind, "csv");
    const milli = await prepared("csv", "milli");
    near(milli.store);
    assert.match(milli.remarks[0], /: millimetres$/);
  });
  test("a unit that is named beats the bodies, and does not meet a specification's scale", async () => {
    const { store, remarks } = await prepared("csv", "centi", { units: "m" });
    near(store, 100);
    assert.deepEqual(remarks, []);
    near((await prepared("csv", "metres", { units: "mm" })).store, 0.001);
    const spec = put("scaled.json", JSON.stringify({ layout: "ntu25", fields: ["x", "y", "z", "state"], scale: 0.01 }));
    near((await prepared("csv", "centi", { spec })).store);
    assert.throws(
      () => openSourceOf("csv", join(folder, "centi"), { spec, units: "cm" }),
      /--units cm meets the "scale"/,
    );
  });
  test("npy folders likewise", async () => {
    mkdirSync(join(folder, "packed"));
    const data = new Float32Array(3 * FRAMES * 25);
    for (let t = 0; t < FRAMES; t++)
      for (let v = 0; v < 25; v++)
        for (let c = 0; c < 3; c++) data[(c * FRAMES + t) * 25 + v] = 1000 * places[t * 75 + v * 3 + c];
    writeNpy(join(folder, "packed/data.npy"), hostTensor("f32", [1, 3, FRAMES, 25, 1], data));
    writeNpy(join(folder, "packed/labels.npy"), hostTensor("i32", [1], Int32Array.of(0)));
    const { store, remarks } = await prepared("npy", "packed");
    near(store);
    assert.match(remarks[0], /: millimetres$/);
  });
});

test("a specification is checked key by key", () => {
  const right = { layout: "ntu25", fields: ["x", "y", "z"] };
  assert.equal(parseCsvSpec(right, "spec.json").layout, NTU25);
  for (const [changes, words] of [
    [{ feilds: [] }, /unknown key "feilds"; there is layout, delimiter/],
    [{ delimiter: ", " }, /"delimiter" is ", "; it must be one character/],
    [{ header: "yes" }, /"header" is "yes"; it must be true or false/],
    [{ skip: -1 }, /"skip" is -1; it must be a whole number/],
    [{ fields: ["x", "y", "w"] }, /"fields" is .*it must be a list of x, y, z, state, skip/],
    [{ fields: ["x"] }, /with x and y at least/],
    [{ persons: 0 }, /"persons" is 0; it must be a whole number, from 1/],
    [{ scale: "mm" }, /"scale" is "mm"; it must be a number above 0/],
    [{ flip: [1, 0, 1] }, /"flip" is \[1,0,1\]; it must be three numbers that are not 0/],
    [{ offset: [1, 2] }, /"offset" is \[1,2\]; it must be three numbers/],
    [{ rate: 0 }, /"rate" is 0; it must be a number of frames a second/],
    [{ missing: "nan" }, /"missing" is "nan"; it must be a list of words/],
    [{ zeros: "none" }, /"zeros" is "none"; it must be "lost" or "place"/],
    [{ layout: 25 }, /"layout" is 25; it must be a built-in layout's name/],
    [{ layout: undefined }, /"layout" is missing/],
    [{ layout: "ntu24" }, /no layout "ntu24": neither built in \(ntu25, .* nor a file beside it/],
    [{ fields: undefined }, /it has neither of "fields" and "columns"/],
    [{ columns: [{ Head: [0, 1, 2] }] }, /it has both of "fields" and "columns"/],
    [{ fields: undefined, columns: [{ Head: [0, 1] }] }, /"columns" is .*it must be a list with an object/],
    [{ fields: undefined, columns: [{ Nose: [0, 1, 2] }] }, /names a joint "Nose" that layout "ntu25" has not/],
    [{ fields: undefined, columns: [{ Head: [0, 1, 2] }] }, /no columns for the joint "SpineBase"/],
    [{ fields: undefined, columns: [{ Head: [0, 1, 2] }], persons: 2 }, /"persons" goes with "fields"/],
  ] as const) {
    const spec = JSON.parse(JSON.stringify({ ...right, ...changes })) as unknown;
    assert.throws(() => parseCsvSpec(spec, "spec.json"), words);
  }
});

test("recordings of PKU-MMD without labels are whole clips or windows, to learn from", async () => {
  const line = Array.from({ length: 150 }, (_, i) => (i < 75 ? places[i] : 0)).join(" ");
  put("pku/A01N02-M.txt", `${line}\n`.repeat(40));
  const { store, remarks } = await prepared("pku-mmd", "pku");
  assert.deepEqual([store.length, store.facts(0).label, store.facts(0).subject], [1, -1, 2]);
  assert.equal(store.read(0).frames, 40);
  assert.match(remarks[0], /recordings without labels, .* --labels FOLDER cuts them into actions: A01N02-M\.txt/);
  const windows = await prepared("pku-mmd", "pku", { window: "20", hop: "10" });
  assert.equal(windows.store.length, 3);
});
