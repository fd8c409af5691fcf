/**
 * Random programs of statements, as people write them: tensors from host arrays that are reused, variables, operations,
 * reads in any order (awaited or not), `backward`, optimizers, averages, compiled functions.
 *
 * fast-check draws rows of small numbers; `build` turns each into a statement that makes sense where it stands, picking
 * operands among what is there. So every shortened list of rows is a program too, and failures shrink.
 */
// biome-ignore lint/suspicious/noTsIgnore: there is an error only where fast-check is not installed.
/** @ts-ignore: fast-check is an optional peer; without it these types are `any`. */
import type { Arbitrary, default as FastCheck } from "fast-check";
import { broadcast, type OpName } from "./eager.ts";
import { EVERY_REFUSAL, extra, INSIDE } from "./extras.ts";
import type { Extra } from "./kind.ts";
import { Scope } from "./scope.ts";
import type { Shape } from "./scope.ts";

/** A statement; names are those that the printed program uses. */
export type Statement =
  | { readonly kind: "host"; readonly name: string; readonly values: readonly number[] }
  | { readonly kind: "mutate"; readonly host: string; readonly index: number; readonly value: number }
  | { readonly kind: "tensor"; readonly name: string; readonly host: string; readonly shape: readonly number[] }
  | { readonly kind: "variable"; readonly name: string; readonly from: string }
  | { readonly kind: "op"; readonly name: string; readonly op: OpName; readonly inputs: readonly string[] }
  | { readonly kind: "assign"; readonly target: string; readonly value: string }
  | { readonly kind: "read"; readonly of: string; readonly awaited: boolean }
  | { readonly kind: "realize"; readonly of: string }
  | { readonly kind: "backward"; readonly of: string }
  | { readonly kind: "clear"; readonly variable: string }
  | { readonly kind: "readGrad"; readonly variable: string }
  | { readonly kind: "step"; readonly optimizer: 0 | 1 }
  | { readonly kind: "average"; readonly target: string; readonly source: string; readonly momentum: number }
  | { readonly kind: "copy"; readonly target: string; readonly source: string }
  | {
      readonly kind: "define";
      readonly name: string;
      readonly inputs: number;
      readonly body: readonly Statement[];
      readonly result: string;
    }
  | {
      readonly kind: "call";
      readonly name: string;
      readonly f: string;
      readonly inputs: readonly string[];
      readonly awaited: boolean;
      /** Whether the result is detached: one that a gradient would have flowed through cannot be differentiated. */
      readonly detached: boolean;
    }
  | { readonly kind: "fails"; readonly target: string; readonly value: string }
  | { readonly kind: "extra"; readonly extra: Extra };

export type Program = readonly Statement[];

/** The numbers a statement is built from. */
type Row = readonly [kind: number, a: number, b: number, c: number];

/** A kind of statement that `extra` draws, as all from it on. */
const EXTRA = 18;

/** Rows of 3 to 24 statements. */
export function rows(fc: typeof FastCheck): Arbitrary<Row[]> {
  const nat = fc.nat(997);
  return fc.array(fc.tuple(nat, nat, nat, nat), { minLength: 3, maxLength: 24 });
}

/** Every call that must be refused: the first program of all, as few are drawn often enough to be sure of each. */
export const refusals: Row[] = EVERY_REFUSAL.map((a, i) => [EXTRA, a, i, i]);

const SHAPES: readonly (readonly number[])[] = [[2, 3], [3], [2, 2], [3, 2], [1], []];
const UNARY: readonly OpName[] = ["tanh", "sigmoid", "square", "neg", "sum", "flatten", "detach"];
const PAIR: readonly OpName[] = ["add", "mul", "sub"];

const pick = <T>(from: readonly T[], n: number): T | undefined => (from.length ? from[n % from.length] : undefined);
const same = (a: Shape) => (b: Shape) => a.join() === b.join();
const number = (n: number): number => ((n % 41) - 20) / 10;

export function build(drawn: readonly Row[]): Program {
  const scope = new Scope();
  const program: Statement[] = [];
  const put = (...statements: (Statement | undefined)[]) => program.push(...statements.filter((s) => s !== undefined));
  put(...data(scope, 0, 5), ...data(scope, 1, 11));
  put(variableOf(scope, 0), variableOf(scope, 1));
  for (const row of drawn) put(...statement(scope, row));
  for (const name of scope.values()) put({ kind: "read", of: name, awaited: true });
  for (const name of scope.variables.keys()) put({ kind: "readGrad", variable: name });
  return program;
}

function data(scope: Scope, a: number, b: number): Statement[] {
  const shape = SHAPES[a % SHAPES.length];
  const size = shape.reduce((x, y) => x * y, 1);
  const [host, name] = [scope.fresh("h"), scope.fresh("t")];
  scope.hosts.set(host, size);
  scope.tensors.set(name, shape);
  const values = Array.from({ length: size }, (_, i) => number(b * 7 + i * 13));
  return [
    { kind: "host", name: host, values },
    { kind: "tensor", name, host, shape },
  ];
}

function variableOf(scope: Scope, a: number): Statement | undefined {
  const from = pick([...scope.tensors.keys()], a);
  if (!from) return undefined;
  const name = scope.fresh("v");
  scope.variables.set(name, scope.tensors.get(from)!);
  return { kind: "variable", name, from };
}

function operation(scope: Scope, a: number, b: number, c: number): Statement | undefined {
  const first = pick(scope.values(), b)!;
  const shape = scope.shapeOf(first);
  const make = (op: OpName, inputs: readonly string[], result: Shape): Statement => {
    const name = scope.made("t", result, op === "detach" ? [] : inputs);
    return { kind: "op", name, op, inputs };
  };
  if (a % 3 === 0) {
    const op = pick(UNARY, c)!;
    const size = shape.reduce((x, y) => x * y, 1);
    return make(op, [first], op === "sum" ? [] : op === "flatten" ? [size] : shape);
  }
  if (a % 7 === 1 && shape.length === 2) {
    const second = pick(
      scope.values((s) => s.length === 2 && s[0] === shape[1]),
      c,
    );
    if (second) return make("matmul", [first, second], [shape[0], scope.shapeOf(second)[1]]);
    return make("transpose", [first], [shape[1], shape[0]]);
  }
  const second = pick(
    scope.values((s) => broadcast(shape, s) !== undefined),
    c,
  )!;
  return make(pick(PAIR, a)!, [first, second], broadcast(shape, scope.shapeOf(second))!);
}

function assignment(scope: Scope, a: number, b: number): { target: string; value: string } | undefined {
  const target = pick([...scope.variables.keys()], a);
  if (!target) return undefined;
  const value = pick(scope.values(same(scope.variables.get(target)!)), b);
  return value ? { target, value } : undefined;
}

/** A compiled function of one or two inputs: operations, and often an update of a variable. */
function definition(scope: Scope, a: number, b: number, c: number): Statement {
  const inner = new Scope();
  const shapes = [SHAPES[b % SHAPES.length], SHAPES[c % SHAPES.length]].slice(0, 1 + (a % 2));
  shapes.forEach((shape, i) => {
    inner.tensors.set(`a${i}`, shape);
  });
  for (const [name, shape] of scope.variables) inner.variables.set(name, shape);
  const body: Statement[] = [];
  const grow = (n: number) => {
    const made = operation(inner, a + n, b + 5 * n, c + 3 * n);
    if (made) body.push(made);
  };
  grow(0);
  grow(1);
  const more = (a + b + c) % 3 === 0 ? extra(inner, INSIDE, b, a, c) : undefined;
  if (more) body.push(more);
  const assigned = assignment(inner, b, c);
  if (assigned && a % 5 < 3) body.push({ kind: "assign", ...assigned });
  const loss = [...inner.leads].at(-1);
  if (a % 5 > 1 && loss) {
    const clears = [...inner.variables.keys()].map((variable): Statement => ({ kind: "clear", variable }));
    // Seldom it leaves gradients behind, or finds some.
    if (c % 9 !== 4) body.push(...clears);
    body.push({ kind: "backward", of: loss }, { kind: "step", optimizer: (b % 2) as 0 | 1 });
    if (c % 9 !== 7) body.push(...clears);
  }
  if (c % 2) grow(2);
  const result = [...inner.tensors.keys()].at(-1)!;
  const name = scope.fresh("f");
  scope.functions.set(name, { shapes, result: inner.tensors.get(result)!, leads: inner.leads.has(result) });
  return { kind: "define", name, inputs: shapes.length, body, result };
}

function call(scope: Scope, a: number, b: number, c: number): Statement | undefined {
  const f = pick([...scope.functions.keys()], a);
  if (!f) return undefined;
  const { shapes, result, leads } = scope.functions.get(f)!;
  const inputs = shapes.map((shape, i) => pick(scope.values(same(shape)), b + 3 * i));
  if (inputs.some((name) => name === undefined)) return undefined;
  const name = scope.fresh("t");
  // A call that is not awaited has a result nobody uses; what it assigns must be seen all the same.
  const awaited = c % 3 > 0;
  const detached = a % 4 > 0;
  if (awaited) {
    scope.tensors.set(name, result);
    if (!detached && (leads || inputs.some((input) => scope.variables.has(input!)))) scope.severed.add(name);
  }
  return { kind: "call", name, f, inputs: inputs as string[], awaited, detached };
}

function statement(scope: Scope, [kind, a, b, c]: Row): (Statement | undefined)[] {
  const value = pick(scope.values(), a)!;
  const variable = pick([...scope.variables.keys()], a)!;
  switch (kind % 24) {
    case 0:
      return data(scope, a, b);
    case 1:
      return scope.variables.size < 4 ? [variableOf(scope, a)] : [];
    case 2:
    case 3:
    case 4:
    case 5:
      return [operation(scope, a, b, c)];
    case 6: {
      const assigned = assignment(scope, a, b);
      return [assigned && { kind: "assign", ...assigned }];
    }
    case 7:
      return [{ kind: "read", of: value, awaited: b % 2 === 0 }];
    case 8:
      return [{ kind: "realize", of: value }];
    case 9:
    case 10:
      return scope.leads.size > 0 ? [{ kind: "backward", of: pick([...scope.leads].reverse(), a)! }] : [];
    case 11:
      return [b % 2 ? { kind: "readGrad", variable } : { kind: "clear", variable }];
    case 12:
      return [{ kind: "step", optimizer: (b % 2) as 0 | 1 }];
    case 13: {
      const source = pick(
        [...scope.variables.keys()].filter((n) => same(scope.shapeOf(variable))(scope.shapeOf(n))),
        b,
      )!;
      if (c % 3 === 0) return [{ kind: "copy", target: variable, source }];
      return [{ kind: "average", target: variable, source, momentum: 0.75 }];
    }
    case 14: {
      const host = pick([...scope.hosts.keys()], a)!;
      return [{ kind: "mutate", host, index: b % scope.hosts.get(host)!, value: number(c) }];
    }
    case 15:
      return scope.functions.size < 3 ? [definition(scope, a, b, c)] : [];
    case 16: {
      const assigned = assignment(scope, a, b);
      if (assigned && c % 8 === 0) return [{ kind: "fails", ...assigned }];
      return [call(scope, a, b, c)];
    }
    case 17:
      return [call(scope, a, b, c)];
    default:
      return [extra(scope, undefined, a, b, c)];
  }
}
