/**
 * The check that a pickle's result is plain: values of python-values.ts only, no cycles, no deep nesting, and no
 * sharing that would unfold to far more than the file holds (a "memo bomb": a list of ten references to a list of ten
 * references to ...). Code that walks the result as a tree then ends, and in proportion to the file.
 */
import { isHostTensor } from "../host-tensor.ts";
import { describe, PickleFault, type PickleItem } from "./pickle-items.ts";
import { OrderedDict, TorchDevice, TorchDType, type PythonValue } from "./python-values.ts";

/** Most levels of containers inside each other. */
export const MAX_PICKLE_DEPTH = 200;

/** The items of a container, or undefined for a leaf. */
function childrenOf(item: PickleItem): PickleItem[] | undefined {
  if (Array.isArray(item)) return item;
  if (item instanceof Map) {
    const children: PickleItem[] = [];
    for (const [key, value] of item) children.push(key as PickleItem, value as PickleItem);
    if (item instanceof OrderedDict && item.attributes !== undefined) children.push(item.attributes);
    return children;
  }
  return undefined;
}

/**
 * Throws unless `root` is a plain value. Visits every distinct container once, on a stack of its own: neither shared
 * nor deep structure costs more than the file's length.
 */
export function checkPlain(root: PickleItem, maxUnfolded: number): asserts root is PythonValue {
  /** Of each finished container: how many values it unfolds to, and how many levels it has. */
  const finished = new Map<PickleItem, { unfolded: number; depth: number }>();
  const open = new Set<PickleItem>();
  interface Visit {
    readonly item: PickleItem;
    readonly children: PickleItem[];
    next: number;
    unfolded: number;
    depth: number;
  }
  const path: Visit[] = [];

  /** Counts a leaf or finished container, or opens an unfinished one. */
  function enter(item: PickleItem): { unfolded: number; depth: number } | undefined {
    const known = finished.get(item);
    if (known !== undefined) return known;
    const children = childrenOf(item);
    if (children === undefined) {
      if (!isPlainLeaf(item)) throw new PickleFault(`the result contains a ${describe(item)}`);
      return { unfolded: 1, depth: 0 };
    }
    if (open.has(item)) throw new PickleFault(`a ${describe(item)} contains itself; cyclic values are refused`);
    if (path.length >= MAX_PICKLE_DEPTH) {
      throw new PickleFault(`containers are nested deeper than ${MAX_PICKLE_DEPTH} levels`);
    }
    open.add(item);
    path.push({ item, children, next: 0, unfolded: 1, depth: 1 });
    return undefined;
  }

  enter(root);
  while (path.length > 0) {
    const visit = path[path.length - 1];
    if (visit.next === visit.children.length) {
      path.pop();
      open.delete(visit.item);
      finished.set(visit.item, { unfolded: visit.unfolded, depth: visit.depth });
      if (visit.unfolded > maxUnfolded) {
        throw new PickleFault(`unfolds to more than ${maxUnfolded} values by references to shared containers`);
      }
      continue;
    }
    const result = enter(visit.children[visit.next]);
    if (result === undefined) continue;
    visit.next++;
    visit.unfolded += result.unfolded;
    visit.depth = Math.max(visit.depth, 1 + result.depth);
    if (path.length - 1 + visit.depth > MAX_PICKLE_DEPTH) {
      throw new PickleFault(`containers are nested deeper than ${MAX_PICKLE_DEPTH} levels`);
    }
  }
}

function isPlainLeaf(item: PickleItem): boolean {
  return (
    item === null ||
    typeof item !== "object" ||
    item instanceof Uint8Array ||
    item instanceof TorchDType ||
    item instanceof TorchDevice ||
    isHostTensor(item)
  );
}
