/**
 * Times of the attention and InfoNCE kernels, against the same computed as matmuls and row kernels, in one run.
 *
 *   node --import tsx bench/attention-kernels.ts [--cases attention-32,infonce-2048] [--runs N] [--profile cpu|gpu]
 *   npx deno run -A --unstable-webgpu bench/attention-kernels.ts
 *
 * All variants of a case run in turn, `--runs` times over, and the best of each counts: other work on the machine hits
 * all alike. `cpu` is the processor time this process took for a run (a software driver's threads are its own), which
 * a busy machine disturbs less than `wall`. The plain attention keeps the probabilities that its forward made for its
 * backward; it uses the library's own matmul with the tile the library would choose.
 */
import process from "node:process";
import { attentionBackward, attentionForward } from "../src/shaders/attention/attention.ts";
import {
  attentionBackwardInputs,
  attentionBackwardOutputs,
  attentionForwardInputs,
  attentionForwardOutputs,
} from "../src/shaders/attention/attention.ts";
import type { AttentionSpec } from "../src/shaders/attention/attention.ts";
import {
  infoNceBackwardInputs,
  infoNceBackwardOutputs,
  infoNceForwardInputs,
  infoNceForwardOutputs,
} from "../src/specs/info-nce.ts";
import { infoNceBackward, infoNceForward } from "../src/shaders/info-nce/info-nce.ts";
import type { InfoNceSpec } from "../src/specs/info-nce.ts";
import type { AdapterProfile, Binding, KernelSource, Lowering } from "../src/shaders/kernel.ts";
import type { ValueSpec } from "../src/tensor/fused.ts";
import { chooseTile, emitMatmul } from "../src/shaders/matmul/matmul.ts";
import type { MatmulOperand } from "../src/shaders/matmul/product.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { LoadedLowering, openRunner, testProfile } from "../test/shaders/lowering-runner.ts";
import { seededRandom } from "../test/support/draw.ts";

/** One row of the table: a lowering, its operands, and the multiply-adds it cannot do without. */
interface Variant {
  readonly name: string;
  readonly lowering: Lowering;
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  readonly multiplyAdds: number;
}

type Role = Omit<Binding, "access"> & { readonly name: string };

function kernelOf(
  name: string,
  buffers: readonly Role[],
  written: string,
  make: (declarations: string) => { wgsl: string; workgroups: readonly [number, number, number] },
): KernelSource {
  const bindings = buffers.map(
    ({ role, index, name: buffer }): Binding => ({ role, index, access: buffer === written ? "read_write" : "read" }),
  );
  const declarations = buffers
    .map(
      ({ name: buffer }, i) =>
        `@group(0) @binding(${i}) var<storage, ${bindings[i].access}> ${buffer}: array<vec4<f32>>;\n`,
    )
    .join("");
  return { name, bindings, ...make(declarations) };
}

/** Attention on plain parts; T, D multiples of 4, operands apart. */
class PlainAttention {
  private readonly spec: AttentionSpec;
  private readonly profile: AdapterProfile;

  constructor(spec: AttentionSpec, profile: AdapterProfile) {
    this.spec = spec;
    this.profile = profile;
  }

  /** Reads [B, T, H, D] for batch b·H + h: along D it is `k`, else `outer`. */
  private rows(buffer: string, along: "k" | "outer"): MatmulOperand {
    const { heads, dim, queries } = this.spec;
    const at = (batch: string, row: string, d: string): string =>
      `(((${batch}) / ${heads} * ${queries} + ${row}) * ${heads} + (${batch}) % ${heads}) * ${dim} + ${d}`;
    const place = (batch: string, outer: string, k: string): string =>
      along === "k" ? at(batch, outer, k) : at(batch, k, outer);
    return this.operand(buffer, along, place);
  }

  /** Reads [B·H, T, T] along its last axis, which is k, or outer when transposed. */
  private scores(buffer: string, along: "k" | "outer"): MatmulOperand {
    const { queries, keys } = this.spec;
    return this.operand(buffer, along, (batch, outer, k) => {
      const [row, column] = along === "k" ? [outer, k] : [k, outer];
      return `((${batch}) * ${queries} + ${row}) * ${keys} + ${column}`;
    });
  }

  private operand(
    buffer: string,
    vectorAxis: "k" | "outer",
    place: (batch: string, outer: string, k: string) => string,
  ): MatmulOperand {
    return {
      vectorAxis,
      load: (batch, outer, k) => `${buffer}[(${place(batch, outer, k)}) >> 2u][(${place(batch, outer, k)}) & 3]`,
      load4: (batch, outer, k) => `${buffer}[(${place(batch, outer, k)}) >> 2u]`,
    };
  }

  private product(
    name: string,
    buffers: readonly Role[],
    a: MatmulOperand,
    b: MatmulOperand,
    n: number,
    k: number,
    scaled = false,
  ): KernelSource {
    const { batch, heads, queries, dim, scale } = this.spec;
    const written = buffers[buffers.length - 1].name;
    return kernelOf(name, buffers, written, (declarations) => {
      const store4 = (group: string, m: string, column: string, value: string): string => {
        const row =
          n === dim
            ? `((${group}) / ${heads} * ${queries} + ${m}) * ${heads} + (${group}) % ${heads}`
            : `(${group}) * ${queries} + ${m}`;
        return `${written}[((${row}) * ${n} + ${column}) >> 2u] = ${value}${scaled ? ` * ${scale}` : ""};`;
      };
      const problem = { batch: batch * heads, m: queries, n, k, a, b };
      return emitMatmul(
        { ...problem, name, declarations, storeVector: true, store: () => "", store4 },
        chooseTile(problem, this.profile),
        this.profile,
      );
    });
  }

  private rowKernel(name: string, buffers: readonly Role[], body: string): KernelSource {
    const { batch, heads, queries, keys } = this.spec;
    const total = batch * heads * queries;
    return kernelOf(name, buffers, buffers[buffers.length - 1].name, (declarations) => ({
      workgroups: [Math.ceil(total / 64), 1, 1],
      wgsl: `${declarations}
@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
if (id.x >= ${total}u) { return; }
let first = i32(id.x) * ${keys / 4};
let end = first + ${keys / 4};
${body}}
`,
    }));
  }

  forward(): Variant {
    const { batch, heads, queries, keys, dim } = this.spec;
    const [q, k, v] = ["q", "k", "v"].map((name, index): Role => ({ role: "in", index, name }));
    const out: Role = { role: "out", index: 0, name: "result" };
    const p: Role = { role: "out", index: 1, name: "p" };
    return {
      name: "forward, plain",
      inputs: attentionForwardInputs(this.spec),
      outputs: [attentionForwardOutputs(this.spec)[0], { shape: [batch, heads, queries, keys], dtype: "f32" }],
      multiplyAdds: 2 * batch * heads * queries * keys * dim,
      lowering: {
        scratch: [],
        kernels: [
          this.product("scores", [q, k, p], this.rows("q", "k"), this.rows("k", "k"), keys, dim, true),
          this.rowKernel(
            "softmax",
            [p],
            `
var top = vec4<f32>(-3.4e38);
for (var i = first; i < end; i++) { top = max(top, p[i]); }
let m = max(max(top.x, top.y), max(top.z, top.w));
var sum = vec4<f32>();
for (var i = first; i < end; i++) { let e = exp(p[i] - m); sum += e; p[i] = e; }
let inverse = 1.0 / dot(sum, vec4<f32>(1.0));
for (var i = first; i < end; i++) { p[i] *= inverse; }
`,
          ),
          this.product("out", [p, v, out], this.scores("p", "k"), this.rows("v", "outer"), dim, keys),
        ],
      },
    };
  }

  backward(): Variant {
    const { batch, heads, queries, keys, dim } = this.spec;
    const [dout, q, k, v, p] = ["dout", "q", "k", "v", "p"].map((name, index): Role => ({ role: "in", index, name }));
    const result = (index: number): Role => ({ role: "out", index, name: "result" });
    const ds: Role = { role: "scratch", index: 0, name: "ds" };
    const square: ValueSpec = { shape: [batch, heads, queries, keys], dtype: "f32" };
    const [sq, sk, sv] = attentionForwardInputs(this.spec);
    return {
      name: "backward, plain",
      inputs: [sq, sq, sk, sv, square],
      outputs: attentionBackwardOutputs(this.spec),
      multiplyAdds: 4 * batch * heads * queries * keys * dim,
      lowering: {
        scratch: [square],
        kernels: [
          this.product("dv", [p, dout, result(2)], this.scores("p", "outer"), this.rows("dout", "outer"), dim, queries),
          this.product("dp", [dout, v, ds], this.rows("dout", "k"), this.rows("v", "k"), keys, dim),
          this.rowKernel(
            "softmaxBackward",
            [p, ds],
            `
var mean = 0.0;
for (var i = first; i < end; i++) { mean += dot(p[i], ds[i]); }
for (var i = first; i < end; i++) { ds[i] = p[i] * (ds[i] - mean) * ${this.spec.scale}; }
`,
          ),
          this.product("dq", [ds, k, result(0)], this.scores("ds", "k"), this.rows("k", "outer"), dim, keys),
          this.product("dk", [ds, q, result(1)], this.scores("ds", "outer"), this.rows("q", "outer"), dim, queries),
        ],
      },
    };
  }
}

function attentionCase(dim: number, steps: number, batch: number, profile: AdapterProfile): Variant[] {
  const spec: AttentionSpec = {
    batch,
    heads: 4,
    queries: steps,
    keys: steps,
    dim,
    scale: 1 / Math.sqrt(dim),
    packed: false,
    mask: false,
    keep: false,
  };
  const plain = new PlainAttention(spec, profile);
  const [forward, backward] = [plain.forward(), plain.backward()];
  return [
    forward,
    {
      ...forward,
      name: "forward, fused",
      lowering: attentionForward(spec, profile)!,
      outputs: attentionForwardOutputs(spec),
    },
    backward,
    {
      ...backward,
      name: "backward, fused",
      lowering: attentionBackward(spec, profile)!,
      inputs: attentionBackwardInputs(spec),
      outputs: attentionBackwardOutputs(spec),
    },
  ];
}

function infoNceCase(negatives: number, profile: AdapterProfile): Variant[] {
  const spec: InfoNceSpec = { rows: 64, channels: 128, positives: 1, negatives, temperature: 0.2 };
  const multiplyAdds = spec.rows * spec.channels * negatives;
  return [
    {
      name: "forward, fused",
      lowering: infoNceForward(spec, profile),
      inputs: infoNceForwardInputs(spec),
      outputs: infoNceForwardOutputs(spec),
      multiplyAdds,
    },
    {
      name: "backward, fused",
      lowering: infoNceBackward(spec, profile),
      inputs: infoNceBackwardInputs(spec),
      outputs: infoNceBackwardOutputs(spec),
      multiplyAdds: 2 * multiplyAdds,
    },
  ];
}

const CASES: Record<string, (profile: AdapterProfile) => Variant[]> = {
  "attention-32": (profile) => attentionCase(32, 64, 64, profile),
  "attention-128": (profile) => attentionCase(128, 64, 64, profile),
  "attention-long": (profile) => attentionCase(64, 512, 1, profile),
  "infonce-2048": (profile) => infoNceCase(2048, profile),
  "infonce-65536": (profile) => infoNceCase(65536, profile),
};

function option(name: string, otherwise: string): string {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
}

function processorTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function measure(title: string, variants: readonly Variant[], runs: number): Promise<void> {
  const runner = await openRunner();
  const random = seededRandom(1);
  const entries: { variant: Variant; loaded: LoadedLowering; compile: number; wall: number; cpu: number }[] = [];
  for (const variant of variants) {
    const sizes = [variant.inputs, variant.outputs].map((specs) => specs.map((s) => sizeOf(s.shape)));
    const start = processorTime();
    const loaded = await LoadedLowering.load(runner, variant.lowering, sizes[0], sizes[1]);
    loaded.write(sizes[0].map((n) => Float32Array.from({ length: n }, () => random() - 0.5)));
    await loaded.time(1);
    entries.push({ variant, loaded, compile: processorTime() - start, wall: Infinity, cpu: Infinity });
  }
  for (let run = 0; run < runs; run++) {
    for (const entry of entries) {
      const start = processorTime();
      entry.wall = Math.min(entry.wall, await entry.loaded.time(1));
      entry.cpu = Math.min(entry.cpu, processorTime() - start);
    }
  }
  for (const { variant, loaded, compile, wall, cpu } of entries) {
    const dispatches = String(variant.lowering.kernels.length).padStart(2);
    console.log(
      `${title.padEnd(15)} ${variant.name.padEnd(16)} ${dispatches} dispatches` +
        ` ${wall.toFixed(1).padStart(8)} ms wall ${cpu.toFixed(1).padStart(8)} ms cpu` +
        ` ${((2 * variant.multiplyAdds) / wall / 1e6).toFixed(1).padStart(6)} GFLOP/s` +
        ` first ${compile.toFixed(0).padStart(6)} ms cpu`,
    );
    loaded.destroy();
  }
}

const kind = option("profile", "cpu");
if (kind !== "cpu" && kind !== "gpu") throw new Error(`--profile ${kind} is not known; write cpu or gpu`);
const names = option("cases", Object.keys(CASES).join(",")).split(",");
const unknown = names.find((name) => !(name in CASES));
if (unknown !== undefined) throw new Error(`--cases: ${unknown} is not one of ${Object.keys(CASES).join(", ")}`);
console.log(`${(await openRunner()).title}, ${kind} profile`);
for (const name of names) await measure(name, CASES[name](testProfile(kind)), Number(option("runs", "5")));
process.exit(0);
