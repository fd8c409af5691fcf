/**
 * Einstein summation for one or two operands, by way of one batched matmul: letters shared by both operands and kept
 * are batch axes, shared and dropped ones are the inner axis, the rest are rows and columns.
 */
import { requireTensor } from "./door/door.ts";
import type { Tensor } from "./tensor.ts";
import { formatShape } from "./shape.ts";

/**
 * `einsum("bth,gh->btg", x, w)`: x [B, T, H] and w [G, H] → [B, T, G], a letter an axis. Letters only (no ellipsis); a
 * letter must not repeat within one operand, and `equation` names all axes of every operand; more than two operands are
 * contracted from the left. Source: numpy.einsum / torch.einsum.
 */
export function einsum(equation: string, ...operands: Tensor[]): Tensor {
  const match = /^([a-zA-Z,\s]+)->([a-zA-Z\s]*)$/.exec(equation);
  if (!match) throw new Error(`einsum: "${equation}" is not of the form "ab,bc->ac"`);
  const inputs = match[1].replaceAll(/\s/g, "").split(",");
  const output = match[2].replaceAll(/\s/g, "");
  if (inputs.length !== operands.length)
    throw new Error(`einsum: "${equation}" names ${inputs.length} operands, ${operands.length} were given`);
  operands.forEach((x, i) => requireTensor("einsum", `operand ${i}`, x));
  const sizes = new Map<string, number>();
  inputs.forEach((letters, i) => {
    if (letters.length !== operands[i].rank) {
      throw new Error(
        `einsum: "${letters}" names ${letters.length} axes, operand ${i} is ${formatShape(operands[i].shape)}`,
      );
    }
    if (new Set(letters).size !== letters.length) throw new Error(`einsum: a letter repeats in "${letters}"`);
    [...letters].forEach((letter, axis) => {
      const size = operands[i].shape[axis];
      if (sizes.has(letter) && sizes.get(letter) !== size) {
        throw new Error(`einsum: "${letter}" has sizes ${sizes.get(letter)} and ${size} in "${equation}"`);
      }
      sizes.set(letter, size);
    });
  });
  for (const letter of output)
    if (!sizes.has(letter)) throw new Error(`einsum: "${letter}" of the result is in no operand`);
  if (new Set(output).size !== output.length) throw new Error(`einsum: a letter repeats in the result "${output}"`);

  let letters = inputs[0];
  let value = operands[0];
  for (let i = 1; i < operands.length; i++) {
    const needed = new Set([...output, ...inputs.slice(i + 1).join("")]);
    [letters, value] = contract(letters, value, inputs[i], operands[i], needed);
  }
  return arrange(letters, value, output);
}

/** Sums letters that `target` lacks and orders the rest as `target` has them. */
function arrange(letters: string, x: Tensor, target: string): Tensor {
  const dropped = [...letters].flatMap((l, axis) => (target.includes(l) ? [] : [axis]));
  const kept = [...letters].filter((l) => target.includes(l)).join("");
  const summed = dropped.length ? x.sum(dropped) : x;
  return summed.permute([...target].map((l) => kept.indexOf(l)));
}

function contract(aLetters: string, a: Tensor, bLetters: string, b: Tensor, needed: Set<string>): [string, Tensor] {
  const inA = (l: string) => aLetters.includes(l);
  const inB = (l: string) => bLetters.includes(l);
  const batch = [...aLetters].filter((l) => inB(l) && needed.has(l)).join("");
  const inner = [...aLetters].filter((l) => inB(l) && !needed.has(l)).join("");
  const rows = [...aLetters].filter((l) => !inB(l) && needed.has(l)).join("");
  const columns = [...bLetters].filter((l) => !inA(l) && needed.has(l)).join("");
  const size = new Map<string, number>();
  [...aLetters].forEach((l, i) => size.set(l, a.shape[i]));
  [...bLetters].forEach((l, i) => size.set(l, b.shape[i]));
  const extent = (list: string) => [...list].reduce((n, l) => n * size.get(l)!, 1);
  const sizesOf = (list: string) => [...list].map((l) => size.get(l)!);

  const left = arrange(aLetters, a, batch + rows + inner).reshape([extent(batch), extent(rows), extent(inner)]);
  const right = arrange(bLetters, b, batch + inner + columns).reshape([extent(batch), extent(inner), extent(columns)]);
  const product = left.matmul(right).reshape([...sizesOf(batch), ...sizesOf(rows), ...sizesOf(columns)]);
  return [batch + rows + columns, product];
}
