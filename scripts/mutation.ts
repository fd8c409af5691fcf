/** A planted error: one edit of a file, with the tests that must notice. */
export interface Mutation {
  readonly file: string;
  /** Text that occurs once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Tests of which at least one must fail. */
  readonly tests: readonly string[];
}

/** An edit of the file at a path of the project. */
export const edit = (file: string, find: string, replace: string, ...tests: string[]): Mutation => ({
  file,
  find,
  replace,
  tests,
});

/** Edits of TypeScript files of one folder, named without their ending. */
export const editsOf =
  (folder: string): typeof edit =>
  (file, find, replace, ...tests) =>
    edit(`${folder}/${file}.ts`, find, replace, ...tests);
