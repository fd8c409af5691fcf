/**
 * Bad input, named: which file, what kind of fault, and what exactly is wrong.
 *
 * Preparing a data set goes through thousands of files, some of which are broken. A caller that skips broken clips
 * counts them by `reason` and lists them by `file`; one that stops shows the message, which names both.
 */

/**
 * - `unreadable`: the file cannot be opened or read;
 * - `empty`: no bytes, no frames, or no body in any frame;
 * - `format`: the text or bytes do not follow the file's format (cut off, a word where a number belongs);
 * - `not-finite`: a NaN or an infinity among the coordinates;
 * - `range`: a joint so far from its body that it cannot be one;
 * - `shape`: the wrong number of joints, columns, persons or axes;
 * - `label`: a class, name or interval outside what the data set defines.
 */
export type BadInput = "unreadable" | "empty" | "format" | "not-finite" | "range" | "shape" | "label";

/** Every reason for which a file or clip is refused. */
export const BAD_INPUT_REASONS: readonly BadInput[] = [
  "unreadable",
  "empty",
  "format",
  "not-finite",
  "range",
  "shape",
  "label",
];

/** An input that cannot be used. `file` is the path or sample name, `detail` says the rule and what broke it. */
export class DataError extends Error {
  override readonly name = "DataError";
  readonly file: string;
  readonly reason: BadInput;
  readonly detail: string;

  /** @param options the `cause`, where another error is behind it. */
  constructor(file: string, reason: BadInput, detail: string, options?: ErrorOptions) {
    super(`${file}: ${reason}: ${detail}`, options);
    this.file = file;
    this.reason = reason;
    this.detail = detail;
  }
}
