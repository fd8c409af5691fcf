/**
 * `scan`: a recurrent cell of one's own over time.
 *
 * The cell is called once, for all steps: what it builds is the body of a loop, which devices plan once whatever the
 * number of steps. Gradients of any order, forward derivatives and `compile` work as for any graph. Masked steps keep
 * the state.
 */
import { leavesLike, leavesOf, mapTree, requireTree } from "../autograd/tree.ts";
import type { Tree } from "../autograd/tree.ts";
import { looped } from "../autograd/looped.ts";
import { checkOptions, describeValue } from "../tensor/door/door.ts";
import { arange, tensor } from "../tensor/create.ts";
import { formatShape, sameShape } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";
import { WASM_LOOPS } from "../wasm/loop-layout.ts";

/** One step of a recurrence: from the state before, this step's input and the weights to the state after and an output. */
export type ScanCell<S extends Tree, X extends Tree, W, O extends Tree> = (
  state: S,
  input: X,
  weights: W,
) => { readonly state: S; readonly output: O };

/** What a cell is run over. */
export interface ScanOptions<S extends Tree, X extends Tree, W> {
  /** The state before the first step: a tensor, or arrays and records of tensors, of any shapes. */
  readonly state: S;
  /** The inputs: a tensor [T, …], or arrays and records of such; the cell is given one [T] at a time. */
  readonly inputs: X;
  /** Handed to the cell at every step. */
  readonly weights?: W;
  /** Whether the last step comes first; outputs stay in the order of time. */
  readonly reverse?: boolean;
  /** Steps of every sequence, [B] integers: at later steps the state stays and the output is 0. */
  readonly lengths?: Tensor | readonly number[];
  /** In place of `lengths`: [T, B], 0 where the state stays and the output is 0. */
  readonly mask?: Tensor;
}

/** What a scan gives. */
export interface ScanResult<S extends Tree, O extends Tree> {
  /** The state after the last step, of the form of the first. */
  readonly state: S;
  /** The outputs of all steps in order of time: of the form of the cell's output, with T in front of every shape. */
  readonly outputs: O;
}

/**
 * Runs `cell` over the steps of `inputs`, carrying its state along: `{ state, outputs }`.
 *
 * Inputs are [T, B, …] or trees of such tensors, the state a tree of tensors that keeps its shapes and dtypes. With
 * `lengths` or `mask` every tensor of the state and of the output starts with the batch axis B; a sequence's state stays
 * at steps that are not its own, so that `reverse` starts at each sequence's end, and outputs there are 0, as in
 * `gruScan`. The cell is called once, for all steps, and must be a function of what it is handed and of tensors from
 * outside: it assigns no variables, and calls no `backward`. What it draws is drawn anew for every step. Devices plan a
 * step once, whatever T. Source: jax.lax.scan; masks as torch.nn.utils.rnn.pack_padded_sequence.
 *
 * @throws Error where inputs disagree about T, the cell gives a state of another form, shape or dtype than it was given,
 * or an output of another form than at the first step, and where lengths or a mask do not fit.
 */
export function scan<S extends Tree, X extends Tree, W, O extends Tree>(
  cell: ScanCell<S, X, W, O>,
  options: ScanOptions<S, X, W>,
): ScanResult<S, O> {
  if (typeof cell !== "function") throw new TypeError(`scan: the cell must be a function, not ${describeValue(cell)}`);
  checkOptions("scan", options, ["state", "inputs", "weights", "reverse", "lengths", "mask"]);
  const { inputs, weights, reverse = false, state } = options;
  requireTree("scan", "state", state);
  requireTree("scan", "inputs", inputs);
  const steps = stepsOf(inputs);
  const valid = masking(options, steps);
  /** One step: the state's tensors in the order of the first state and the output, with what is masked kept. */
  const step = (before: S, input: X, open: Tensor | undefined): [state: Tensor[], output: O] => {
    const next = cell(before, input, weights as W);
    if (next === null || typeof next !== "object" || !("state" in next) || !("output" in next)) {
      throw new TypeError(`scan: the cell must give { state, output }, not ${describeValue(next)}`);
    }
    const after = leavesLike("scan", "the cell's state", next.state, before, "the state it was given");
    requireTree("scan", "the cell's output", next.output);
    if (!open) return [after, next.output];
    const old = leavesOf(before);
    const output = mapTree(next.output, (y) => y.mask(spread(open, y, "output")));
    return [after.map((x, i) => spread(open, x, "state").where(x, old[i])), output];
  };
  let form: O | undefined;
  const { last, left } = looped({
    xs: [...leavesOf(inputs), ...(valid ? [valid] : [])],
    carries: leavesOf(state),
    steps,
    reverse,
    cpu: WASM_LOOPS,
    step(xs, carries) {
      let [x, s] = [0, 0];
      const [after, output] = step(
        mapTree(state, () => carries[s++]),
        mapTree(inputs, () => xs[x++]),
        valid && xs[xs.length - 1],
      );
      form = output;
      return [after, leavesOf(output)];
    },
  });
  let [s, y] = [0, 0];
  return { state: mapTree(state, () => last[s++]), outputs: mapTree(form!, () => left[y++]) };
}

function stepsOf(inputs: Tree): number {
  const leaves = leavesOf(inputs);
  if (leaves.length === 0) throw new Error("scan: inputs has no tensor, whose first axis would be the steps");
  for (const x of leaves) {
    if (x.rank === 0 || x.shape[0] === 0) {
      throw new Error(`scan: inputs must be [T, …] with at least one step, not ${formatShape(x.shape)}`);
    }
    if (x.shape[0] === leaves[0].shape[0]) continue;
    throw new Error(
      `scan: inputs disagree about the number of steps: ${formatShape(leaves[0].shape)} and ${formatShape(x.shape)}`,
    );
  }
  return leaves[0].shape[0];
}

/** Which sequences go on at every step, [T, B] bool; undefined where all do at every step. */
function masking(
  { lengths, mask }: Pick<ScanOptions<Tree, Tree, unknown>, "lengths" | "mask">,
  steps: number,
): Tensor | undefined {
  if (mask !== undefined && lengths !== undefined) throw new Error("scan: give lengths or a mask, not both");
  if (mask !== undefined) {
    if (!(mask instanceof Tensor)) throw new TypeError(`scan: mask must be a tensor, not ${describeValue(mask)}`);
    if (mask.rank !== 2 || mask.shape[0] !== steps) {
      throw new Error(`scan: the mask must be [T, B] with T = ${steps}, not ${formatShape(mask.shape)}`);
    }
    return mask.dtype === "bool" ? mask : mask.ne(0);
  }
  if (lengths === undefined) return undefined;
  const counts = lengths instanceof Tensor ? lengths : countsOf(lengths, steps);
  if (counts.rank !== 1 || (counts.dtype !== "i32" && counts.dtype !== "u32")) {
    throw new Error(`scan: lengths must be [B] integers, not ${counts.dtype}${formatShape(counts.shape)}`);
  }
  return counts.unsqueeze(0).gt(arange(steps).cast(counts.dtype).unsqueeze(1));
}

function countsOf(lengths: readonly number[], steps: number): Tensor {
  if (!Array.isArray(lengths)) {
    throw new TypeError(`scan: lengths must be a tensor or an array of integers, not ${describeValue(lengths)}`);
  }
  lengths.forEach((n: unknown, i) => {
    if (Number.isInteger(n) && (n as number) >= 0 && (n as number) <= steps) return;
    throw new Error(`scan: lengths[${i}] must be an integer from 0 to T = ${steps}, not ${describeValue(n)}`);
  });
  return tensor(Int32Array.from(lengths));
}

/** A mask [B] as one that broadcasts over x [B, …]. */
function spread(valid: Tensor, x: Tensor, what: string): Tensor {
  if (x.rank === 0 || !sameShape(x.shape.slice(0, 1), valid.shape)) {
    throw new Error(
      `scan: with lengths or a mask of ${valid.shape[0]} sequences every tensor of the ${what} must be ` +
        `[${valid.shape[0]}, …], not ${formatShape(x.shape)}`,
    );
  }
  return valid.reshape([valid.shape[0], ...x.shape.slice(1).map(() => 1)]);
}
