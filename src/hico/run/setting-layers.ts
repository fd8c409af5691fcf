/** Where a run's settings come from: defaults, a preset, a file, and what is given by hand, later ones over earlier ones. */
import { existsSync } from "node:fs";
import { presetNamed } from "./presets.ts";
import { CONFIG_FILE, readConfig } from "./folder.ts";
import type { GivenSettings, RunSettings } from "./settings.ts";
import { resolveSettings } from "./settings.ts";

interface SettingLayers {
  /** Else the one that the file names. */
  readonly preset?: string;
  /** A JSON file of settings; else `hico.config.json` in the working folder, where there is one and no preset is given. */
  readonly config?: string;
  readonly given: GivenSettings;
  /** Where `given` came from, for messages. */
  readonly from: string;
  /** Is told what becomes of a file that was found and not named. */
  readonly onNotice?: (notice: string) => void;
}

/** @throws Error naming the setting, its rule and where it came from. */
export function layeredSettings({ preset: given, config, onNotice, ...last }: SettingLayers): RunSettings {
  const found = config === undefined && existsSync(CONFIG_FILE);
  if (found) {
    onNotice?.(
      given === undefined
        ? `settings are taken from ${CONFIG_FILE} in this folder`
        : `${CONFIG_FILE} in this folder is left aside, as a preset is given; --config ${CONFIG_FILE} takes it as well`,
    );
  }
  const path = config ?? (found && given === undefined ? CONFIG_FILE : undefined);
  const { preset: filePreset, ...file } = path === undefined ? {} : readConfig(path);
  const preset = given ?? filePreset;
  if (preset !== undefined && typeof preset !== "string") throw new Error(`${path}: "preset" must be a name`);
  return resolveSettings(
    { from: `preset ${preset}`, given: preset === undefined ? {} : { ...presetNamed(preset) } },
    { from: path ?? "no file", given: file },
    last,
  );
}
