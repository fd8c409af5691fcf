/**
 * The code blocks of Markdown pages as programs. Words after ```` ```ts ```` say how a block is to be taken:
 *
 * | words | meaning |
 * |---|---|
 * | none | a module of its own: type-checked and run |
 * | `continued` | goes on from the page's block before it: both are one program |
 * | `file=NAME.ts` | a module that later blocks of the page import as `./NAME.ts`; run too |
 * | `no-run: REASON` | type-checked only |
 * | `excerpt=PATH` | quoted from the project's own source, where every line of it stands |
 * | `device=NAME` | run with HICO_DEVICE set so |
 *
 * A ```` ```text output ```` block after a program is what it prints.
 */

/** A program out of a page, or a quotation. */
export interface Sample {
  readonly page: string;
  /** Line of its first fence, from 1. */
  readonly line: number;
  /** File name under the page's folder. */
  readonly file: string;
  readonly source: string;
  /** Why it is not run; undefined where it is. */
  readonly notRun: string | undefined;
  /** The source file it quotes. */
  readonly excerpt: string | undefined;
  readonly device: string | undefined;
  /** What it prints, where the page says so. */
  readonly output: string | undefined;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

const WORDS = /^(?:continued|no-run|(?:file|excerpt|device)=\S+)$/;

/** The samples of a page. @throws Error where a fence has a word that means nothing, or a reason is missing */
export function samplesOf(page: string, markdown: string): Sample[] {
  const found: Mutable<Sample>[] = [];
  const lines = markdown.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(\s*)(```+)(\S*)\s*(.*)$/.exec(lines[at]);
    if (!fence) continue;
    const [, indent, ticks, language, info] = fence;
    const end = lines.findIndex((line, i) => i > at && line.trim() === ticks);
    if (end < 0) throw new Error(`${page}:${at + 1}: the code block has no end`);
    const source = lines
      .slice(at + 1, end)
      .map((line) => (line.startsWith(indent) ? line.slice(indent.length) : line))
      .join("\n");
    const where = `${page}:${at + 1}`;
    if (language === "ts") take(found, page, at + 1, info, `${source}\n`, where);
    else if (["typescript", "js", "javascript", "mjs", "tsx"].includes(language)) {
      throw new Error(`${where}: code is shown as \`\`\`ts here, so that it is checked; not as ${language}`);
    } else if (language === "text" && info === "output") {
      const program = found.at(-1);
      if (!program) throw new Error(`${where}: there is no program before this output`);
      program.output = source;
    }
    at = end;
  }
  return found;
}

function take(found: Mutable<Sample>[], page: string, line: number, info: string, source: string, where: string): void {
  const [text, reason] = info.split(/:\s*(.*)/s);
  const words = text.split(/\s+/).filter((word) => word !== "");
  for (const word of words) if (!WORDS.test(word)) throw new Error(`${where}: \`\`\`ts ${word} means nothing`);
  const value = (name: string): string | undefined =>
    words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
  if (words.includes("no-run") && !reason) throw new Error(`${where}: say why: \`\`\`ts no-run: REASON`);
  if (words.includes("continued")) {
    const before = found.at(-1);
    if (!before) throw new Error(`${where}: there is no block that this one continues`);
    before.source += source;
    before.notRun ??= reason;
    return;
  }
  found.push({
    page,
    line,
    file: value("file") ?? `line-${line}.ts`,
    source,
    notRun: words.includes("no-run") ? reason : undefined,
    excerpt: value("excerpt"),
    device: value("device"),
    output: undefined,
  });
}

/** Lines of a quotation that its source does not have, in words. */
export function misquoted({ page, line, source, excerpt }: Sample, quoted: string): string[] {
  const known = new Set(quoted.split("\n").map((text) => text.trim()));
  const wrong = source.split("\n").filter((text) => text.trim() !== "" && !known.has(text.trim()));
  return wrong.map((text) => `${page}:${line}: ${excerpt} has no line "${text.trim()}"`);
}
