/**
 * Trees of tensors: a tensor, or arrays and records of trees, as arguments and results of functions. What goes over a
 * tree visits its tensors from left to right and keeps its form.
 */
import { describeValue } from "../tensor/door/door.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Tensors in arrays and records, as arguments of differentiable functions. */
export type Tree = Tensor | readonly Tree[] | { readonly [name: string]: Tree };

/** The tensors of a tree from left to right. */
export function leavesOf(tree: Tree): Tensor[] {
  if (tree instanceof Tensor) return [tree];
  return (Array.isArray(tree) ? (tree as readonly Tree[]) : Object.values(tree)).flatMap(leavesOf);
}

/** A tree of the same form with `f` of every tensor. */
export function mapTree<T extends Tree>(tree: T, f: (x: Tensor) => Tensor): T {
  const walk = (t: Tree): Tree => {
    if (t instanceof Tensor) return f(t);
    if (Array.isArray(t)) return (t as readonly Tree[]).map(walk);
    return Object.fromEntries(Object.entries(t).map(([k, v]) => [k, walk(v)]));
  };
  return walk(tree) as T;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  value !== null &&
  typeof value === "object" &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null);

/** Throws unless `tree` is tensors in arrays and plain records, naming the place of what is none. */
export function requireTree(op: string, name: string, tree: unknown): asserts tree is Tree {
  if (tree instanceof Tensor) return;
  if (Array.isArray(tree)) tree.forEach((part, i) => requireTree(op, `${name}[${i}]`, part));
  else if (isRecord(tree)) for (const [key, part] of Object.entries(tree)) requireTree(op, `${name}.${key}`, part);
  else {
    throw new TypeError(
      `${op}: ${name} must be a tensor, or arrays and records of tensors, not ${describeValue(tree)}`,
    );
  }
}

/**
 * The tensors of `tree` in the order of `like`, whose records may name them in another: by name, as their users do.
 *
 * @throws Error unless `tree` has the form of `like`, with tensors of the same shapes and dtypes.
 */
export function leavesLike(op: string, name: string, tree: unknown, like: Tree, likeName: string): Tensor[] {
  if (like instanceof Tensor) {
    const wanted = `${like.dtype}${formatShape(like.shape)}`;
    if (!(tree instanceof Tensor)) {
      throw new TypeError(`${op}: ${name} must be a tensor ${wanted} as ${likeName} is, not ${describeValue(tree)}`);
    }
    if (tree.dtype === like.dtype && sameShape(tree.shape, like.shape)) return [tree];
    throw new Error(
      `${op}: ${name} is ${tree.dtype}${formatShape(tree.shape)}, but ${likeName} is ${wanted}; they must agree`,
    );
  }
  if (Array.isArray(like)) {
    if (!Array.isArray(tree) || tree.length !== like.length) {
      const given = Array.isArray(tree) ? `an array of ${tree.length}` : describeValue(tree);
      throw new TypeError(`${op}: ${name} must be an array of ${like.length} as ${likeName} is, not ${given}`);
    }
    return like.flatMap((part, i) => leavesLike(op, `${name}[${i}]`, tree[i], part as Tree, `${likeName}[${i}]`));
  }
  const keys = Object.keys(like);
  if (!isRecord(tree) || Object.keys(tree).sort().join() !== [...keys].sort().join()) {
    const given = isRecord(tree) ? `{ ${Object.keys(tree).join(", ")} }` : describeValue(tree);
    throw new TypeError(`${op}: ${name} must be a record { ${keys.join(", ")} } as ${likeName} is, not ${given}`);
  }
  const record = like as Readonly<Record<string, Tree>>;
  return keys.flatMap((key) => leavesLike(op, `${name}.${key}`, tree[key], record[key], `${likeName}.${key}`));
}
