/** `hico pretrain`: learns representations from a clip store, without labels. */
import { useDevice } from "../device/index.ts";
import { PRESET_NAMES } from "../hico/run/presets.ts";
import { pretrain } from "../hico/run/pretrain.ts";
import { CONFIG_FILE, RunFolder } from "../hico/run/folder.ts";
import { layeredSettings } from "../hico/run/setting-layers.ts";
import type { RunSettings } from "../hico/run/settings.ts";
import { resolveSettings } from "../hico/run/settings.ts";
import { defineHicoCommand } from "./command.ts";
import { DEVICE_ARGS, deviceOptions, givenSettings, JSON_ARG, settingArgs } from "./options.ts";
import { pretrainProgress } from "./pretrain-progress.ts";
import { duration, interruption, percent, ProgressLine } from "./progress.ts";

export default defineHicoCommand({
  meta: { name: "pretrain", description: "Learn action representations from a clip store, without labels" },
  examples: [
    "hico pretrain --preset nw-ucla --data nw-ucla.clips --run runs/nw-ucla",
    "hico pretrain --data my.clips --run runs/mine --encoder gru --hidden 128 --epochs 50",
    "hico pretrain --config hico.config.json --run runs/mine       settings from a file; flags come before it",
    "hico pretrain --run runs/mine --resume                        go on from the last checkpoint, bit for bit",
    "hico pretrain --preset nw-ucla --data nw-ucla.clips --run runs/tuned --hold-out 9,10   subjects to choose by",
  ],
  args: {
    run: { type: "string", description: "Folder of the run: settings, metrics, checkpoints", required: true },
    preset: { type: "string", description: `Settings that go together: ${PRESET_NAMES.join(", ")}` },
    config: {
      type: "string",
      description: `Settings as JSON; default ${CONFIG_FILE} here, where there is one and no --preset`,
    },
    resume: { type: "boolean", description: "Go on from the run's last checkpoint; begin where there is none" },
    ...settingArgs(),
    ...DEVICE_ARGS,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const settings = settingsOf(args);
    const device = await useDevice(args.device, deviceOptions(args));
    const stop = interruption();
    const line = new ProgressLine({ every: 10_000 });
    try {
      const report = await pretrain({
        settings,
        run: args.run,
        resume: args.resume,
        signal: stop.signal,
        onEvent: pretrainProgress(line),
      });
      line.clear();
      if (args.json) console.log(JSON.stringify(report, null, 2));
      else {
        console.log(
          `${report.finished ? "done" : "interrupted"} at step ${report.step} of ${report.steps} ` +
            `in ${duration(report.seconds)}: ` +
            `loss ${report.loss.toFixed(4)}, contrastive accuracy ${percent(report.accuracy)}, ` +
            `${report.examplesPerSecond.toFixed(1)} clips/s, waiting for data ${percent(report.dataWait)}\n` +
            `checkpoint ${report.checkpoint}`,
        );
      }
      if (!report.finished) process.exitCode = stop.code();
    } finally {
      stop.done();
      line.clear();
      device.close();
    }
  },
});

/** Defaults, preset, file, flags; a resumed run's own settings in place of the first three. */
function settingsOf(
  args: Readonly<Record<string, unknown>> & { run: string; preset?: string; config?: string; resume?: boolean },
): RunSettings {
  const flags = { from: "option", given: givenSettings(args) };
  const folder = new RunFolder(args.run);
  if (args.resume && folder.exists)
    return resolveSettings({ from: CONFIG_FILE, given: { ...folder.settings() } }, flags);
  const { preset, config } = args;
  return layeredSettings({ preset, config, ...flags, onNotice: (notice) => console.error(`hico: ${notice}`) });
}
