/** `hico pretrain`: learns representations from a clip store, without labels. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { useDevice } from "./device.ts";
import { PRESET_NAMES } from "../hico/run/presets.ts";
import { CONFIG_FILE, RunFolder } from "../hico/run/folder.ts";
import { layeredSettings } from "../hico/run/setting-layers.ts";
import { fittedBatch, fittedSettings, trainingClips } from "../hico/run/fit.ts";
import type { GivenSettings, RunSettings } from "../hico/run/settings.ts";
import { flagOf, resolveSettings } from "../hico/run/settings.ts";
import { defineHicoCommand } from "./command.ts";
import { DEVICE_ARGS, deviceOptions, givenSettings, JSON_ARG, settingArgs, wholeOption } from "./options.ts";
import { pretrainProgress } from "./pretrain-progress.ts";
import { interruption, keepWordsIn } from "./process-life.ts";
import { duration } from "../train/progress.ts";
import { percent, ProgressLine } from "./progress.ts";

/** Loaded when there is something to train: help and mistakes in options need none of it. */
const loadTraining = () => import("../hico/run/pretrain.ts");

export default defineHicoCommand({
  examples: [
    "hico pretrain --preset nw-ucla --data nw-ucla.clips --run runs/nw-ucla",
    "hico pretrain --data my.clips --run runs/mine                 sizes that fit the clips and this machine",
    "hico pretrain --data my.clips --run runs/mine --encoder gru --hidden 128 --epochs 50",
    "hico pretrain --preset paper --data my.clips --run runs/paper the paper's sizes, for large sets and a GPU",
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
    fit: {
      type: "boolean",
      default: true,
      description: "Sizes that nothing names follow from the data and the device; --no-fit takes the paper's",
    },
    resume: { type: "boolean", description: "Go on from the run's last checkpoint; begin where there is none" },
    "skip-damaged": {
      type: "boolean",
      description: "With --resume: go on from the latest checkpoint that is whole; damaged ones are put aside",
    },
    force: { type: "boolean", description: "Begin anew over a run that is in the folder; all of it is removed" },
    ...settingArgs(),
    ...DEVICE_ARGS,
    ...JSON_ARG,
  },
  run: async ({ args }) => {
    const named = settingsOf(args);
    const { pretrain } = await loadTraining();
    const device = await useDevice(args.device, deviceOptions(args));
    const stop = interruption();
    const line = new ProgressLine({ every: 10_000 });
    keepWordsIn(join(args.run, "stderr.log"));
    try {
      const settings = fitted(named, args, device.name.startsWith("webgpu"));
      const report = await pretrain({
        settings,
        run: args.run,
        resume: args.resume,
        force: args.force,
        skipDamaged: args["skip-damaged"],
        signal: stop.signal,
        onEvent: pretrainProgress(line),
      });
      line.clear();
      for (const warning of report.warnings) console.error(`hico: warning: ${warning}`);
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
    } catch (error) {
      if (!stop.signal.aborted || error !== stop.signal.reason) throw error;
      console.error("stopped before anything was begun");
      process.exitCode = stop.code();
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

/**
 * The settings where sizes that nobody named fit the training clips, with a line that says so; a preset or a file keeps
 * its own, but for a batch that the clips do not fill.
 */
function fitted(
  settings: RunSettings,
  args: Readonly<Record<string, unknown>> & {
    run: string;
    preset?: string;
    config?: string;
    fit?: boolean;
    force?: boolean;
  },
  gpu: boolean,
): RunSettings {
  const given = givenSettings(args);
  if (args.fit === false || settings.data === "" || (!args.force && new RunFolder(args.run).exists)) return settings;
  const clips = trainingClips(settings);
  const named = args.preset !== undefined || args.config !== undefined || existsSync(CONFIG_FILE);
  if (named) {
    const batch = given.batch === undefined ? fittedBatch(settings.batch, clips) : settings.batch;
    if (batch === settings.batch) return settings;
    console.error(`hico: ${clips} training clips do not fill a batch of ${settings.batch}; batches are of ${batch}`);
    return resolveSettings({ from: "settings", given: { ...settings, batch } });
  }
  const sizes = {
    from: "sizes that fit the data",
    given: fittedSettings(clips, gpu, {
      epochs: wholeOption("epochs", args.epochs as string),
      batch: wholeOption("batch", args.batch as string),
    }),
  };
  const chosen = Object.entries(sizes.given).filter(([name]) => given[name] === undefined);
  if (chosen.length > 0) {
    const list = chosen.map(([name, value]) => `${flagOf(name)} ${String(value)}`).join(", ");
    console.error(`hico: sizes for ${clips} training clips: ${list} (--preset paper takes the paper's)`);
  }
  return layeredSettings({ from: "option", given: { ...sizes.given, ...definedOf(given) } });
}

const definedOf = (given: GivenSettings): GivenSettings =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
