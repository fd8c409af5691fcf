/** What a terminal shows of a pretraining run. */
import type { PretrainEvent } from "../hico/run/pretrain.ts";
import { duration } from "../train/progress.ts";
import { bar, percent, type ProgressLine } from "./progress.ts";

/** Shows the events of one run on a line. */
export function pretrainProgress(line: ProgressLine): (event: PretrainEvent) => void {
  let steps = 1;
  return (event) => {
    if (event.kind === "waiting") line.print(event.words);
    else if (event.kind === "start") {
      line.print(`${event.device}: ${event.clips} clips, ${event.perEpoch} steps an epoch, ${event.epochs} epochs`);
      if (event.checkpoint !== undefined) line.print(`resumed at step ${event.resumedAt} from ${event.checkpoint}`);
      steps = event.steps;
    } else if (event.kind === "losses") {
      const { clip, part, temporal, spatial, instance } = event.parts;
      const parts = [clip, part, temporal, spatial, instance].map((x) => x.toFixed(2)).join(" ");
      line.update(
        () =>
          `${bar(event.step / steps)} epoch ${event.epoch}  step ${event.step}/${steps}  loss ${event.loss.toFixed(3)} ` +
          `(c p t s i ${parts})  acc ${percent(event.accuracy)}  ${event.examplesPerSecond.toFixed(1)} clips/s  ` +
          `data wait ${percent(event.dataWait)}  ${duration(event.secondsLeft)} left`,
      );
    }
  };
}
