/**
 * A body run over time, with its gradient, which is another body run over time, the other way.
 *
 * The backward body is what reverse mode makes of the forward body. It reads the carries before every step and the
 * results of products, which the forward loop leaves where somebody reads them; what is elementwise it computes again.
 * The gradient of a constant is a sum over the steps: of products it is one product over all steps, after the loop.
 */
import type { Body, Loop } from "../tensor/program/body.ts";
import { bodyOf, buildBody, placeholder, timeOf } from "../tensor/program/body.ts";
import * as build from "../tensor/build.ts";
import { zeros } from "../tensor/create.ts";
import { isFloat } from "../tensor/dtype.ts";
import type { FusedOp, ValueSpec } from "../tensor/fused.ts";
import { concat, stack } from "../tensor/methods/join.ts";
import type { Node } from "../tensor/node.ts";
import { topologicalOrder, uncounted } from "../tensor/node.ts";
import { sameShape, sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { gradients } from "./grad.ts";
import { drawsOfSteps } from "./loop-draws.ts";
import { partsOf } from "./loop-parts.ts";

/** What a loop runs on, in the order of its body's leaves. */
interface LoopOperands {
  /** The same at every step. */
  readonly constants: readonly Tensor[];
  /** [T, …]: a step sees its own. */
  readonly xs: readonly Tensor[];
  /** Before the first step. */
  readonly carries: readonly Tensor[];
}

interface LoopResults {
  /** The last carries. */
  readonly last: Tensor[];
  /** What every step leaves, [T, …]. */
  readonly left: Tensor[];
}

/** Runs `body`, whose roots are the next carries and then what a step leaves; `cpu` is how that device lays it out. */
export function runLoop(body: Body, operands: LoopOperands, steps: number, reverse: boolean, cpu: object): LoopResults {
  const { constants, xs, carries } = operands;
  const kept = keptResults(body);
  const whole: Body = {
    ...body,
    roots: [...body.roots, ...kept],
    key: kept.length > 0 ? `${body.key}+${kept.join()}` : body.key,
  };
  const loop: Loop = {
    body: whole,
    steps,
    reverse,
    constants: constants.length,
    xs: xs.length,
    carries: carries.length,
    cpu,
  };
  const given = [...constants, ...xs, ...carries].map((t) => t.node);
  const attrs = {
    steps,
    reverse,
    operands: [constants.length, xs.length, carries.length],
    body: whole.key,
  };
  const found = build.fused(loopOp(loop), given, attrs).map((n) => new Tensor(n));
  const count = carries.length;
  // A value that several results are is kept once.
  const each = found.slice(count).map((_, i) => found[count + whole.roots.indexOf(whole.roots[i])]);
  return { last: found.slice(0, count), left: each.slice(count, body.roots.length) };
}

/** Results that cost too much to compute again: of products and fused ops. */
function keptResults({ leaves, steps, roots }: Body): number[] {
  return steps.flatMap(({ op: { kind }, dtype }, i) => {
    const costly = kind === "matmul" || kind === "pick";
    const at = leaves.length + i;
    return costly && isFloat(dtype) && !roots.includes(at) ? [at] : [];
  });
}

function loopOp(loop: Loop): FusedOp {
  const { body, steps, constants, xs, carries } = loop;
  const overTime = ({ shape, dtype }: ValueSpec): ValueSpec => ({ shape: [steps, ...shape], dtype });
  const specs = [...body.leaves, ...body.steps];
  const outputs = (): ValueSpec[] => {
    const states = body.leaves.slice(constants + xs);
    return [...states, ...states.map(overTime), ...body.roots.slice(carries).map((i) => overTime(specs[i]))];
  };
  return {
    name: "scan",
    loop,
    outputs,
    decompose(inputs) {
      const whole = inputs.slice(0, constants).map((t) => t.node);
      let state = inputs.slice(constants + xs).map((t) => t.node);
      const left: Node[][] = Array.from({ length: body.roots.length }, () => new Array<Node>(steps));
      for (let k = 0; k < steps; k++) {
        const t = timeOf(loop, k);
        const own = inputs.slice(constants, constants + xs).map((x) => x.slice(t).node);
        const roots = buildBody(body, [...whole, ...own, ...state]);
        state = roots.slice(0, carries);
        roots.forEach((node, i) => (left[i][t] = node));
      }
      return [...state.map((n) => new Tensor(n)), ...left.map((nodes) => stack(nodes.map((n) => new Tensor(n))))];
    },
    vjp: (inputs, results, cotangents) => uncounted(() => backward(loop, inputs, results, cotangents)),
  };
}

/** Cotangents of a loop's operands; undefined where no loop gives them. */
function backward(
  loop: Loop,
  inputs: readonly Tensor[],
  results: readonly Tensor[],
  cotangents: readonly (Tensor | undefined)[],
): (Tensor | undefined)[] | undefined {
  const { body, steps, reverse, constants, xs, carries } = loop;
  const place = body.leaves.map(placeholder);
  const roots = buildBody(body, place);
  const states = place.slice(constants + xs);
  const flowing = states.flatMap((n, i) => (isFloat(n.dtype) ? [i] : []));

  // What the backward body reads beside the forward body's leaves.
  const xsOf = new Map<Node, Tensor>(place.slice(constants, constants + xs).map((n, i) => [n, inputs[constants + i]]));
  const before = states.map(
    (n, i) => [n, () => earlier(inputs[constants + xs + i], results[carries + i], reverse)] as const,
  );
  const given = (value: Tensor): Tensor => {
    const node = placeholder({ shape: value.shape.slice(1), dtype: value.dtype });
    xsOf.set(node, value);
    return new Tensor(node);
  };
  const carried = flowing.map((i) => new Tensor(placeholder(states[i])));
  const outputs: Tensor[] = [];
  const seeds: Tensor[] = [];
  flowing.forEach((i, k) => {
    const each = cotangents[carries + i];
    outputs.push(new Tensor(roots[i]));
    seeds.push(each ? carried[k].add(given(each)) : carried[k]);
  });
  for (let i = carries; i < roots.length; i++) {
    const each = cotangents[carries + i];
    if (!each || !isFloat(roots[i].dtype)) continue;
    outputs.push(new Tensor(roots[i]));
    seeds.push(given(each));
  }
  const targets = place.filter((n) => isFloat(n.dtype));
  const found = new Map<Node, Node>();
  const asTensors = targets.map((n) => new Tensor(n));
  const [slopes, draws] = build.collectingDraws(() => gradients(outputs, seeds, asTensors));
  slopes.forEach((t, i) => {
    if (build.constantValue(t.node) !== 0) found.set(targets[i], t.node);
  });
  drawsOfSteps(draws, steps, !reverse).forEach((drawn, i) => xsOf.set(draws[i], drawn));

  const room = 4 * place.slice(constants).reduce((sum, n) => sum + sizeOf(n.shape), 0);
  const sums = new StepSums(room);
  const ofConstants = place.slice(0, constants).map((n) => {
    const g = found.get(n);
    return g && sums.add(g);
  });
  const next = flowing.map((i) => found.get(states[i]) ?? zeros(states[i].shape, states[i].dtype).node);
  const ownXs = place.slice(constants, constants + xs);
  const asked = ownXs.flatMap((n) => found.get(n) ?? []);
  // Products of the forward body are read, not computed again.
  const known = new Map<Node, Tensor>();
  roots.forEach((n, i) => {
    if (!place.includes(n) && !known.has(n)) known.set(n, results[carries + i]);
  });
  const all = [...next, ...sums.totals.map((s) => s.next), ...asked, ...sums.left];
  const leafSet = new Set([
    ...place,
    ...xsOf.keys(),
    ...carried.map((t) => t.node),
    ...sums.totals.map((s) => s.before),
    ...known.keys(),
  ]);
  const reached = new Set(
    topologicalOrder(all, (n) => (leafSet.has(n) ? [] : n.formula.inputs)).filter((n) => leafSet.has(n)),
  );
  for (const [n, value] of known) if (reached.has(n)) xsOf.set(n, value);
  for (const [n, value] of before) if (reached.has(n)) xsOf.set(n, value());
  const sweeping = [...carried.map((t) => t.node), ...sums.totals.map((s) => s.before)];
  const made = partsOf(all, [...reached], new Set([...reached].filter((n) => !sweeping.includes(n))));
  // Step after step, what looks up at indices of its own is checked like anything else.
  if (made.unchecked) return undefined;
  for (const n of topologicalOrder(made.constants)) n.traced?.check(n);
  const whole = [
    ...place.slice(0, constants).flatMap((n, i) => (reached.has(n) ? [{ n, value: inputs[i] }] : [])),
    ...made.constants.map((n) => ({ n, value: new Tensor(n) })),
  ];
  const own = [...xsOf].filter(([n]) => reached.has(n));
  const { last, left } = runLoop(
    bodyOf(all, [...whole.map((c) => c.n), ...own.map(([n]) => n), ...sweeping], made.enter),
    {
      constants: whole.map(({ n, value }) => made.held(n, value)),
      xs: own.map(([n, value]) => made.held(n, value)),
      carries: [
        ...flowing.map((i) => cotangents[i] ?? zeros(states[i].shape, states[i].dtype)),
        ...sums.totals.map(({ before: { shape, dtype } }) => zeros(shape, dtype)),
      ],
    },
    steps,
    !reverse,
    loop.cpu,
  );
  const stacked = (node: Node): Tensor => xsOf.get(node) ?? left[asked.length + sums.left.indexOf(node)];
  const total = (i: number): Tensor => last[flowing.length + i];
  return [
    ...ofConstants.map((sum) => sum?.({ stacked, total })),
    ...ownXs.map((n) => (found.has(n) ? left[asked.indexOf(found.get(n)!)] : undefined)),
    ...states.map((_, i) => (flowing.includes(i) ? last[flowing.indexOf(i)] : undefined)),
  ];
}

/** The carries before every step, from the first and those after every step. */
function earlier(first: Tensor, after: Tensor, reverse: boolean): Tensor {
  const start = first.unsqueeze(0);
  const steps = after.shape[0];
  if (steps === 1) return start;
  return reverse ? concat([after.slice([1, steps]), start]) : concat([start, after.slice([0, steps - 1])]);
}

/** What a sum over the steps is made of, once the loop has run. */
interface Ran {
  /** A value of every step, [T, …]. */
  stacked(node: Node): Tensor;
  /** The i-th running total. */
  total(i: number): Tensor;
}

/** Sums over all steps of values of a body: what a step leaves for them, and totals that are carried along. */
class StepSums {
  readonly left: Node[] = [];
  readonly totals: { readonly before: Node; readonly next: Node }[] = [];
  readonly #room: number;

  /** @param room elements that a step may leave of one value */
  constructor(room: number) {
    this.#room = room;
  }

  /** Notes what the sum of `g` needs; the result gives the sum. */
  add(g: Node): (ran: Ran) => Tensor {
    const { op, inputs } = g.formula;
    switch (op.kind) {
      case "elementwise":
        if (op.name === "add" && inputs.every((n) => sameShape(n.shape, g.shape))) {
          const [a, b] = inputs.map((n) => this.add(n));
          return (ran) => a(ran).add(b(ran));
        }
        break;
      case "reshape": {
        const inner = this.add(inputs[0]);
        return (ran) => inner(ran).reshape(g.shape);
      }
      case "permute": {
        const inner = this.add(inputs[0]);
        return (ran) => inner(ran).permute(op.order);
      }
      case "pad": {
        const inner = this.add(inputs[0]);
        return (ran) => new Tensor(build.pad(inner(ran).node, op.low, g.shape, op.step));
      }
      case "reduce": {
        const [x] = inputs;
        if (op.name !== "sum" || sizeOf(x.shape) > this.#room) break;
        const each = this.#each(x);
        return (ran) => each(ran).sum([0, ...op.axes.map((a) => a + 1)]);
      }
      case "matmul": {
        const [a, b] = inputs;
        if (g.shape.length !== 2 || sizeOf(a.shape) + sizeOf(b.shape) > 2 * this.#room) break;
        const [left, right] = [this.#each(a), this.#each(b)];
        return (ran) => {
          const [l, r] = [left(ran), right(ran)];
          return l
            .permute([1, 0, 2])
            .reshape([a.shape[0], -1])
            .matmul(r.reshape([-1, b.shape[1]]));
        };
      }
      default:
    }
    if (sizeOf(g.shape) <= this.#room) {
      const each = this.#each(g);
      return (ran) => each(ran).sum(0);
    }
    const before = placeholder(g);
    const at = this.totals.push({ before, next: new Tensor(before).add(new Tensor(g)).node }) - 1;
    return (ran) => ran.total(at);
  }

  /** A value of every step; views are taken of what is left. */
  #each(node: Node): (ran: Ran) => Tensor {
    const { op, inputs } = node.formula;
    if (op.kind === "permute") {
      const inner = this.#each(inputs[0]);
      return (ran) => inner(ran).permute([0, ...op.order.map((a) => a + 1)]);
    }
    if (op.kind === "reshape") {
      const inner = this.#each(inputs[0]);
      return (ran) => {
        const x = inner(ran);
        return x.reshape([x.shape[0], ...node.shape]);
      };
    }
    if (!this.left.includes(node)) this.left.push(node);
    return (ran) => ran.stacked(node);
  }
}
