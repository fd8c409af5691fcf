/**
 * Whether a run learned to tell clips apart at all: contrastive accuracy that stays where guessing would be, and what
 * that usually comes from.
 */
import type { RunSettings } from "./settings.ts";

/** Time constants of the key network's average below which it has hardly left its first values. */
const FEW = 3;
/** Standard errors that accuracy must be above guessing. */
const CLEAR = 3;

/**
 * A warning, or undefined where accuracy is clearly above chance, one in queue + 1.
 * @param accuracy contrastive accuracy of the last epoch, 0 to 1
 * @param steps done
 * @param perEpoch steps that `accuracy` is the mean of
 */
export function chanceWarning(
  settings: Pick<RunSettings, "queue" | "batch" | "keyMomentum" | "lr" | "temperature">,
  accuracy: number,
  steps: number,
  perEpoch: number,
): string | undefined {
  const { queue, batch, keyMomentum, lr, temperature } = settings;
  const chance = 1 / (queue + 1);
  const error = Math.sqrt((chance * (1 - chance)) / (batch * perEpoch));
  if (steps === 0 || accuracy > Math.max(2 * chance, chance + CLEAR * error)) return undefined;
  const constants = steps * (1 - keyMomentum);
  const cause =
    constants < FEW
      ? `over ${steps} steps a key momentum of ${keyMomentum} hardly moves the key network; ` +
        `train for more epochs (--resume --epochs), or with a smaller --key-momentum`
      : `the rate may be too high or too low (--lr ${lr}), the temperature unfit (--temperature ${temperature}), ` +
        `or clips too much alike; look at the loss's curve`;
  return (
    `contrastive accuracy is ${(100 * accuracy).toFixed(1)} %, where guessing gives ${(100 * chance).toFixed(1)} %: ` +
    `the run has not learned to tell clips apart. Likely cause: ${cause}`
  );
}
