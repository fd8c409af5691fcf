/** The schedule's decisions: what becomes one kernel, and what keeps two kernels apart. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { gradients } from "../../src/autograd/grad.ts";
import { Draft } from "../../src/compiler/fusion/draft.ts";
import type { Group } from "../../src/compiler/fusion/group.ts";
import { levelOf, sameSpace } from "../../src/compiler/fusion/group.ts";
import { mayDissolve } from "../../src/compiler/fusion/inlining.ts";
import {
  fitsSpace,
  isFurtherPass,
  place,
  pointwiseMayJoin,
  takesLoopAlong,
} from "../../src/compiler/fusion/joining.ts";
import { mayMerge, spacesAgree } from "../../src/compiler/fusion/merging.ts";
import { isPointwise, readsOf } from "../../src/compiler/fusion/reads.ts";
import type { Graph } from "../../src/compiler/graph.ts";
import { buildGraph } from "../../src/compiler/graph.ts";
import type { KernelSchedule } from "../../src/compiler/schedule.ts";
import { schedule } from "../../src/compiler/schedule.ts";
import type { Assignment } from "../../src/tensor/backend.ts";
import { softmax } from "../../src/ops/softmax.ts";
import type { Tensor } from "../../src/tensor/index.ts";
import { Generator, concat, ones, tensor, variable } from "../../src/tensor/index.ts";
import type { Node } from "../../src/tensor/node.ts";

function graphOf(outputs: readonly Tensor[], assignments: readonly Assignment[] = []): Graph {
  const nodes = outputs.map((t) => t.node);
  return buildGraph(nodes, assignments, {
    canLower: () => false,
    parallelism: 64,
    busyRows: 16,
    checksComputed: "never",
  });
}

function scheduleOf(
  outputs: readonly Tensor[],
  assignments: readonly Assignment[] = [],
  maxBindings = 10,
): KernelSchedule {
  return schedule(graphOf(outputs, assignments), { maxBindings });
}

/** The kinds of kernels, in the order of the alphabet. */
function kinds(...outputs: Tensor[]): string[] {
  return scheduleOf(outputs)
    .groups.map((g) => g.kind)
    .sort();
}

/** Everything of a graph placed, nothing dissolved yet. */
function placed(...outputs: Tensor[]): Draft {
  const graph = graphOf(outputs);
  const draft = new Draft(graph, { maxBindings: 10 });
  for (const node of graph.nodes) place(draft, node);
  return draft;
}

function only(draft: Draft, kind: Group["kind"]): Group {
  const found = [...draft.groups].filter((g) => g.kind === kind);
  assert.equal(found.length, 1, `${kind} kernels`);
  return found[0];
}

function nodeOf(graph: Graph, kind: Node["op"]["kind"]): Node {
  return graph.nodes.find((n) => n.op.kind === kind)!;
}

let next = 0;
/** A matrix in a buffer of its own: large enough not to travel among the parameters. */
function matrix(...shape: number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  const start = next++;
  return tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(i + start)),
    { shape },
  );
}

describe("one kernel", () => {
  test("softmax is one reduce kernel", () => {
    assert.deepEqual(kinds(softmax(matrix(100, 20))), ["reduce"]);
  });

  test("layer normalisation is one reduce kernel", () => {
    const x = matrix(100, 20);
    const centred = x.sub(x.mean(-1, true));
    const scaled = centred.mul(centred.square().mean(-1, true).add(1e-5).rsqrt());
    assert.deepEqual(kinds(scaled.mul(matrix(20)).add(matrix(20))), ["reduce"]);
  });

  test("an elementwise chain is one loop, with as many results as are asked for", () => {
    const [x, y] = [matrix(40, 20), matrix(40, 20)];
    const a = x.mul(y).tanh();
    assert.deepEqual(kinds(a, a.add(x).exp()), ["loop"]);
  });

  test("gradients of a tensor's slices are stored in their places by the kernel that computes them", () => {
    const x = matrix(40, 60);
    const [a, b, c] = [0, 1, 2].map((i) => x.slice(null, [20 * i, 20 * (i + 1)]));
    const y = a.tanh().mul(b.sigmoid()).add(c.exp());
    const [gradient] = gradients([y], [matrix(40, 20)], [x]);
    const { groups, stored } = scheduleOf([gradient]);
    assert.deepEqual(
      groups.map((g) => g.kind),
      ["loop"],
    );
    assert.equal(stored.size, 1);
    // Rows are reduced between: the kernel that does so has the parts as well.
    const scaled = y.sub(y.sum(-1, true));
    assert.deepEqual(
      scheduleOf(gradients([scaled], [matrix(40, 20)], [x])).groups.map((g) => g.kind),
      ["reduce"],
    );
  });

  test("equal tensors that are joined are stored side by side by the kernel that computes them", () => {
    const x = matrix(40, 60).exp();
    assert.deepEqual(kinds(concat([x, x.sin()], 1)), ["loop"]);
    assert.deepEqual(kinds(concat([x.sin(), x.cos()], 0), x.sin().sum(0)), ["loop", "reduce"]);
    assert.deepEqual(kinds(concat([x.exp(), matrix(40, 60).exp()], 0)), ["loop"]);
    assert.equal(scheduleOf([concat([x.exp(), matrix(40, 60).exp()], 0)]).stored.size, 1);
    assert.deepEqual(kinds(concat([x.contiguous(), matrix(40, 60)], 1)), ["loop", "loop"]);
  });

  test("bias and activation are the epilogue of a product", () => {
    assert.deepEqual(kinds(matrix(40, 30).matmul(matrix(30, 20)).add(matrix(20)).relu()), ["matmul"]);
  });

  test("an update is the epilogue of its gradient's product", () => {
    const [x, target] = [matrix(40, 30), matrix(40, 20)];
    const w = variable(matrix(30, 20));
    const [gradient] = gradients([x.matmul(w).sub(target).square().sum()], [ones([])], [w]);
    const update = w.sub(gradient.mul(0.1));
    const assignments = [{ variable: variableOf(w), value: update.node }];
    const { groups, stored } = scheduleOf([], assignments);
    const products = groups.filter((g) => g.kind === "matmul");
    assert.equal(products.length, 2, "the forward product and the gradient's");
    assert.equal(groups.length, 2, "and nothing beside them");
    const writing = products.filter((g) => [...g.members].some((m) => m.op.kind === "elementwise" && stored.has(m)));
    assert.equal(writing.length, 2, "each writes what its epilogue computes");
    for (const product of products) assert.ok(!stored.has(product.root!), "not the bare product");
  });

  test("a mask by position and random numbers are computed where they are read", () => {
    const x = matrix(40, 20);
    assert.deepEqual(kinds(x.mul(new Generator(1).dropoutMask([40, 20], 0.5)).sum(-1)), ["reduce"]);
  });

  test("a view that is asked for as it is gets a kernel that writes it", () => {
    assert.deepEqual(kinds(matrix(40, 20).transpose()), ["loop"]);
  });

  test("a copy is not made within the kernel it reads from", () => {
    const x = matrix(40, 20).exp();
    const copy = x.contiguous();
    const { groups } = scheduleOf([x, copy]);
    assert.equal(groups.length, 2);
    assert.ok(groups.some((g) => [...g.members].every((m) => m.op.kind === "contiguous")));
  });
});

function variableOf(w: Tensor): Assignment["variable"] {
  if (w.node.op.kind !== "variable") throw new Error("not a variable");
  return w.node.op.variable;
}

describe("more than one kernel", () => {
  test("a reduction over other axes of a reduction's results", () => {
    assert.deepEqual(kinds(softmax(matrix(100, 20)).sum(0)), ["reduce", "reduce"]);
  });

  test("a product of a product", () => {
    assert.deepEqual(kinds(matrix(40, 30).matmul(matrix(30, 20)).relu().matmul(matrix(20, 10))), ["matmul", "matmul"]);
  });

  test("what would bind more buffers than a kernel may", () => {
    const parts = Array.from({ length: 12 }, () => matrix(40, 20));
    const sum = parts.reduce((a, b) => a.add(b));
    assert.equal(scheduleOf([sum], [], 20).groups.length, 1);
    assert.ok(scheduleOf([sum], [], 6).groups.length > 1);
  });

  test("few long rows leave the elementwise work its own kernel", () => {
    const x = matrix(4, 2048);
    const value = x.mul(matrix(4, 2048)).tanh();
    assert.deepEqual(kinds(value, value.sum(-1)), ["loop", "reduce"]);
    const many = matrix(128, 64).mul(matrix(128, 64)).tanh();
    assert.deepEqual(kinds(many, many.sum(-1)), ["reduce"]);
  });
});

describe("the rules", () => {
  test("levels: a reduction's results are one a row, the elements it reads one an element", () => {
    const draft = placed(matrix(100, 20).exp().sum(-1));
    const group = only(draft, "reduce");
    assert.equal(levelOf(nodeOf(draft.graph, "reduce"), group), "row");
    assert.equal(levelOf(nodeOf(draft.graph, "elementwise"), group), "full");
    assert.equal(levelOf(matrix(7).node, group), undefined);
  });

  test("spaces are the same where their rows hold the same elements, whatever the shape", () => {
    const a = { shape: [6, 4], axes: [1], rows: 6, columns: 4 };
    assert.ok(sameSpace(a, { shape: [2, 3, 4], axes: [2], rows: 6, columns: 4 }));
    assert.ok(!sameSpace(a, { shape: [4, 6], axes: [0], rows: 6, columns: 4 }));
  });

  test("reads: element by element, by a view, behind a guard, by data", () => {
    const x = matrix(40, 20);
    const read = (t: Tensor, k = 0) => readsOf(t.node)[k];
    assert.equal(read(x.exp()).flat?.key, read(x.neg()).flat?.key);
    assert.notEqual(read(x.transpose().exp()).flat?.key, read(matrix(20, 40).exp()).flat?.key);
    assert.ok(
      read(
        x
          .pad([
            [1, 1],
            [0, 0],
          ])
          .exp(),
      ).guarded,
    );
    assert.equal(read(concat([x, x])).flat, undefined);
    assert.ok(!isPointwise(x.sum().node));
  });

  test("a pointwise node joins where it reads the element it computes, not where it reads another", () => {
    const x = matrix(40, 40);
    const product = x.matmul(matrix(40, 40));
    const graph = graphOf([product.relu(), product.transpose().exp()]);
    const draft = new Draft(graph, { maxBindings: 10 });
    const matmul = nodeOf(graph, "matmul");
    place(draft, matmul);
    const group = draft.groupOf.get(matmul)!;
    const [relu, exp] = graph.outputs;
    assert.ok(fitsSpace(draft, relu, readsOf(relu), group));
    assert.ok(pointwiseMayJoin(draft, relu, readsOf(relu), group));
    assert.ok(!fitsSpace(draft, exp, readsOf(exp), group));
    assert.ok(!pointwiseMayJoin(draft, exp, readsOf(exp), group));
  });

  test("a kernel does not take in what waits for what it would wait for", () => {
    const a = matrix(40, 40).matmul(matrix(40, 40));
    const b = a.matmul(matrix(40, 40));
    const graph = graphOf([a.add(b)]);
    const draft = new Draft(graph, { maxBindings: 10 });
    const products = graph.nodes.filter((n) => n.op.kind === "matmul");
    for (const node of products) place(draft, node);
    const [first, second] = products.map((n) => draft.groupOf.get(n)!);
    const [sum] = graph.outputs;
    assert.ok(draft.waitsFor(second, first));
    assert.ok(fitsSpace(draft, sum, readsOf(sum), first), "the elements are the same");
    assert.ok(!pointwiseMayJoin(draft, sum, readsOf(sum), first), "but the second product comes in between");
    assert.ok(pointwiseMayJoin(draft, sum, readsOf(sum), second));
  });

  test("a further pass is over the same rows, of elements or of results", () => {
    const graph = graphOf([matrix(100, 20).exp().sum(-1)]);
    const draft = new Draft(graph, { maxBindings: 10 });
    for (const node of graph.nodes) place(draft, node);
    const group = only(draft, "reduce");
    const value = nodeOf(graph, "elementwise");
    const own = group.space!;
    const read = { ...readsOf(nodeOf(graph, "reduce"))[0], producer: value };
    assert.ok(isFurtherPass(read, group, own));
    assert.ok(!isFurtherPass(read, group, { ...own, shape: [20, 100], axes: [0] }), "columns apart in memory");
    assert.ok(!isFurtherPass(read, group, { shape: [50, 40], axes: [1], rows: 50, columns: 40 }), "other rows");
  });

  test("a reduction takes a loop along where its rows are neighbours in memory and enough of them", () => {
    const graph = graphOf([matrix(128, 64).exp()]);
    const draft = new Draft(graph, { maxBindings: 10 });
    for (const node of graph.nodes) place(draft, node);
    const loop = only(draft, "loop");
    const [read] = readsOf(graph.outputs[0]);
    assert.ok(takesLoopAlong(read, loop, { shape: [128, 64], axes: [1], rows: 128, columns: 64 }));
    assert.ok(!takesLoopAlong(read, loop, { shape: [128, 64], axes: [0], rows: 64, columns: 128 }), "columns");
    assert.ok(!takesLoopAlong(read, loop, { shape: [4, 2048], axes: [1], rows: 4, columns: 2048 }), "few rows");
  });

  test("kernels merge over the same elements only, and never where one holds a copy", () => {
    const [x, y] = [matrix(40, 20), matrix(40, 20)];
    const draft = placed(x.exp(), y.contiguous(), matrix(5, 5).exp());
    const [a, copy, small] = draft.graph.outputs.map((n) => draft.groupOf.get(n)!);
    assert.ok(spacesAgree(a, copy) && !spacesAgree(a, small));
    assert.ok(!mayMerge(draft, a, copy));
    assert.ok(!mayMerge(draft, a, small));
    const both = placed(x.exp(), y.exp());
    const [p, q] = both.graph.outputs.map((n) => both.groupOf.get(n)!);
    assert.ok(mayMerge(both, p, q));
  });

  test("a loop dissolves if it is cheap or read once, and not if a product reads it often", () => {
    const x = matrix(80, 80);
    const dissolves = (...outputs: Tensor[]) => {
      const draft = placed(...outputs);
      return mayDissolve(draft, only(draft, "loop"));
    };
    assert.ok(dissolves(x.mul(2).matmul(matrix(80, 8))), "one tile of columns: once");
    assert.ok(!dissolves(x.erf().mul(matrix(80, 80)).matmul(matrix(80, 80))), "five tiles: five times");
    const deep = (steps: number) => {
      let y = x.exp();
      for (let i = 0; i < steps; i++) y = i % 2 === 0 ? y.sin() : y.exp();
      return placed(y);
    };
    assert.ok([...deep(300).groups].length > 1, "a kernel has so many nodes at most");
    assert.ok(!dissolves(x.exp()), "a result of the graph is stored");
  });
});
