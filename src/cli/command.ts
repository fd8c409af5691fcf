/**
 * What every `hico` command shares: examples below its help, a refusal of options it does not know, and errors as one
 * line and exit code 1 (HICO_DEBUG prints the stack as well).
 */
import type { ArgsDef, CommandContext, CommandDef } from "citty";
import { renderUsage } from "citty";
import { debugLevel } from "../device/environment.ts";

/** A citty command with examples: lines of a command and what it does. */
export type HicoCommand<Args extends ArgsDef> = CommandDef<Args> & { readonly examples: readonly string[] };

/** Defines a command. `run` may throw: the message is printed and the exit code is 1. */
export function defineHicoCommand<const Args extends ArgsDef>(definition: {
  readonly meta: { readonly name: string; readonly description: string };
  readonly examples: readonly string[];
  readonly args: Args;
  readonly run: (context: CommandContext<Args>) => Promise<void>;
}): HicoCommand<Args> {
  const run = async (context: CommandContext<Args>): Promise<void> => {
    try {
      refuseUnknownOptions(definition.args, context.args);
      await definition.run(context);
    } catch (error) {
      const { message, stack } = error instanceof Error ? error : new Error(String(error));
      console.error(`hico: ${debugLevel() > 0 ? (stack ?? message) : message}`);
      process.exitCode = 1;
    }
  };
  return { ...definition, run };
}

/** A subcommand whose file is loaded when it is called. */
export function subcommand(load: () => Promise<{ readonly default: unknown }>): () => Promise<CommandDef> {
  return async () => (await load()).default as CommandDef;
}

/** citty's usage text, with the command's examples. */
export async function showUsage<Args extends ArgsDef = ArgsDef>(
  command: CommandDef<Args>,
  parent?: CommandDef<Args>,
): Promise<void> {
  console.log(`${(await renderUsage(command, parent)).trimEnd()}\n`);
  const { examples } = command as Partial<HicoCommand<ArgsDef>>;
  if (examples !== undefined) console.log(`EXAMPLES\n\n${examples.map((line) => `  ${line}`).join("\n")}\n`);
}

function refuseUnknownOptions(known: ArgsDef, given: object): void {
  const camel = (name: string): string => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  const aliases = Object.values(known).flatMap((arg) => ("alias" in arg ? [arg.alias ?? []].flat() : []));
  const names = new Set(["_", ...aliases, ...Object.keys(known).flatMap((name) => [name, camel(name)])]);
  const unknown = Object.keys(given).find((name) => !names.has(name));
  if (unknown === undefined) return;
  throw new Error(
    `unknown option --${unknown}; there is ${Object.keys(known)
      .map((name) => `--${name}`)
      .join(", ")}`,
  );
}
