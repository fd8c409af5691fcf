/**
 * The package from outside: every code block of README and docs and every example is type-checked and run in a project
 * that has nothing but the tarball, and every name that the pages promise is exported and described.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { compileProject, emptyProject, link, NAME, root, STRICT } from "./installed.ts";
import { misquoted, samplesOf } from "./samples.ts";
import type { Sample } from "./samples.ts";
import { surfaceOf, undescribed, unkept } from "./surface.ts";

const text = (file: string): string => readFileSync(join(root, file), "utf8");
/** README and every page below docs. */
const pages = [
  "README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md") && !file.startsWith("api"))
    .map((file) => `docs/${file.replaceAll("\\", "/")}`)
    .sort(),
];
/** Pages about the inside of the package: what they name need not be exported. */
const INSIDE = /docs\/(design|performance|benchmarks|adding-an-op|adding-a-fused-op|wgsl|ops)\.md/;

let project: string;
let surface: ReturnType<typeof surfaceOf>;
before(() => {
  project = emptyProject();
  link(project, "@types/node");
  // Samples of hico-webgpu/testing draw with it.
  link(project, "fast-check");
  surface = surfaceOf(join(project, "node_modules", NAME));
});
after(() => rmSync(project, { recursive: true, force: true }));

const folderOf = (page: string): string => page.replace(/\.md$/, "").replaceAll("/", "-").toLowerCase();
const environment = { ...process.env, NO_COLOR: "1", HICO_DEVICE: "cpu" };

/** Puts programs into the project, compiles them all, and says what TypeScript finds. */
function compile(files: ReadonlyMap<string, string>, folder: string): string[] {
  for (const [file, source] of files) {
    const path = join(project, folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, source);
  }
  const options = { ...STRICT, rootDir: folder, outDir: `${folder}-out`, moduleDetection: "force" };
  return compileProject(project, options, [folder]);
}

async function run(file: string, more: Record<string, string> = {}): Promise<string> {
  const options = { cwd: project, env: { ...environment, ...more }, timeout: 600_000, maxBuffer: 2 ** 26 };
  return (await promisify(execFile)(process.execPath, [join(project, file)], options)).stdout;
}

const programs = (samples: readonly Sample[]): Sample[] => samples.filter((sample) => sample.excerpt === undefined);

/** What is wrong with the samples of some pages: type errors, failures, and output that is not as printed. */
async function faults(samples: readonly Sample[], folder: string): Promise<string[]> {
  const place = ({ page, file }: Sample): string => join(folderOf(page), file);
  const sources = new Map(programs(samples).map((sample) => [place(sample), sample.source]));
  const wrong = compile(sources, folder);
  if (wrong.length > 0) return wrong;
  const found: string[] = [];
  for (const sample of programs(samples).filter((one) => one.notRun === undefined)) {
    const where = `${sample.page}:${sample.line}`;
    try {
      const compiled = join(`${folder}-out`, place(sample).replace(/\.ts$/, ".js"));
      const printed = await run(compiled, sample.device ? { HICO_DEVICE: sample.device } : {});
      if (sample.output !== undefined && printed.trim() !== sample.output.trim()) {
        found.push(`${where}: prints\n${printed}\nand not\n${sample.output}`);
      }
    } catch (error) {
      found.push(`${where}: ${(error as { stderr?: string }).stderr ?? error}`);
    }
  }
  return found;
}

describe("README and docs", () => {
  test("every code block compiles in a strict project and runs", async () => {
    const samples = pages.flatMap((page) => samplesOf(page, text(page)));
    assert.ok(programs(samples).length > 0);
    assert.deepEqual(await faults(samples, "samples"), []);
  });

  test("what a page quotes stands in the source", () => {
    const samples = pages.flatMap((page) => samplesOf(page, text(page)));
    const quotes = samples.filter((sample) => sample.excerpt !== undefined);
    assert.deepEqual(
      quotes.flatMap((sample) => misquoted(sample, text(sample.excerpt!))),
      [],
    );
  });

  test("what a page promises is exported", () => {
    const broken = pages.filter((page) => !INSIDE.test(page)).flatMap((page) => unkept(page, text(page), surface));
    assert.deepEqual(broken, []);
  });

  test("every exported name is described, every method and parameter, and the shapes of tensors", () => {
    assert.deepEqual(undescribed(surface), []);
  });
});

/** The result that an example's first comment states: `Result: NAME >= NUMBER`. */
const stated = (source: string): RegExpMatchArray | null =>
  /\/\*\*[\s\S]*?\*\//.exec(source)?.[0].match(/Result: (.+?) (>=|<=) ([-\d.e]+)/) ?? null;

/** What is wrong with what an example printed: the last number after the result's name must keep to it. */
function missed(name: string, source: string, printed: string): string | undefined {
  const result = stated(source);
  if (!result) return `${name}: its first comment states no "Result: NAME >= NUMBER"`;
  const [, what, relation, bound] = result;
  const line = printed.split("\n").findLast((one) => one.includes(`${what} `) || one.includes(`${what}:`));
  const value = Number(line?.slice(line.lastIndexOf(what) + what.length).match(/-?\d[\d.]*(?:e-?\d+)?/)?.[0] ?? NaN);
  if (relation === ">=" ? value >= Number(bound) : value <= Number(bound)) return undefined;
  return `${name}: states ${result[0]}, and prints ${line ?? "no such line"}`;
}

describe("examples", () => {
  const names = readdirSync(join(root, "examples")).filter((name) =>
    existsSync(join(root, "examples", name, "main.ts")),
  );

  test("every example compiles, runs with one command and reaches its result", {
    skip: names.length === 0 && "there is none",
  }, async () => {
    const sources = new Map<string, string>();
    for (const name of names) {
      for (const file of readdirSync(join(root, "examples", name)).filter((one) => one.endsWith(".ts"))) {
        sources.set(join(name, file), text(`examples/${name}/${file}`));
      }
      // What lies beside a program lies beside its compiled form.
      cpSync(join(root, "examples", name), join(project, "examples-out", name), { recursive: true });
    }
    for (const source of sources.values()) {
      for (const [, wanted] of source.matchAll(/from "(?!node:)((?:@[\w.-]+\/)?[\w.-]+)[^"]*"/g)) {
        if (!wanted.startsWith(".") && wanted !== NAME) link(project, wanted);
      }
    }
    assert.deepEqual(compile(sources, "examples"), []);
    const wrong: string[] = [];
    for (const name of names) {
      const source = sources.get(join(name, "main.ts"))!;
      assert.ok(source.split("\n").length <= 81, `examples/${name}/main.ts has more than 80 lines`);
      const fault = missed(name, source, await run(join("examples-out", name, "main.js")));
      if (fault) wrong.push(fault);
    }
    assert.deepEqual(wrong, []);
  });

  test("a result that is not reached is found", () => {
    const source = "/**\n * Digits.\n *\n * Result: accuracy >= 0.9\n */\n";
    assert.equal(missed("digits", source, "loss 2\naccuracy 0.95\n"), undefined);
    assert.match(missed("digits", source, "accuracy 0.95\naccuracy 0.5\n")!, /states .* and prints accuracy 0.5/);
    assert.match(missed("digits", source, "loss 2\n")!, /no such line/);
    assert.match(missed("digits", "/** Digits. */", "accuracy 1")!, /states no/);
  });
});

describe("what is planted is found", () => {
  const fence = (words: string, source: string): string => `\`\`\`${words}\n${source}\n\`\`\`\n`;

  test("a wrong sample: of wrong types, that throws, that prints something else", async () => {
    const importing = `import { tensor } from "${NAME}";\n`;
    const page = (source: string, more = ""): Sample[] =>
      samplesOf("planted.md", fence("ts", importing + source) + more);
    const find = async (samples: Sample[], folder: string): Promise<string> =>
      (await faults(samples, folder)).join("\n");
    assert.match(await find(page('tensor("three");'), "planted-types"), /TS2345/);
    const throwing = page("tensor([1, 2]).reshape([3]);").map((sample) => ({ ...sample, page: "throws.md" }));
    const [wrong] = page("console.log(await tensor([2]).item());", fence("text output", "3"));
    const right = { ...wrong, page: "right.md", output: "2" };
    const found = await find([...throwing, wrong, right], "planted");
    assert.match(found, /throws\.md:1: [\s\S]*reshape/);
    assert.match(found, /planted\.md:1: prints\n2\n\nand not\n3/);
    assert.doesNotMatch(found, /right\.md/);
  });

  test("fences that mean nothing, reasons left out, quotations of what is not there", () => {
    assert.throws(() => samplesOf("p.md", fence("ts norun", "1")), /p\.md:1: ```ts norun means nothing/);
    assert.throws(() => samplesOf("p.md", fence("ts no-run", "1")), /say why/);
    assert.throws(() => samplesOf("p.md", fence("js", "1")), /shown as ```ts/);
    assert.throws(() => samplesOf("p.md", fence("ts continued", "1")), /no block that this one continues/);
    assert.throws(() => samplesOf("p.md", "```ts\n1"), /has no end/);
    const [whole] = samplesOf("p.md", fence("ts file=a.ts", "const a = 1;") + fence("ts continued", "a;"));
    assert.deepEqual([whole.file, whole.source], ["a.ts", "const a = 1;\na;\n"]);
    const [quote] = samplesOf("p.md", fence("ts excerpt=src/a.ts", "  const a = 1;\nconst b = 2;"));
    assert.deepEqual(misquoted(quote, "const a = 1;\n"), ['p.md:1: src/a.ts has no line "const b = 2;"']);
  });

  test("a name that is not exported, one that is not described, a parameter without a meaning", () => {
    const row = "| import | holds |\n|---|---|\n| `hico-webgpu/nn` | `Linear`, `Quadratic` |\n";
    assert.deepEqual(unkept("p.md", row, surface), [
      "p.md: hico-webgpu/nn is said to hold Quadratic, which it does not export",
    ]);
    assert.deepEqual(unkept("p.md", "| `hico-webgpu/none` | `Linear` |\n", surface), [
      "p.md: there is no entry hico-webgpu/none",
    ]);
    assert.deepEqual(unkept("p.md", "`tensor([1]).nothing()`, `x.matmul(y)`, `gradcheque(f)`", surface), [
      "p.md: `gradcheque(…)` is exported from nowhere",
    ]);
    const home = join(project, "planted-package");
    mkdirSync(home, { recursive: true });
    writeFileSync(join(home, "package.json"), '{"name":"p","exports":{".":{"types":"./i.d.ts"}}}');
    writeFileSync(join(home, "i.d.ts"), "/** Said. */\nexport declare const a: 1;\nexport declare const b: 2;\n");
    assert.deepEqual(undescribed(surfaceOf(home)), ["p: b (i.d.ts) has no description"]);
    const shapes =
      "/** A tensor. */\nexport declare class Tensor {\n/** Its size. */\nsize(): number;\nranks(): number;\n}\n" +
      "/** Doubles x. */\nexport declare function twice(x: Tensor): Tensor;\n" +
      "/** Doubles x, of any shape. */\nexport declare function double(x: Tensor): Tensor;\n";
    writeFileSync(join(home, "i.d.ts"), shapes);
    assert.deepEqual(undescribed(surfaceOf(home)), [
      "p: twice() takes or gives tensors and says nothing of their shapes (i.d.ts)",
      "p: Tensor.ranks() has no description (i.d.ts)",
    ]);
    const parameters =
      "/** How far to go. */\nexport interface Reach { metres: number }\n" +
      "/** Goes from one end by steps. */\n" +
      "export declare function walk(step: number, from: number, reach: Reach, pace: number): void;\n" +
      "/** Runs with its `runners`. @param at when it starts */\n" +
      "export declare function run(runners: string[], at: number): void;\n" +
      "/** A race. */\nexport declare class Race {\n/** @param laps at most */\n" +
      "constructor(laps: number, name: string);\n/** Waits. */\nwait(untilDark: boolean): void;\n" +
      "/** Rests until dark. */\nrest(untilDark: boolean): void;\n" +
      "/** Opens one. */\nstatic open(path: string): Race;\n}\n";
    writeFileSync(join(home, "i.d.ts"), parameters);
    assert.deepEqual(undescribed(surfaceOf(home)), [
      "p: walk(from) is neither described nor named (i.d.ts)",
      "p: walk(pace) is neither described nor named (i.d.ts)",
      "p: new Race(name) is neither described nor named (i.d.ts)",
      "p: Race.wait(untilDark) is neither described nor named (i.d.ts)",
      "p: Race.open(path) is neither described nor named (i.d.ts)",
    ]);
  });
});
