/**
 * A loop over time as one kernel: a workgroup runs all steps for rows of its own, with barriers between kernels.
 *
 * What a step makes lies in memory that no other workgroup reads, so workgroups need not wait for each other
 * (persistent kernels: Diamos et al., "Persistent RNNs", ICML 2016). The kernels of the body are printed as they are for
 * dispatches of their own, over the rows of a workgroup instead of all.
 */
import { rowCounter } from "../../compiler/row-local.ts";
import type { Kernel, MatmulKernel } from "../../compiler/kernels.ts";
import type { Node } from "../../tensor/node.ts";
import type { AdapterProfile } from "../kernel.ts";
import { ownTile } from "../matmul/choice.ts";
import type { MatmulTile } from "../matmul/product.ts";
import type { SpotsOf } from "./bindings.ts";
import { helperText } from "./helpers.ts";
import type { OwnRows, PartPlace, PrintedPart } from "./loop.ts";
import { printLoop } from "./loop.ts";
import type { OwnProduct } from "./matmul.ts";
import { ownProblem, printProduct } from "./matmul.ts";
import { settle } from "./program.ts";
import { planReduce, printReduce } from "./reduce.ts";

/** A body that is run row by row. */
interface PersistentLoop {
  readonly name: string;
  readonly reverse: boolean;
  readonly rows: number;
  /** Kernels of one entry do not wait for each other. */
  readonly stages: readonly (readonly Kernel[])[];
  /** Offsets may use the names of `LOOP_NAMES`. */
  readonly spotsOf: SpotsOf;
  /** Units of spots that do not begin at multiples of four elements. */
  readonly inElements: ReadonlySet<Node>;
}

/** Names of i32 values in the kernel: the workgroup's number, the step's time, and which half of a carry is read. */
export const LOOP_NAMES = { workgroup: "workgroup", time: "loop_time", half: "loop_half" } as const;

const NAMES = Object.values(LOOP_NAMES);
const PARAMETERS = NAMES.map((name) => `, ${name}: i32`).join("");
const ARGS = NAMES.map((name) => `, ${name}`).join("");

/** Workgroups that keep a few cores busy, and invocations that fill two SIMD registers, on a software driver. */
const CPU_WORKGROUPS = 4;
const CPU_INVOCATIONS = 8;
const CPU_ROWS = 16;
/** Few rows on a GPU: many workgroups hide latency. */
const GPU_ROWS = 4;
const GPU_INVOCATIONS = 256;

interface Division {
  readonly own: OwnRows;
  readonly invocations: number;
}

/** How rows are dealt out to workgroups: tiles of equal size, 9 and 8 of 17. */
export function divideRows(rows: number, profile: AdapterProfile): Division {
  const cpu = profile.kind === "cpu";
  const most = cpu ? Math.max(4, Math.min(CPU_ROWS, Math.ceil(rows / CPU_WORKGROUPS))) : GPU_ROWS;
  return {
    own: { total: rows, each: Math.ceil(rows / Math.ceil(rows / most)) },
    invocations: Math.min(profile.maxInvocations, cpu ? CPU_INVOCATIONS : GPU_INVOCATIONS),
  };
}

/** Steps that a product's tile is chosen for; the text is the same for any number of them. */
const USUAL_STEPS = 32;

/** The kernel; the number of steps is in a buffer of its own, which is bound last. */
export function printPersistent(loop: PersistentLoop, profile: AdapterProfile): ReturnType<typeof settle> {
  const { name, reverse, rows, stages, spotsOf, inElements } = loop;
  const { own, invocations } = divideRows(rows, profile);
  return settle(
    (bindings) => {
      const helpers = new Set<string>();
      const declarations = new Set<string>();
      const functions: string[] = [];
      const body: string[] = [];
      let number = 0;
      for (const stage of stages) {
        for (const kernel of stage) {
          const prefix = `s${number++}_`;
          const place = { bindings, workgroup: LOOP_NAMES.workgroup, workgroupSize: invocations, prefix, own };
          let part: PrintedPart;
          if (kernel.kind === "matmul") {
            const product: OwnProduct = {
              rows: own,
              axis: rowCounter(kernel, rows)!.name === "b" ? "b" : "m",
              parameters: PARAMETERS,
              args: ARGS,
            };
            const tile = ownTile(ownProblem(kernel, product), invocations, USUAL_STEPS, profile);
            part = productPart(name, kernel, product, tile, profile, place, functions);
          } else if (kernel.kind === "loop") part = printLoop(kernel, place);
          else if (kernel.kind === "reduce")
            part = printReduce(kernel, planReduce(kernel, profile, invocations, own), place);
          else throw new Error("internal: a fused kernel in a persistent loop");
          for (const helper of part.helpers) helpers.add(helper);
          for (const declaration of part.shared) declarations.add(declaration);
          body.push("{", ...part.lines.map((l) => `  ${l}`), "}");
        }
        body.push("storageBarrier();");
      }
      const wgsl = [
        bindings.declarations(),
        `@group(0) @binding(${bindings.buffers.length}) var<storage, read> loop_steps: array<i32>;`,
        ...declarations,
        ...[...helpers].map(helperText),
        ...functions,
        `@compute @workgroup_size(${invocations})`,
        "fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {",
        `  let ${LOOP_NAMES.workgroup} = i32(workgroup_id.x);`,
        "  let local = i32(local_index);",
        "  let steps = loop_steps[0];",
        "  for (var loop_step = 0; loop_step < steps; loop_step++) {",
        `    let ${LOOP_NAMES.time} = ${reverse ? "steps - 1 - loop_step" : "loop_step"};`,
        `    let ${LOOP_NAMES.half} = loop_step & 1;`,
        ...body.map((l) => `    ${l}`),
        "  }",
        "}",
      ]
        .filter((l) => l !== "")
        .join("\n");
      return { name, wgsl, workgroups: [Math.ceil(rows / own.each), 1, 1] };
    },
    (node) => node,
    spotsOf,
    inElements,
  );
}

/** A product of the workgroup's rows, block after block. */
function productPart(
  name: string,
  kernel: MatmulKernel,
  own: OwnProduct,
  tile: MatmulTile,
  profile: AdapterProfile,
  { bindings, prefix }: PartPlace,
  functions: string[],
): PrintedPart {
  const helpers = new Set<string>();
  const { text, functions: called } = printProduct(name, kernel, tile, profile, bindings, helpers, prefix, own);
  const [x, y] = text.workgroups;
  if (!text.parts || text.parts.sharedVectors > 0) throw new Error("internal: a tile that needs barriers of its own");
  functions.push(
    ...called,
    `// ${text.parts.title}`,
    `fn ${prefix}main(mm_group: vec3<u32>, mm_index: u32${PARAMETERS}) {`,
    ...text.parts.body.map((line) => `  ${line}`),
    "}",
  );
  const call = (block: string): string => `${prefix}main(vec3<u32>(${block}, 0u, 0u), local_index${ARGS});`;
  const lines =
    x * y === 1 ? [call("0u")] : [`for (var block = 0u; block < ${x * y}u; block++) {`, `  ${call("block")}`, "}"];
  if (y > 1) throw new Error("internal: more blocks than one dimension holds");
  return { lines, helpers, shared: new Set() };
}
