/**
 * The one error that a malformed file gives, whatever its format.
 *
 * Everything read from disk is untrusted. A reader either returns a value or throws a `FormatError` that names the
 * file and the fault; any other exception out of a reader is a defect of the reader.
 */
export class FormatError extends Error {
  override readonly name = "FormatError";

  /**
   * @param file  the file's path, or the name the caller gave to in-memory bytes
   * @param fault what is wrong, with the rule it breaks and, where there is one, the way out
   */
  constructor(
    readonly file: string,
    readonly fault: string,
  ) {
    super(`${file}: ${fault}`);
  }
}

/** Text out of a file, made fit for an error message: quoted, control characters escaped, cut at `limit` characters. */
export function quoteForError(text: string, limit = 120): string {
  return JSON.stringify(text.length > limit ? `${text.slice(0, limit)}…` : text);
}
