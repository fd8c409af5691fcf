/** One HTML file that holds everything it needs, so that it opens from a disk, a mail or a server, and keeps. */
import { escapeMarkup } from "./markup.ts";

interface HtmlPage {
  readonly title: string;
  readonly heading: string;
  readonly summary: string;
  readonly styles: readonly string[];
  /** The page's sections, as markup. */
  readonly sections: string;
  /** What scripts find as JSON in the element `data`. */
  readonly data: object;
  readonly scripts: readonly string[];
}

export function htmlPage({ title, heading, summary, styles, sections, data, scripts }: HtmlPage): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeMarkup(title)}</title>
<style>${styles.join("")}</style>
</head>
<body>
<header>
  <h1>${escapeMarkup(heading)}</h1>
  <p>${escapeMarkup(summary)}</p>
</header>
<main>
  ${sections}
</main>
<script id="data" type="application/json">${escapeScript(JSON.stringify(data))}</script>
${scripts.map((script) => `<script>${script}</script>`).join("\n")}
</body>
</html>
`;
}

/** JSON within a script element: nothing in it may end the element or begin a comment. */
function escapeScript(json: string): string {
  return json.replace(/</g, "\\u003c");
}
