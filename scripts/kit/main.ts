/**
 * The public kit on this engine: operations, layers, losses, optimizers, gradients of one's own, random graphs and
 * programs, and the conformance suite, through what `hico-webgpu/testing` exports and nothing else.
 *
 * `node --import tsx scripts/kit/main.ts [--device cpu|reference|webgpu] [--first WORDS] [--only WORDS] [--seed N] [--tally FILE]`.
 * Says what it found first and ends with exit code 1, or with 0 where there is nothing. `--first` names parts of checks
 * that run before the others, `--only` those that run at all; words are joined by commas. `--seconds`
 * ends after so much time of the processor, with exit code 3. `--times` says what each check took; `--all` goes on after
 * what was found; `--tally` keeps which checks passed in a file, and does not run them again.
 */
import { parseArgs } from "node:util";
import { useDevice } from "../../src/index.ts";
import { Tally } from "../mutant.ts";
import { runChecks } from "./checks.ts";

const { values } = parseArgs({
  options: {
    device: { type: "string", default: "cpu" },
    first: { type: "string", default: "" },
    only: { type: "string", default: "" },
    seed: { type: "string", default: "1" },
    seconds: { type: "string", default: "Infinity" },
    times: { type: "boolean" },
    all: { type: "boolean" },
    tally: { type: "string" },
  },
});
const words = (text: string): string[] => text.split(",").filter(Boolean);
const tally = new Tally(values.tally);
const device = await useDevice(values.device as "cpu");
const { found, checks, left } = await runChecks({
  device,
  first: words(values.first),
  only: words(values.only),
  seed: Number(values.seed),
  seconds: Number(values.seconds),
  passed: (name) => tally.has(name),
  told(name, milliseconds) {
    tally.tell(name);
    if (values.times) console.log(`${Math.round(milliseconds)} ms  ${name}`);
  },
  finds: values.all ? (name, message) => console.log(`${name}: ${message.slice(0, 1500)}`) : undefined,
});
const nothing = `${checks} checks found nothing${left ? `, ${left} did not run` : ""}`;
console.log(found ? `found by ${found.check}: ${found.message}` : nothing);
// Threads of a device with a planted error may not end by themselves.
process.exit(found ? 1 : left ? 3 : 0);
