/**
 * t-SNE: points of many dimensions laid out in a plane so that near ones stay near (van der Maaten & Hinton, "Visualizing
 * Data using t-SNE", JMLR 2008). Exact gradients over all pairs, for the few thousand points that a page can show.
 *
 * The layout starts from the first two principal directions of the affinities' own points, not from noise, which keeps
 * the global arrangement (Kobak & Berens, Nature Communications 2019) and makes it the same every time.
 */
import { CounterRandom } from "../../data/rng.ts";

/** Settings of `tsne`. */
export interface TsneOptions {
  /** Effective number of neighbours. Default 30, less where there are few points. */
  readonly perplexity?: number;
  /** Default 750. */
  readonly iterations?: number;
  readonly onIteration?: (done: number, total: number) => void;
}

/** Iterations at whose end affinities stop being exaggerated and momentum rises. */
const EARLY = 250;
const EXAGGERATION = 12;
/** Entropy of a row's affinities is met to this, in nats. */
const ENTROPY_TOLERANCE = 1e-5;

/**
 * Places points in the plane so that neighbours stay neighbours (t-SNE, van der Maaten and Hinton 2008).
 *
 * @param points float32 [count, width], row by row
 * @returns float64 [count, 2], centred on 0: x and y, point by point
 */
export function tsne(points: Float32Array, count: number, options: TsneOptions = {}): Float64Array {
  if (count < 1 || points.length % count !== 0)
    throw new Error(`tsne: ${points.length} values are not rows of ${count} points`);
  if (count < 4) return Float64Array.from({ length: 2 * count }, (_, i) => (i % 2 === 0 ? i / 2 - (count - 1) / 2 : 0));
  const width = points.length / count;
  const perplexity = Math.min(options.perplexity ?? 30, (count - 1) / 3);
  const affinities = jointAffinities(squaredDistances(points, count, width), count, perplexity);
  return descend(affinities, initialLayout(points, count, width), count, options);
}

/** Squared Euclidean distances [count, count]. */
function squaredDistances(points: Float32Array, count: number, width: number): Float64Array {
  const distances = new Float64Array(count * count);
  for (let i = 0; i < count; i++) {
    const own = points.subarray(i * width, (i + 1) * width);
    for (let j = 0, at = 0; j < i; j++) {
      let sum = 0;
      for (let c = 0; c < width; c++, at++) {
        const difference = own[c] - points[at];
        sum += difference * difference;
      }
      distances[i * count + j] = sum;
      distances[j * count + i] = sum;
    }
  }
  return distances;
}

/** p_ij = (p_j|i + p_i|j) / 2n, every row's Gaussian as wide as gives it the perplexity (eq. 1 and section 3.1). */
function jointAffinities(distances: Float64Array, count: number, perplexity: number): Float64Array {
  const conditional = new Float64Array(count * count);
  const target = Math.log(perplexity);
  for (let i = 0; i < count; i++) {
    const row = distances.subarray(i * count, (i + 1) * count);
    const out = conditional.subarray(i * count, (i + 1) * count);
    let nearest = Infinity;
    for (let j = 0; j < count; j++) if (j !== i) nearest = Math.min(nearest, row[j]);
    let [low, high, beta] = [0, Infinity, 1];
    for (let round = 0; round < 100; round++) {
      let [total, weighted, squares] = [0, 0, 0];
      for (let j = 0; j < count; j++) {
        // Relative to the nearest, so that far points do not all come out as 0.
        const far = row[j] - nearest;
        const p = j === i ? 0 : Math.exp(-beta * far);
        out[j] = p;
        total += p;
        weighted += p * far;
        squares += p * far * far;
      }
      const mean = weighted / total;
      const excess = Math.log(total) + beta * mean - target;
      if (Math.abs(excess) < ENTROPY_TOLERANCE) break;
      if (excess > 0) low = beta;
      else high = beta;
      // By Newton's method in log β, along which the entropy falls by β² times the distances' variance; by halves where
      // that leads out of the bounds.
      const fall = beta * beta * (squares / total - mean * mean);
      const next = beta * Math.exp(excess / fall);
      if (next > low && next < high) beta = next;
      else beta = high === Infinity ? beta * 2 : (low + high) / 2;
    }
    const total = out.reduce((sum, p) => sum + p, 0);
    for (let j = 0; j < count; j++) out[j] /= total;
  }
  const joint = new Float64Array(count * count);
  for (let i = 0; i < count; i++) {
    for (let j = 0; j < count; j++) {
      joint[i * count + j] = Math.max((conditional[i * count + j] + conditional[j * count + i]) / (2 * count), 1e-12);
    }
  }
  return joint;
}

/** The first two principal components by power iteration, as small as t-SNE wants its beginning. */
function initialLayout(points: Float32Array, count: number, width: number): Float64Array {
  const mean = new Float64Array(width);
  points.forEach((value, i) => (mean[i % width] += value / count));
  const random = CounterRandom.fromSeed(0);
  const layout = new Float64Array(2 * count);
  let first: Float64Array | undefined;
  for (let axis = 0; axis < 2; axis++) {
    let direction: Float64Array = Float64Array.from({ length: width }, () => random.between(-0.5, 0.5));
    let scores: Float64Array = new Float64Array(count);
    for (let round = 0; round < 30; round++) {
      if (first) removeProjection(direction, first);
      scores = project(points, mean, direction, count, width);
      direction = spread(points, mean, scores, count, width);
    }
    if (first) removeProjection(direction, first);
    scores = project(points, mean, direction, count, width);
    const deviation = Math.sqrt(scores.reduce((sum, s) => sum + s * s, 0) / count) || 1;
    scores.forEach((s, i) => (layout[2 * i + axis] = (1e-4 * s) / deviation));
    first = direction;
  }
  // Points that coincide would stay together for ever.
  for (let i = 0; i < layout.length; i++) layout[i] += random.between(-5e-7, 5e-7);
  return layout;
}

function project(
  points: Float32Array,
  mean: Float64Array,
  direction: Float64Array,
  count: number,
  width: number,
): Float64Array {
  const scores = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    let sum = 0;
    for (let c = 0; c < width; c++) sum += (points[i * width + c] - mean[c]) * direction[c];
    scores[i] = sum;
  }
  return scores;
}

/** Xᵀ·scores, of length 1. */
function spread(
  points: Float32Array,
  mean: Float64Array,
  scores: Float64Array,
  count: number,
  width: number,
): Float64Array {
  const direction = new Float64Array(width);
  for (let i = 0; i < count; i++)
    for (let c = 0; c < width; c++) direction[c] += scores[i] * (points[i * width + c] - mean[c]);
  const length = Math.sqrt(direction.reduce((sum, x) => sum + x * x, 0)) || 1;
  return direction.map((x) => x / length);
}

function removeProjection(direction: Float64Array, onto: Float64Array): void {
  let product = 0;
  direction.forEach((x, c) => (product += x * onto[c]));
  onto.forEach((x, c) => (direction[c] -= product * x));
}

/** Gradient descent with momentum and a gain for every coordinate (section 3.4; gradient: eq. 5). */
function descend(
  p: Float64Array,
  layout: Float64Array,
  count: number,
  { iterations = 750, onIteration }: TsneOptions,
): Float64Array {
  const rate = Math.max(50, count / EXAGGERATION);
  const velocity = new Float64Array(2 * count);
  const gains = new Float64Array(2 * count).fill(1);
  const pairs = new Pairs(p, count);
  for (let iteration = 0; iteration < iterations; iteration++) {
    const early = iteration < EARLY;
    const gradient = pairs.gradient(layout, early ? EXAGGERATION : 1);
    const momentum = early ? 0.5 : 0.8;
    const mean = [0, 0];
    for (let i = 0; i < layout.length; i++) {
      const against = gradient[i] > 0 !== velocity[i] > 0;
      gains[i] = Math.max(0.01, against ? gains[i] + 0.2 : gains[i] * 0.8);
      velocity[i] = momentum * velocity[i] - rate * gains[i] * gradient[i];
      layout[i] += velocity[i];
      mean[i % 2] += layout[i] / count;
    }
    for (let i = 0; i < layout.length; i++) layout[i] -= mean[i % 2];
    onIteration?.(iteration + 1, iterations);
  }
  return layout;
}

/**
 * The forces between all pairs of points: nearly all of the time. A point's force is the sum over one row, in registers;
 * rows are gone through whole, since a pair's second half costs less than adding the first to the other point's sums. What
 * affinities pull and what the kernel pushes are summed apart: how much the push counts is known after the last row.
 */
class Pairs {
  readonly #count: number;
  /** Affinities [count, count]. */
  readonly #p: Float64Array;
  readonly #x: Float64Array;
  readonly #y: Float64Array;
  readonly #push: Float64Array;
  readonly #gradient: Float64Array;

  /** @param p affinities [count, count] */
  constructor(p: Float64Array, count: number) {
    this.#count = count;
    this.#p = p;
    this.#x = new Float64Array(count);
    this.#y = new Float64Array(count);
    this.#push = new Float64Array(2 * count);
    this.#gradient = new Float64Array(2 * count);
  }

  /** @param factor by which affinities are exaggerated */
  gradient(layout: Float64Array, factor: number): Float64Array {
    const [count, p, x, y, push, gradient] = [this.#count, this.#p, this.#x, this.#y, this.#push, this.#gradient];
    for (let i = 0; i < count; i++) [x[i], y[i]] = [layout[2 * i], layout[2 * i + 1]];
    let total = 0;
    for (let i = 0, at = 0; i < count; i++) {
      const [xi, yi] = [x[i], y[i]];
      let [pullX, pullY, pushX, pushY, kernels] = [0, 0, 0, 0, 0];
      for (let j = 0; j < count; j++, at++) {
        const dx = xi - x[j];
        const dy = yi - y[j];
        const kernel = 1 / (1 + dx * dx + dy * dy);
        const pull = p[at] * kernel;
        const apart = kernel * kernel;
        kernels += kernel;
        pullX += pull * dx;
        pullY += pull * dy;
        pushX += apart * dx;
        pushY += apart * dy;
      }
      gradient[2 * i] = pullX;
      gradient[2 * i + 1] = pullY;
      push[2 * i] = pushX;
      push[2 * i + 1] = pushY;
      // But of the point to itself, which is 1.
      total += kernels - 1;
    }
    for (let i = 0; i < gradient.length; i++) gradient[i] = 4 * (factor * gradient[i] - push[i] / total);
    return gradient;
  }
}
