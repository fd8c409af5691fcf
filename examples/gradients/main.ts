/**
 * Can a gradient be trusted? A function of one's own is checked against finite differences, on inputs that fast-check
 * draws; a wrong gradient is found, with the smallest input that shows it. Run: npx tsx examples/gradients/main.ts
 *
 * Result: worst difference <= 0.000001
 */
import fc from "fast-check";
import { gradcheck, ReferenceDevice, setDefaultDevice, tensor } from "hico-webgpu";
import type { Tensor } from "hico-webgpu";

setDefaultDevice(new ReferenceDevice()); // float64

/** Softplus, written by hand so that it does not overflow: max(x, 0) + log(1 + exp(−|x|)). */
const softplus = (x: Tensor): Tensor => x.maximum(0).add(x.abs().neg().exp().log1p());
/** The same with a mistake: the value is right, and no gradient flows through its second part. */
const wrong = (x: Tensor): Tensor => x.maximum(0).add(x.abs().neg().exp().log1p().detach());

/** Rows of numbers that are not 0, where the function has a kink on its way. */
const rows = fc.array(
  fc.double({ min: 0.1, max: 5, noNaN: true }).chain((size) => fc.constantFrom(size, -size)),
  { minLength: 1, maxLength: 4 },
);

let worst = 0;
await fc.assert(
  fc.asyncProperty(rows, async (values) => {
    const result = await gradcheck(softplus, [tensor(values, { dtype: "f64" })]);
    worst = Math.max(worst, result.largestError);
  }),
  { numRuns: 50, seed: 1 },
);
console.log(`worst difference ${worst.toExponential(1)}`);

const found = await fc.check(
  fc.asyncProperty(rows, async (values) => {
    await gradcheck(wrong, [tensor(values, { dtype: "f64" })]);
  }),
  { numRuns: 50, seed: 1 },
);
console.log(`the wrong one fails on ${JSON.stringify(found.counterexample?.[0])}`);
if (!found.failed) throw new Error("the wrong gradient was not found");
