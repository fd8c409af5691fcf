/**
 * What every `hico` command shares: examples below its help, a refusal of options it does not know, and errors as one
 * line and exit code 1 (HICO_DEBUG prints the stack as well).
 */
import { readFileSync } from "node:fs";
import type { ArgsDef, CommandContext, CommandDef } from "citty";
import { renderUsage, runCommand } from "citty";
import { debugLevel } from "../device/environment.ts";

/** The package's, as its package.json has it. */
export const { version: packageVersion } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as {
  readonly version: string;
};

/** A citty command with examples: lines of a command and what it does. */
type HicoCommand<Args extends ArgsDef> = CommandDef<Args> & { readonly examples: readonly string[] };

/** Defines a command. `run` may throw: the message is printed and the exit code is 1. */
export function defineHicoCommand<const Args extends ArgsDef>(definition: {
  readonly examples: readonly string[];
  readonly args: Args;
  /** The last positional argument may be given several times; `args._` has them all. Default false. */
  readonly several?: boolean;
  readonly run: (context: CommandContext<Args>) => Promise<void>;
}): HicoCommand<Args> {
  const run = async (context: CommandContext<Args>): Promise<void> => {
    try {
      refuseUnknownOptions(definition.args, context.args);
      if (!definition.several) refuseMorePlaces(definition.args, context.args);
      await definition.run(context);
    } catch (error) {
      tellError(error);
    }
  };
  return { ...definition, run };
}

/** A command's line in the help of the one above it, and how its file is loaded. */
type Subcommand = (() => Promise<CommandDef>) & { readonly description: string };

/** A subcommand whose file is loaded when it is called; the list of commands is told without it. */
export function subcommand(description: string, load: () => Promise<{ readonly default: unknown }>): Subcommand {
  const whole = async (): Promise<CommandDef> => ({ ...((await load()).default as CommandDef), meta: { description } });
  return Object.assign(whole, { description });
}

/** Prints an error as one line (its stack as well with HICO_DEBUG), and has the process end with code 1. */
function tellError(error: unknown): void {
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  console.error(`hico: ${debugLevel() > 0 ? (stack ?? message) : plainWords(message)}`);
  process.exitCode = 1;
}

/** Loading a command opens most of its files at once. */
const TOO_FEW_FILES =
  "this process may have too few files open at once; raise the limit (ulimit -n 1024; in a batch job it is the site's)";

/** The system's errors without their codes and calls: "ENOENT: no such file or directory, open 'x'" is a file's absence. */
export function plainWords(message: string): string {
  if (/\bEMFILE\b/.test(message)) return TOO_FEW_FILES;
  return message.replace(
    /\bE[A-Z]{3,}: ([^,\n]+), \w+(?: '([^'\n]*)')?(?: -> '[^'\n]*')?/g,
    (_, words: string, path: string | undefined, at: number, whole: string) =>
      path === undefined || whole.slice(0, at).includes(path) ? words : `${path}: ${words}`,
  );
}

/** Colours, where a terminal reads them and nobody asked for none (no-color.org). */
function withoutColours(text: string, stream: NodeJS.WriteStream): string {
  const coloured = stream.isTTY && !process.env.NO_COLOR && process.env.TERM !== "dumb";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colours begin with the escape character.
  return coloured ? text : text.replace(/\u001b\[\d+m/g, "");
}

/** The command that arguments name below `root`, with the words that lead there. */
async function commandOf(
  root: CommandDef,
  rawArgs: readonly string[],
): Promise<{ command: CommandDef; path: string[] }> {
  const path = ["hico"];
  let command = root;
  for (const word of rawArgs) {
    const below = await resolved(command.subCommands);
    const next = below && Object.hasOwn(below, word) ? below[word] : undefined;
    if (next === undefined) break;
    command = (await resolved(next)) as CommandDef;
    path.push(word);
  }
  return { command, path };
}

async function resolved<T>(value: T | Promise<T> | (() => T | Promise<T>) | undefined): Promise<T | undefined> {
  return typeof value === "function" ? (value as () => T | Promise<T>)() : value;
}

/** citty's usage text, with the whole command in its lines, and its examples. */
async function usageOf(command: CommandDef, path: readonly string[]): Promise<string> {
  const parent: CommandDef = { meta: { name: path.slice(0, -1).join(" ") } };
  const below = Object.entries((await resolved(command.subCommands)) ?? {}).map(([name, sub]): [string, CommandDef] => [
    name,
    { meta: { description: (sub as Subcommand).description } },
  ]);
  const shown: CommandDef = {
    ...command,
    meta: { ...(await resolved(command.meta)), name: path[path.length - 1] },
    subCommands: below.length > 0 ? Object.fromEntries(below) : undefined,
  };
  const text = (await renderUsage(shown, path.length > 1 ? parent : undefined)).trimEnd();
  const { examples } = command as Partial<HicoCommand<ArgsDef>>;
  const more = examples ? `\n\nEXAMPLES\n\n${examples.map((line) => `  ${line}`).join("\n")}` : "";
  return withoutColours(`${text}${more}\n`, process.stdout);
}

/** Runs the command that the arguments name: `--help` shows its usage, a mistake is a line, then where help is. */
export async function runHico(
  root: CommandDef,
  version: string,
  rawArgs: string[] = process.argv.slice(2),
): Promise<void> {
  let found: Awaited<ReturnType<typeof commandOf>>;
  try {
    found = await commandOf(root, rawArgs);
  } catch (error) {
    return tellError(error);
  }
  const { command, path } = found;
  if (rawArgs.includes("--help") || rawArgs.includes("-h")) return console.log(await usageOf(command, path));
  if (rawArgs.length === 1 && ["--version", "-v"].includes(rawArgs[0])) return console.log(version);
  try {
    const below = await resolved(command.subCommands);
    const stranger = rawArgs.slice(path.length - 1).find((word) => !word.startsWith("-"));
    if (below && stranger !== undefined)
      throw new Error(
        `there is no command "${[...path, stranger].join(" ")}"; there is ${Object.keys(below).join(", ")}`,
      );
    if (below) {
      console.log(await usageOf(command, path));
      process.exitCode = 1;
      return;
    }
    await runCommand(root, { rawArgs });
  } catch (error) {
    const words =
      error instanceof Error ? missingWords(error, ((await resolved(command.args)) ?? {}) as ArgsDef) : undefined;
    tellError(words === undefined ? error : new Error(words));
    console.error(
      `${usageLine(path, ((await resolved(command.args)) ?? {}) as ArgsDef)}\n${path.join(" ")} --help says more`,
    );
  }
}

/** What is missing, in a line, from citty's words for it. */
function missingWords({ message }: Error, args: ArgsDef): string | undefined {
  const [, name] = /^Missing required (?:positional )?argument: (\S+)$/.exec(message) ?? [];
  if (name === undefined) return undefined;
  const own = Object.keys(args).find((key) => key.toUpperCase() === name || `--${key}` === name);
  return `${name} is missing: ${(own && args[own].description) ?? "it must be given"}`;
}

function usageLine(path: readonly string[], args: ArgsDef): string {
  const words = Object.entries(args).flatMap(([name, arg]) => {
    if (arg.type === "positional") return [arg.required === false ? `[${name.toUpperCase()}]` : name.toUpperCase()];
    return arg.required === true ? [`--${name} …`] : [];
  });
  return `usage: ${[...path, ...words].join(" ")}`;
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

/** What is given beyond the arguments that have a place would be passed by without a word. */
function refuseMorePlaces(known: ArgsDef, { _: given }: { readonly _: readonly string[] }): void {
  const places = Object.entries(known).flatMap(([name, { type }]) =>
    type === "positional" ? [name.toUpperCase()] : [],
  );
  const more = given[places.length];
  if (more === undefined) return;
  const words = ["no argument without an option's name is", `${places[0]} alone is`][places.length];
  throw new Error(`"${more}" has no place: ${words ?? `${places.join(" and ")} alone are`} taken; see --help`);
}
