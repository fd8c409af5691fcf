/** Every export has a reader: a file elsewhere that imports the name, or an entry of the package that gives it to users. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, test } from "node:test";
import ts from "typescript";
import type { Sources } from "./house.ts";
import { readSources, root } from "./house.ts";

interface Exported {
  readonly line: number;
  /** Whether the name comes from another file: `export { a } from "./b.ts"`. */
  readonly passedOn: boolean;
}

/** Names that a file exports by declarations and lists, with their lines. */
function exportsOf(source: ts.SourceFile): Map<string, Exported> {
  const found = new Map<string, Exported>();
  const add = (name: string, node: ts.Node, passedOn = false): void => {
    found.set(name, { line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1, passedOn });
  };
  for (const statement of source.statements) {
    if (ts.isExportAssignment(statement)) add("default", statement);
    if (ts.isExportDeclaration(statement) && statement.exportClause && ts.isNamedExports(statement.exportClause))
      for (const element of statement.exportClause.elements)
        add(element.name.text, element, statement.moduleSpecifier !== undefined);
    const modifiers = ts.canHaveModifiers(statement) ? ts.getModifiers(statement) : undefined;
    if (!modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) continue;
    if (ts.isVariableStatement(statement)) {
      const addAll = (pattern: ts.BindingName): void => {
        if (ts.isIdentifier(pattern)) add(pattern.text, pattern);
        else for (const element of pattern.elements) if (!ts.isOmittedExpression(element)) addAll(element.name);
      };
      for (const { name } of statement.declarationList.declarations) addAll(name);
    } else if ((statement as ts.DeclarationStatement).name) {
      add((statement as ts.DeclarationStatement).name!.text, statement);
    }
  }
  return found;
}

/** What a file takes from others: `[file, name]`, with `*` where it takes whatever is there. */
function readsOf(file: string, source: ts.SourceFile): [string, string][] {
  const reads: [string, string][] = [];
  const read = (specifier: ts.Node | undefined, names: readonly string[]): void => {
    if (!specifier || !ts.isStringLiteralLike(specifier) || !specifier.text.startsWith(".")) return;
    const target = normalize(join(dirname(file), specifier.text)).replaceAll("\\", "/");
    for (const name of names) reads.push([target, name]);
  };
  const original = ({ propertyName, name }: ts.ImportSpecifier | ts.ExportSpecifier): string =>
    (propertyName ?? name).text;
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) && node.importClause) {
      const { name, namedBindings } = node.importClause;
      if (name) read(node.moduleSpecifier, ["default"]);
      if (namedBindings)
        read(
          node.moduleSpecifier,
          ts.isNamedImports(namedBindings) ? namedBindings.elements.map((element) => original(element)) : ["*"],
        );
    } else if (ts.isExportDeclaration(node)) {
      const clause = node.exportClause;
      read(node.moduleSpecifier, clause && ts.isNamedExports(clause) ? clause.elements.map((e) => original(e)) : ["*"]);
    } else if (ts.isImportTypeNode(node)) {
      read(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, ["*"]);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      read(node.arguments[0], ["*"]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return reads;
}

/** Exports of files below `src` that no reader takes, in words; all that an entry exports is taken. */
function unread(sources: Sources, entries: readonly string[]): string[] {
  const parsed = new Map([...sources].map(([f, text]) => [f, ts.createSourceFile(f, text, ts.ScriptTarget.Latest)]));
  const taken = new Map<string, Set<string>>(entries.map((entry) => [entry, new Set(["*"])]));
  for (const [file, source] of parsed)
    for (const [target, name] of readsOf(file, source)) {
      if (!taken.has(target)) taken.set(target, new Set());
      taken.get(target)!.add(name);
    }
  return [...parsed].flatMap(([file, source]) => {
    const names = taken.get(file);
    if (!file.startsWith("src/") || names?.has("*")) return [];
    return [...exportsOf(source)]
      .filter(([name]) => !names?.has(name))
      .map(([name, { line, passedOn }]) => `${file}:${line}: ${name}${passedOn ? " (passed on)" : ""}`);
  });
}

/** Sources of the package's entries, of package.json's `exports` and `bin`. */
function packageEntries(): string[] {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly bin: Record<string, string>;
    readonly exports: Record<string, string | { readonly default: string }>;
  };
  const entries = Object.values(manifest.exports).map((entry) => (typeof entry === "string" ? entry : entry.default));
  return [...Object.values(manifest.bin), ...entries]
    .map((path) => path.replace(/^(\.\/)?dist\/(.*)\.js$/, "src/$2.ts"))
    .filter((path) => path.endsWith(".ts"));
}

describe("exports", () => {
  test("each is imported by another file, or given to users by an entry of the package", () => {
    const sources = new Map(["src", "test", "scripts", "bench"].flatMap((folder) => [...readSources(folder)]));
    assert.deepEqual(
      unread(sources, packageEntries()),
      [],
      "delete what nothing reads, or take away the word export where its own file reads it",
    );
  });

  test("a planted one is found: a function, a type, a part of a pattern, a name passed on", () => {
    const planted = new Map([
      ["src/index.ts", 'export { used } from "./x/a.ts";\nexport * from "./x/all.ts";'],
      ["src/x/a.ts", "export const used = 1;\nexport function dead(): void {}\nexport type Dead = 1;"],
      ["src/x/all.ts", "export const everything = 1;"],
      ["src/x/b.ts", 'export { used as again } from "./a.ts";\nexport const { one, two } = pair;'],
      ["test/x.test.ts", 'import { type two as second } from "../src/x/b.ts";'],
    ]);
    assert.deepEqual(unread(planted, ["src/index.ts"]), [
      "src/x/a.ts:2: dead",
      "src/x/a.ts:3: Dead",
      "src/x/b.ts:1: again (passed on)",
      "src/x/b.ts:2: one",
    ]);
  });
});
