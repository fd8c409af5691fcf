/**
 * Progress on standard error: one line rewritten in place on a terminal, a line now and then elsewhere. Results go to
 * standard output and stay clean.
 */

export class ProgressLine {
  #shown = performance.now();
  #written = false;
  readonly #quiet: boolean;

  /** @param every milliseconds between lines where there is no terminal. */
  readonly #options: { readonly every?: number; readonly quiet?: boolean };
  constructor(options: { readonly every?: number; readonly quiet?: boolean } = {}) {
    this.#options = options;
    this.#quiet = options.quiet ?? false;
  }

  /** Shows a line in place of the last one; most calls do nothing. */
  update(line: () => string): void {
    if (this.#quiet) return;
    const now = performance.now();
    const terminal = process.stderr.isTTY;
    if (now - this.#shown < (terminal ? 100 : (this.#options.every ?? 10_000))) return;
    this.#shown = now;
    this.#written = true;
    const width = process.stderr.columns ?? 120;
    process.stderr.write(terminal ? `\r\x1b[2K${line().slice(0, width - 1)}` : `${line()}\n`);
  }

  /** A line that stays. */
  print(line: string): void {
    if (this.#quiet) return;
    this.clear();
    process.stderr.write(`${line}\n`);
  }

  clear(): void {
    if (process.stderr.isTTY && this.#written && !this.#quiet) process.stderr.write("\r\x1b[2K");
  }
}

export function bar(part: number, width = 24): string {
  const full = Math.round(Math.min(1, Math.max(0, part)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Rows in columns as wide as their longest word; numbers to the right. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, c) => Math.max(...rows.map((row) => row[c].length)));
  const cell = (word: string, c: number): string => (c === 0 ? word.padEnd(widths[c]) : word.padStart(widths[c]));
  return rows.map((row) => row.map(cell).join("  ").trimEnd()).join("\n");
}
