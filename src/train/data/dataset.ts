/**
 * Data sets: samples by number, and how samples become a batch of tensors.
 *
 * A batch is an array of tensors, one a column (inputs, labels, …), each with the samples along its first axis: what a
 * compiled step takes as its arguments.
 */
import { tensor } from "../../tensor/create.ts";
import { describeValue } from "../../tensor/door/door.ts";
import { isNumberArray, isTypedValues } from "../../tensor/door/host-values.ts";
import type { HostValues, TypedValues } from "../../tensor/door/host-values.ts";
import type { DType, HostArray } from "../../tensor/dtype.ts";
import { hostArray } from "../../tensor/dtype.ts";
import { formatShape, sameShape } from "../../tensor/shape.ts";
import type { NestedArray } from "../../tensor/methods/arguments.ts";
import { Tensor } from "../../tensor/tensor.ts";

/** Samples by number (torch.utils.data.Dataset). */
export interface Dataset<Sample> {
  /** How many samples there are. */
  readonly length: number;
  /**
   * One sample, counted from 0. What is random in it (augmentation) is to follow from `index` and `epoch`, both counted
   * from 0: then a training that goes on in the middle of an epoch meets the same samples.
   */
  get(index: number, epoch: number): Sample | Promise<Sample>;
}

/** Samples by number that are fetched a batch at a time, which is faster where they lie in one array. */
export interface BatchedDataset<Batch> {
  /** How many samples there are. */
  readonly length: number;
  /** The samples at these `indices` as one batch; `epoch` is counted from 0. */
  batch(indices: readonly number[], epoch: number): Batch | Promise<Batch>;
}

/** A column of a `TensorDataset`: all samples along the first axis. A bare typed array has one number a sample. */
export type Column = Tensor | HostValues | TypedValues | NestedArray;

/**
 * Columns of equal length that lie in memory (torch.utils.data.TensorDataset): typed arrays, nested arrays, tensors,
 * what readers of files give, or `tensor(array, { shape, copy: false })`, which copies nothing.
 *
 * ```ts
 * const data = new TensorDataset(tensor(pixels, { shape: [8000, 1, 28, 28] }), Int32Array.from(labels));
 * ```
 */
export class TensorDataset<Columns extends readonly Column[]>
  implements
    BatchedDataset<{
      [K in keyof Columns]: Tensor;
    }>
{
  readonly length: number;
  readonly #columns: readonly Tensor[];
  #values: Promise<readonly HostArray[]> | undefined;

  /** @throws Error where there is no column, one has no axis, or their lengths differ. */
  constructor(...columns: Columns) {
    if (columns.length === 0) throw new Error("TensorDataset: needs at least one column");
    this.#columns = columns.map((column) =>
      column instanceof Tensor ? column : tensor(column as HostValues, isNumberArray(column) ? { copy: false } : {}),
    );
    this.#columns.forEach(({ shape }, i) => {
      if (shape.length === 0) throw new Error(`TensorDataset: column ${i} is one number; it needs an axis of samples`);
    });
    const lengths = this.#columns.map(({ shape }) => shape[0]);
    if (lengths.some((length) => length !== lengths[0])) {
      throw new Error(`TensorDataset: the columns have ${lengths.join(", ")} samples; they must have equally many`);
    }
    this.length = lengths[0];
  }

  /** Copies of the rows at these `indices`, one tensor a column. */
  async batch(indices: readonly number[]): Promise<{ [K in keyof Columns]: Tensor }> {
    this.#values ??= Promise.all(this.#columns.map(valuesOf));
    const values = await this.#values;
    const batch = this.#columns.map(({ shape, dtype }, i) => {
      const row = shape.slice(1).reduce((size, n) => size * n, 1);
      const out = hostArray(dtype, indices.length * row);
      indices.forEach((index, at) => {
        if (!(index >= 0 && index < this.length)) {
          throw new RangeError(`TensorDataset: there is no sample ${index}; samples are 0 … ${this.length - 1}`);
        }
        out.set(values[i].subarray(index * row, (index + 1) * row), at * row);
      });
      return tensor(out, { shape: [indices.length, ...shape.slice(1)], dtype, copy: false });
    });
    return batch as { [K in keyof Columns]: Tensor };
  }
}

/** The values on the host: those that a tensor was made of, or read once from the device. */
async function valuesOf(column: Tensor): Promise<HostArray> {
  const { op } = column.node;
  return op.kind === "data" && !op.refresh ? op.data : column.read();
}

/** One part of a sample: a number, a truth value, or an array with its shape (a bare typed array has one axis). */
export type SamplePart = number | boolean | HostValues | TypedValues | NestedArray | Tensor;

/**
 * Samples as a batch (torch.utils.data.default_collate): parts of equal place are stacked along a fresh first axis.
 * A sample is one part or an array of parts. Numbers become f32, truth values bool, arrays keep their dtype; `dtypes`
 * names others by place: `collate(samples, ["f32", "i32"])` for labels that are plain numbers.
 *
 * @throws Error naming the sample and the part whose shape or dtype differs from the first sample's.
 */
export function collate(samples: readonly unknown[], dtypes: readonly (DType | undefined)[] = []): Tensor[] {
  if (samples.length === 0) throw new Error("collate: there are no samples");
  const rows = samples.map((sample) => (Array.isArray(sample) ? sample : [sample]) as readonly SamplePart[]);
  rows.forEach((row, i) => {
    if (row.length === rows[0].length) return;
    throw new Error(`collate: sample ${i} has ${row.length} parts, the first has ${rows[0].length}`);
  });
  return rows[0].map((_, part) => {
    const parts = rows.map((row, i) => hostPart(row[part], `part ${part} of sample ${i}`));
    const { shape, dtype: own } = parts[0];
    const dtype = dtypes[part] ?? own;
    const size = parts[0].data.length;
    const out = hostArray(dtype, size * parts.length);
    parts.forEach((one, i) => {
      if (!sameShape(one.shape, shape) || one.dtype !== own) {
        throw new Error(
          `collate: part ${part} of sample ${i} is ${one.dtype}${formatShape(one.shape)}, of the first ` +
            `${own}${formatShape(shape)}; they must be equal: pad them, or give a collate function of your own`,
        );
      }
      for (let k = 0; k < size; k++) out[i * size + k] = one.data[k];
    });
    return tensor(out, { shape: [parts.length, ...shape], dtype, copy: false });
  });
}

/** A part of a sample with the values it was made of. */
function hostPart(part: SamplePart, name: string): { shape: readonly number[]; dtype: DType; data: HostArray } {
  if (typeof part === "number") return { shape: [], dtype: "f32", data: Float32Array.of(part) };
  if (typeof part === "boolean") return { shape: [], dtype: "bool", data: Uint8Array.of(Number(part)) };
  const plain = isNumberArray(part) || isTypedValues(part) || Array.isArray(part) || part instanceof Tensor;
  if (!plain)
    throw new TypeError(`collate: ${name} is ${describeValue(part)}; a number, an array or a tensor is needed`);
  const made = part instanceof Tensor ? part : tensor(part as HostValues);
  const { op } = made.node;
  if (op.kind === "data" && !op.refresh) return { shape: made.shape, dtype: made.dtype, data: op.data };
  throw new Error(`collate: ${name} is a computed tensor; hand in arrays, or give a collate function with stack([…])`);
}
