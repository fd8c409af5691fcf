/** `hico check-engine`: the conformance suite on this engine or another, as a table and a list of what differs. */
import { writeTextAtomic } from "../../io/byte-sink.ts";
import {
  checkEngine,
  conformanceMarkdown,
  conformanceText,
  ENGINES,
  faultsOf,
  openEngine,
} from "../../testing/index.ts";
import { duration, ProgressTimer } from "../../train/progress.ts";
import { defineHicoCommand } from "../command.ts";
import { choiceOption, FORCE_ARG, requireNew, wholeOption } from "../options.ts";
import { bar, ProgressLine } from "../progress.ts";

export default defineHicoCommand({
  examples: [
    "hico check-engine hico                          this engine's cpu device",
    "hico check-engine jax-js --markdown jax-js.md   jax-js as the project has it, on its wasm backend",
    "hico check-engine jax-js --only softplus,pow    some operations",
    "hico check-engine tfjs --backend cpu            TensorFlow.js as the project has it",
    "hico check-engine torch --python .venv/bin/python   PyTorch of a Python, over a pipe",
  ],
  args: {
    engine: { type: "positional", description: `The engine: ${ENGINES.join(", ")}`, required: true },
    backend: { type: "string", description: "Where it computes, by the engine's own names" },
    python: { type: "string", description: "For torch: the Python that has PyTorch (python3)" },
    only: { type: "string", description: "Operations by parts of their names, with commas" },
    seed: { type: "string", description: "Of the operands that are drawn (0)" },
    json: { type: "string", description: "Write every finding to this file" },
    markdown: { type: "string", description: "Write the table and the findings to this file" },
    ...FORCE_ARG,
  },
  run: async ({ args }) => {
    for (const file of [args.json, args.markdown]) requireNew(file, args.force);
    const seed = wholeOption("seed", args.seed, 0);
    const only = (args.only ?? "").split(",").filter((part) => part !== "");
    const engine = await openEngine(choiceOption("engine", args.engine, ENGINES)!, {
      ...{ backend: args.backend, python: args.python },
    });
    const line = new ProgressLine();
    let timer: ProgressTimer | undefined;
    const report = await checkEngine(engine, {
      ...{ seed, only },
      progress: (done, of, operation) => {
        timer ??= new ProgressTimer(of);
        timer.step(done);
        const { secondsLeft } = timer.progress();
        line.update(() => {
          const left = secondsLeft === undefined ? "" : `, ${duration(secondsLeft)} left`;
          return `${bar(done / of)} ${done} of ${of} cases${left}  ${operation}`;
        });
      },
    }).finally(async () => {
      line.clear();
      await engine.close?.();
    });
    console.log(conformanceText(report));
    if (args.json) writeTextAtomic(args.json, `${JSON.stringify(report, null, 2)}\n`);
    if (args.markdown) writeTextAtomic(args.markdown, conformanceMarkdown(report));
    if (faultsOf(report).length > 0) process.exitCode = 1;
  },
});
