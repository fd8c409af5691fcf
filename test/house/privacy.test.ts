import assert from "node:assert/strict";
import { describe, test } from "node:test";
import ts from "typescript";
import type { Sources } from "./house.ts";
import { readSources } from "./house.ts";

/** Members, constructors' parameters among them, that are `private` to the type checker only. */
function softlyPrivate(sources: Sources): string[] {
  const found: string[] = [];
  for (const [file, text] of sources) {
    const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest);
    const visit = (node: ts.Node): void => {
      const member = (ts.isClassElement(node) && !ts.isConstructorDeclaration(node)) || ts.isParameter(node);
      const modifiers = member && ts.canHaveModifiers(node) ? ts.getModifiers(node) : undefined;
      if (modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword))
        found.push(`${file}:${source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1}`);
      ts.forEachChild(node, visit);
    };
    visit(source);
  }
  return found;
}

describe("members that only their class sees", () => {
  test("are #names; only a constructor, which cannot be one, is private", () => {
    assert.deepEqual(softlyPrivate(readSources()), [], "write #name for private name");
  });

  test("a planted private field, method and parameter are found", () => {
    const planted = `class A {\n  private x = 1;\n  #y = 2;\n  private constructor(private readonly z: number) {}\n  private static f(): void {}\n}`;
    assert.deepEqual(softlyPrivate(new Map([["src/x/a.ts", planted]])), [
      "src/x/a.ts:2",
      "src/x/a.ts:4",
      "src/x/a.ts:5",
    ]);
  });
});
