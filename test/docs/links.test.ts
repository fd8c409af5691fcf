/** No link of README, docs or examples leads nowhere: files are there, and headings that are named in them. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

/** The name GitHub gives a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/`|\*|\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replaceAll(/\s/g, "-");

const withoutCode = (markdown: string): string => markdown.replaceAll(/^\s*```[\s\S]*?^\s*```/gm, "");

/** Links of a page that lead nowhere, in words. */
export function brokenLinks(page: string, markdown: string, read: (file: string) => string | undefined): string[] {
  const links = [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)(?: "[^"]*")?\)|(?:src|href)="([^"]+)"/g)];
  return links.flatMap(([, first, second]) => {
    const link = first ?? second;
    if (/^[a-z]+:/.test(link)) return [];
    const [file, heading] = link.split("#");
    const path = file === "" ? page : join(dirname(page), file);
    const text = path === page ? markdown : read(path);
    if (text === undefined) return [`${page}: ${link} leads nowhere`];
    if (!heading) return [];
    const names = [...withoutCode(text).matchAll(/^#+ (.*)$/gm)].map(([, title]) => anchor(title));
    return names.includes(heading) ? [] : [`${page}: ${path} has no heading #${heading}`];
  });
}

function pagesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".md") && !/(^|\/)(api|node_modules)\//.test(file))
    .map((file) => join(folder, file));
}

test("no link leads nowhere", () => {
  const top = readdirSync(root).filter((file) => file.endsWith(".md"));
  const pages = [...top, ...pagesBelow("docs"), ...pagesBelow("examples")];
  assert.ok(pages.length > 20);
  const read = (file: string): string | undefined => {
    const path = join(root, file);
    if (!existsSync(path) || relative(root, path).startsWith("..")) return undefined;
    return statSync(path).isDirectory() ? "" : readFileSync(path, "utf8");
  };
  assert.deepEqual(
    pages.flatMap((page) => brokenLinks(page, readFileSync(join(root, page), "utf8"), read)),
    [],
  );
});

test("planted links that lead nowhere are found", () => {
  const read = (file: string): string | undefined => (file === "docs/b.md" ? "# One `two` thing\n" : undefined);
  const page = "[a](b.md#one-two-thing) [b](b.md#three) [c](c.md) [d](https://x.org/y) [e](#self)\n## Self\n";
  assert.deepEqual(brokenLinks("docs/a.md", page, read), [
    "docs/a.md: docs/b.md has no heading #three",
    "docs/a.md: c.md leads nowhere",
  ]);
});
