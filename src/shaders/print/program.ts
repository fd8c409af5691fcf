/**
 * Kernels of the compiler as WGSL programs. Independent elementwise and reduction kernels may share one program: each
 * takes a range of the workgroups.
 */
import { withUnspelled } from "./types.ts";
import type { Kernel, LoopKernel, MatmulKernel, ReduceKernel } from "../../compiler/kernels.ts";
import type { Node } from "../../tensor/node.ts";
import type { AdapterProfile } from "../kernel.ts";
import type { MatmulTile } from "../matmul/product.ts";
import { BindingTable } from "./bindings.ts";
import type { MemoryOf, SpotsOf } from "./bindings.ts";
import { helperText } from "./helpers.ts";
import { printLoop } from "./loop.ts";
import { printMatmul, printMatmulGroup } from "./matmul.ts";
import { planReduce, printReduce } from "./reduce.ts";
import type { ReducePlan } from "./reduce.ts";
import { MAX_WORKGROUPS } from "../kernel.ts";

/** A buffer a program binds: a node's memory, or the parameter buffer. */
type ProgramBinding =
  | { readonly node: Node; readonly access: "read" | "read_write" }
  | { readonly node: "parameters"; readonly access: "read" };

interface Program {
  readonly name: string;
  readonly wgsl: string;
  readonly bindings: readonly ProgramBinding[];
  readonly workgroups: readonly [number, number, number];
}

/** One kernel's part of a shared program. */
interface DispatchMember {
  readonly kernel: LoopKernel | ReduceKernel;
  readonly reduce?: ReducePlan;
  readonly workgroups: number;
}

/** Invocations in a workgroup of elementwise and reduction programs. */
const WORKGROUP = 64;

/** Elements an invocation of an elementwise kernel computes at once. */
function loopLanes(size: number): 1 | 4 {
  return size % 4 === 0 ? 4 : 1;
}

export function memberOf(kernel: LoopKernel | ReduceKernel, profile: AdapterProfile): DispatchMember {
  if (kernel.kind === "loop") {
    return { kernel, workgroups: Math.ceil(kernel.size / loopLanes(kernel.size) / WORKGROUP) };
  }
  const reduce = planReduce(kernel, profile, WORKGROUP);
  return { kernel, reduce, workgroups: Math.ceil(reduce.units / reduce.unitsPerWorkgroup) };
}

/** A program that runs the members side by side. */
export function printMembers(name: string, members: readonly DispatchMember[], memoryOf: MemoryOf): Program {
  return settle((bindings) => {
    const helpers = new Set<string>();
    const shared = new Set<string>();
    const total = members.reduce((sum, s) => sum + s.workgroups, 0);
    const [x, y] = grid(total);
    const body: string[] = [
      `let workgroup = i32(workgroup_id.y) * ${x} + i32(workgroup_id.x);`,
      "let local = i32(local_index);",
    ];
    let first = 0;
    members.forEach((member, k) => {
      const origin = first === 0 ? "workgroup" : `(workgroup - ${first})`;
      const place = { bindings, workgroup: origin, workgroupSize: WORKGROUP, prefix: `s${k}_` };
      const part =
        member.kernel.kind === "loop"
          ? printLoop(member.kernel, place)
          : printReduce(member.kernel, member.reduce!, place);
      const { lines } = part;
      for (const helper of part.helpers) helpers.add(helper);
      for (const declaration of part.shared) shared.add(declaration);
      first += member.workgroups;
      if (members.length === 1) body.push(...lines);
      else {
        body.push(
          k === 0
            ? `if (workgroup < ${first}) {`
            : k === members.length - 1
              ? "} else {"
              : `} else if (workgroup < ${first}) {`,
        );
        body.push(...lines.map((l) => `  ${l}`));
      }
    });
    if (members.length > 1) body.push("}");
    const wgsl = [
      bindings.usesHalf ? "enable f16;" : "",
      bindings.declarations(),
      ...[...shared],
      ...[...helpers].map(helperText),
      `@compute @workgroup_size(${WORKGROUP})`,
      "fn main(@builtin(workgroup_id) workgroup_id: vec3<u32>, @builtin(local_invocation_index) local_index: u32) {",
      ...body.map((l) => `  ${l}`),
      "}",
    ]
      .filter((l) => l !== "")
      .join("\n");
    return { name, wgsl, workgroups: [x, y, 1] };
  }, memoryOf);
}

/** A program for a matrix product with its prologue and epilogue. */
export function printMatmulProgram(
  name: string,
  kernel: MatmulKernel,
  tile: MatmulTile | undefined,
  profile: AdapterProfile,
  memoryOf: MemoryOf,
): Program {
  return settle((bindings) => ({ name, ...printMatmul(name, kernel, tile, profile, bindings) }), memoryOf);
}

/** A program for several products that may share a dispatch (see `sharingKey`). */
export function printMatmulsProgram(
  name: string,
  kernels: readonly MatmulKernel[],
  tiles: readonly (MatmulTile | undefined)[],
  profile: AdapterProfile,
  memoryOf: MemoryOf,
): Program {
  return settle((bindings) => ({ name, ...printMatmulGroup(name, kernels, tiles, profile, bindings, grid) }), memoryOf);
}

/** Prints, and prints again where a buffer turned out to be accessed both in elements and in vec4s. */
export function settle(
  print: (bindings: BindingTable) => Omit<Program, "bindings">,
  memoryOf: MemoryOf,
  spotsOf?: SpotsOf,
  inElements: ReadonlySet<Node> = new Set(),
): Program & { readonly mixed: ReadonlySet<Node> } {
  let mixed = inElements;
  for (;;) {
    const bindings = new BindingTable(memoryOf, mixed, spotsOf);
    const program = print(bindings);
    const conflicts = bindings.conflicts();
    if (conflicts.size > 0) {
      mixed = new Set([...mixed, ...conflicts]);
      continue;
    }
    const list: ProgramBinding[] = bindings.buffers.map((b) => ({
      node: b.node,
      access: b.written ? "read_write" : "read",
    }));
    if (bindings.usesParameters) list.push({ node: "parameters", access: "read" });
    return { ...program, wgsl: withUnspelled(program.wgsl), bindings: list, mixed };
  }
}

/** Workgroups along x and y for a total that may exceed one dimension. */
export function grid(total: number): [number, number] {
  if (total <= MAX_WORKGROUPS) return [Math.max(1, total), 1];
  const y = Math.ceil(total / MAX_WORKGROUPS);
  return [Math.ceil(total / y), y];
}

/** A short name for HICO_DEBUG and errors: what the kernel computes. */
export function describeKernel(kernel: Kernel): string {
  switch (kernel.kind) {
    case "loop":
      return `elementwise ${kernel.size}`;
    case "reduce":
      return `reduce ${kernel.rows}x${kernel.columns}`;
    case "matmul":
      return `matmul ${kernel.batch > 1 ? `${kernel.batch}x` : ""}${kernel.m}x${kernel.n}x${kernel.k}`;
    case "fused":
      return kernel.fused.name;
  }
}
