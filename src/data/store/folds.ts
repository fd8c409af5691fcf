/**
 * Own folds of a clip store: each is a protocol under which its clips test and all others train.
 *
 * Made once all clips are known: by subject (leave one out, or so many groups of subjects), or from a file that names the
 * clips of every fold, as JSON `{ "fold": ["clip", …] }` or as a table with the columns `file` (or `name`) and `fold`.
 */
import { DataError } from "../errors.ts";
import { cellsOf, delimiterOf } from "../formats/csv-rows.ts";
import { composed, readText, splitLines } from "../formats/text.ts";
import { parseJson } from "../json.ts";
import type { ClipFacts } from "./format.ts";
import { MAX_PROTOCOLS } from "./format.ts";
import type { Protocol } from "./protocol.ts";

/**
 * Protocols of one's own folds, one a fold: its clips test, the others train.
 *
 * @param folds "subject", "subject:5" for five groups of subjects, or the path of a file
 * @param taken protocols that the store has besides
 * @throws DataError where a clip has no place, or there are more folds than a store has room for
 */
export function foldProtocols(folds: string, clips: readonly ClipFacts[], taken: number): Protocol[] {
  const [, groups] = /^subject(?::([1-9]\d*))?$/.exec(folds) ?? [undefined, undefined];
  const found = /^subject(:|$)/.test(folds) ? bySubject(folds, clips, groups) : fromFile(folds, clips);
  if (found.length < 2) throw new DataError(folds, "label", `makes ${found.length} fold; there must be two at least`);
  if (found.length + taken > MAX_PROTOCOLS) {
    const room = MAX_PROTOCOLS - taken;
    throw new DataError(
      folds,
      "label",
      `makes ${found.length} folds; a store has room for ${room} more; --folds subject:${Math.min(10, room)} makes groups`,
    );
  }
  return found;
}

function bySubject(folds: string, clips: readonly ClipFacts[], groups: string | undefined): Protocol[] {
  if (folds !== "subject" && groups === undefined)
    throw new DataError(folds, "label", "is neither subject nor subject:GROUPS, as in subject:5");
  const without = clips.find(({ subject }) => subject === undefined);
  if (without) throw new DataError(without.name, "label", "has no subject; folds by subject need one of every clip");
  const subjects = [...new Set(clips.map(({ subject }) => subject!))].sort((a, b) => a - b);
  const count = Math.min(subjects.length, groups === undefined ? subjects.length : Number(groups));
  return Array.from({ length: count }, (_, fold) => {
    const testing = subjects.filter((_subject, i) => i % count === fold);
    const one = count === subjects.length;
    return {
      name: one ? `subject-${testing[0]}` : `fold-${fold + 1}`,
      own: true,
      rule: `${testing.length === 1 ? "subject" : "subjects"} ${testing.join(", ")} ${testing.length === 1 ? "tests" : "test"}, the others train`,
      split: ({ subject }) => (testing.includes(subject!) ? "test" : "train"),
    };
  });
}

function fromFile(path: string, clips: readonly ClipFacts[]): Protocol[] {
  const foldOf = new Map<string, string>();
  for (const [clip, fold] of listed(path, composed(readText(path)))) {
    const before = foldOf.get(clip);
    if (before !== undefined && before !== fold)
      throw new DataError(path, "label", `puts ${clip} into ${before} and into ${fold}`);
    foldOf.set(clip, fold);
  }
  // Windows of a recording go where it goes.
  const find = (name: string): string | undefined =>
    foldOf.get(composed(name)) ?? foldOf.get(composed(name).replace(/@\d+$/, ""));
  const without = clips.find(({ name }) => find(name) === undefined);
  if (without) throw new DataError(path, "label", `names no fold for clip ${without.name}`);
  const used = new Set(clips.map(({ name }) => find(name)));
  const idle = [...foldOf.values()].find((fold) => !used.has(fold));
  if (idle !== undefined) throw new DataError(path, "label", `fold ${idle} has none of the clips that there are`);
  const nameOf = (fold: string): string => (/^[a-z]/i.test(fold) ? fold : `fold-${fold}`);
  const folds = [...new Set(foldOf.values())];
  const twin = folds.find((fold) => folds.some((other) => other !== fold && nameOf(other) === nameOf(fold)));
  if (twin !== undefined)
    throw new DataError(path, "label", `has a fold ${twin} and another that is called ${nameOf(twin)} too`);
  return folds.map((fold) => ({
    name: nameOf(fold),
    own: true,
    rule: `fold ${fold} of ${path} tests, the others train`,
    split: ({ name }) => (find(name) === fold ? "test" : "train"),
  }));
}

/** Clips with their folds, as a file lists them. */
function listed(path: string, text: string): [clip: string, fold: string][] {
  const fail = (detail: string): never => {
    throw new DataError(path, "format", detail);
  };
  if (/^\s*\{/.test(text)) {
    return Object.entries(parseJson(text, path) as object).flatMap(([fold, names]: [string, unknown]) => {
      if (!Array.isArray(names) || !names.every((name) => typeof name === "string"))
        return fail(`fold ${fold} is not a list of clips' names`);
      return (names as string[]).map((name): [string, string] => [name, fold]);
    });
  }
  const lines = splitLines(text).filter((line) => line.trim() !== "");
  const delimiter = delimiterOf(lines[0] ?? "");
  const [head, ...rows] = lines.map((line) => cellsOf(line, delimiter));
  const [clip, fold] = [head.findIndex((name) => name === "file" || name === "name"), head.indexOf("fold")];
  if (clip < 0 || fold < 0) return fail(`its first line must name the columns file,fold; it is "${head.join(",")}"`);
  return rows.map((row, i): [string, string] => {
    if (row.length !== head.length)
      fail(`line ${i + 2} has ${row.length} columns; the first line names ${head.length}`);
    return [row[clip], row[fold]];
  });
}
