/**
 * Reductions: rows of elements combined in one or several passes, then values stored by row and by element.
 *
 * A unit is one row, or four neighbouring rows where the rows, not the columns, lie side by side in memory. On a
 * software driver an invocation does a unit on its own: barriers cost more than they save. On a GPU several
 * invocations share a unit's columns and combine their parts in workgroup memory.
 */
import type { ReduceKernel } from "../../compiler/kernels.ts";
import type { DType } from "../../tensor/dtype.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { ReduceName } from "../../tensor/node.ts";
import type { AdapterProfile } from "../kernel.ts";
import type { OwnRows, PartPlace, PrintedPart } from "./loop.ts";
import type { Printed } from "./expr.ts";
import { WgslPrinter, Block } from "./expr.ts";
import { ownLoop, ownShare } from "./loop.ts";
import { literal, registerType, typeName } from "./types.ts";

/** Elements at least that a long sum adds to a part of its own: errors grow with the parts, not with the elements. */
const SUMMED_AT_ONCE = 64;
/** The ops that reductions to an extreme repeat. */
const REPEATED = { max: "maximum", min: "minimum" } as const;

export interface ReducePlan {
  /** Which loop variable is taken in fours. */
  readonly vector: "r" | "c" | undefined;
  readonly units: number;
  readonly unitsPerWorkgroup: number;
  /** Invocations that share one unit. */
  readonly share: number;
}

/** @param own in a persistent kernel: the rows that are a workgroup's, which goes over them in turns */
export function planReduce(
  kernel: ReduceKernel,
  profile: AdapterProfile,
  workgroup: number,
  own?: OwnRows,
): ReducePlan {
  const { rows, columns, trailing } = kernel;
  const inFours = rows % 4 === 0 && (!own || ownShare(own, rows) % 4 === 0);
  const vector = trailing ? (columns % 4 === 0 ? "c" : undefined) : inFours ? "r" : undefined;
  const units = vector === "r" ? rows / 4 : rows;
  const steps = vector === "c" ? columns / 4 : columns;
  let share = 1;
  if (profile.kind === "gpu") {
    // Enough invocations to fill a GPU, each with a few steps of its own.
    while (share < workgroup && steps >= share * 8 && (trailing || units * share < 65536)) share *= 2;
  }
  // On a CPU, few units still have to keep every core busy.
  const unitsPerWorkgroup =
    profile.kind === "cpu" && !own ? Math.max(1, Math.min(workgroup, Math.ceil(units / 16))) : workgroup / share;
  return { vector, units, unitsPerWorkgroup, share };
}

export function printReduce(kernel: ReduceKernel, plan: ReducePlan, place: PartPlace): PrintedPart {
  const { bindings, workgroup, workgroupSize, prefix, own } = place;
  const [helpers, shared] = [new Set<string>(), new Set<string>()];
  const { rows, columns } = kernel;
  const { vector, units, unitsPerWorkgroup, share } = plan;
  const unit = vector === "r" ? "r4" : "r";
  const step = vector === "c" ? "c4" : "c";
  const steps = vector === "c" ? columns / 4 : columns;
  const vectorVariable =
    vector === "r"
      ? { name: "r", quarter: "r4", size: rows }
      : vector === "c"
        ? { name: "c", quarter: "c4", size: columns }
        : undefined;

  const results = new Map<number, Printed>();
  const outer = new Block(new Set([unit]), new Block(new Set()));
  const printer = new WgslPrinter(kernel.exprs, bindings, vectorVariable, results, outer, prefix, helpers);

  // Neighbouring invocations take neighbouring elements: of a row where columns are neighbours, else of several rows.
  const [part, within] =
    share === 1
      ? ["0", "local"]
      : kernel.trailing
        ? [`local % ${share}`, `local / ${share}`]
        : [`local / ${unitsPerWorkgroup}`, `local % ${unitsPerWorkgroup}`];
  const partner = (distance: number) => `local + ${kernel.trailing ? distance : distance * unitsPerWorkgroup}`;
  const base = kernel.trailing ? `(local / ${share}) * ${share}` : `local % ${unitsPerWorkgroup}`;
  const names = { place: `${prefix}place`, wanted: `${prefix}unit`, part: `${prefix}part` };
  const ownUnits = own && ownShare(own, units);
  const limit = ownUnits !== undefined ? `min(${workgroup} * ${ownUnits} + ${ownUnits}, ${units})` : `${units}`;
  outer.lines.push(`let ${unit} = min(${names.wanted}, ${own ? `${limit} - 1` : units - 1});`);

  const first = share === 1 ? "0" : names.part;
  const loop = (inner: Block) => {
    outer.lines.push(
      `for (var ${step}: i32 = ${first}; ${step} < ${steps}; ${step} = ${step} + ${share}) {`,
      ...inner.lines.map((l) => `  ${l}`),
      "}",
    );
    printer.enter(outer);
  };
  /** The same in blocks, at whose ends `sums` are added to their totals. */
  const loopInBlocks = (inner: Block, sums: readonly { total: string; part: string; zero: string }[]) => {
    const atOnce = Math.max(SUMMED_AT_ONCE, Math.ceil(Math.sqrt(steps / share)));
    const [from, span] = [`${prefix}from`, share * atOnce];
    outer.lines.push(
      `for (var ${from}: i32 = ${first}; ${from} < ${steps}; ${from} = ${from} + ${span}) {`,
      ...sums.map(({ part, zero }) => `  var ${part} = ${zero};`),
      `  for (var ${step}: i32 = ${from}; ${step} < min(${from} + ${span}, ${steps}); ${step} = ${step} + ${share}) {`,
      ...inner.lines.map((l) => `    ${l}`),
      "  }",
      ...sums.map(({ total, part }) => `  ${total} = (${total} + ${part});`),
      "}",
    );
    printer.enter(outer);
  };

  for (const accumulators of kernel.phases) {
    const inner = new Block(new Set([unit, step]), outer);
    printer.enter(inner);
    const sums: { total: string; part: string; zero: string }[] = [];
    const declared = accumulators.map((a) => {
      const dtype = a.value.dtype;
      const value = printer.print(a.value);
      const lanes: 1 | 4 = vectorVariable ? 4 : 1;
      const type = typeName(registerType(dtype), lanes);
      const name = `${prefix}a${a.number}`;
      outer.lines.push(`var ${name} = ${type}(${identity(a.name, dtype)});`);
      const operand = lanes === 4 ? printer.widen(value, dtype) : value.text;
      let into = name;
      if (a.name === "sum" && isFloat(dtype) && steps > share * 4 * SUMMED_AT_ONCE) {
        into = `${prefix}s${a.number}`;
        sums.push({ total: name, part: into, zero: `${type}(${identity(a.name, dtype)})` });
      }
      inner.lines.push(`${into} = ${combine(a.name, into, operand, dtype, lanes)};`);
      if (isFloat(dtype) && (a.name === "max" || a.name === "min")) helpers.add(REPEATED[a.name]);
      return { a, dtype, name, lanes };
    });
    if (sums.length > 0) loopInBlocks(inner, sums);
    else loop(inner);
    for (const { a, dtype, name, lanes } of declared) {
      let text = name;
      let width: 1 | 4 = lanes;
      if (vector === "c") {
        const pair = (x: string, y: string) => combine(a.name, x, y, dtype, 1);
        text = `${prefix}f${a.number}`;
        width = 1;
        outer.lines.push(`let ${text} = ${pair(pair(`${name}.x`, `${name}.y`), pair(`${name}.z`, `${name}.w`))};`);
      }
      if (share > 1) {
        const type = typeName(registerType(dtype), width);
        const array = `shared_${registerType(dtype)}_${width}`;
        shared.add(`var<workgroup> ${array}: array<${type}, ${workgroupSize}>;`);
        outer.lines.push("workgroupBarrier();", `${array}[local] = ${text};`, "workgroupBarrier();");
        for (let distance = share / 2; distance >= 1; distance /= 2) {
          outer.lines.push(
            `if (${names.part} < ${distance}) { ${array}[local] = ${combine(a.name, `${array}[local]`, `${array}[${partner(distance)}]`, dtype, width)}; }`,
            "workgroupBarrier();",
          );
        }
        const whole = `${prefix}w${a.number}`;
        outer.lines.push(`let ${whole} = ${array}[${base}];`);
        text = whole;
      } else if (text === name) {
        const whole = `${prefix}w${a.number}`;
        outer.lines.push(`let ${whole} = ${name};`);
        text = whole;
      }
      results.set(a.number, { text, lanes: width });
    }
  }

  const mine =
    share === 1 && unitsPerWorkgroup === workgroupSize
      ? `${names.wanted} < ${limit}`
      : `${names.wanted} < ${limit} && ${names.place} < ${unitsPerWorkgroup}`;

  // What elements need is read before rows are stored: a row may be stored in place.
  const values = kernel.rowStores.map((s) => printer.print(s.value));
  if (kernel.elementStores.length > 0) {
    const inner = new Block(new Set([unit, step]), outer);
    printer.enter(inner);
    const elements = kernel.elementStores.map((s) => printer.print(s.value));
    kernel.elementStores.forEach((s, k) => printer.store(s.target, s.index, elements[k], s.target.dtype));
    outer.lines.push(`if (${mine}) {`);
    loop(inner);
    outer.lines.push("}");
  }
  if (kernel.rowStores.length > 0) {
    const block = new Block(new Set([unit]), outer);
    printer.enter(block);
    kernel.rowStores.forEach((s, k) => printer.store(s.target, s.index, values[k], s.target.dtype));
    outer.lines.push(
      `if (${mine}${share > 1 ? ` && ${names.part} == 0` : ""}) {`,
      ...block.lines.map((l) => `  ${l}`),
      "}",
    );
  }

  const lines = [
    `let ${names.place} = ${within};`,
    ...(share > 1 ? [`let ${names.part} = ${part};`] : []),
    ...(ownUnits === undefined
      ? [`let ${names.wanted} = ${workgroup} * ${unitsPerWorkgroup} + ${names.place};`]
      : [
          ...ownLoop(`${prefix}base`, { workgroup, share: ownUnits, units, by: unitsPerWorkgroup }),
          `let ${names.wanted} = ${prefix}base + ${names.place};`,
        ]),
    ...outer.parent!.lines,
    ...(share === 1 ? [`if (${mine}) {`, ...outer.lines.map((l) => `  ${l}`), "}"] : outer.lines),
    ...(own ? ["}"] : []),
  ];
  return { lines, helpers, shared };
}

function identity(name: ReduceName, dtype: DType): string {
  const type = registerType(dtype);
  switch (name) {
    case "sum":
      return literal(0, dtype);
    case "prod":
      return literal(1, dtype);
    case "max":
      return type === "f32" ? literal(-Infinity, dtype) : literal(type === "i32" ? -2147483648 : 0, dtype);
    case "min":
      return type === "f32" ? literal(Infinity, dtype) : literal(type === "i32" ? 2147483647 : 4294967295, dtype);
  }
}

function combine(name: ReduceName, a: string, b: string, dtype: DType, lanes: 1 | 4): string {
  switch (name) {
    case "sum":
      return `(${a} + ${b})`;
    case "prod":
      return `(${a} * ${b})`;
    default:
      if (isFloat(dtype)) return `${REPEATED[name]}_${lanes}(${a}, ${b})`;
      return `${name}(${a}, ${b})`;
  }
}
