/** What a search found, as one HTML page: every query and its nearest clips, moving. */
import { ClipStore } from "../../data/store/store.ts";
import type { SearchedQuery, SearchReport, SearchResult } from "../../hico/judge/search.ts";
import { writeTextAtomic } from "../../io/byte-sink.ts";
import { GALLERY_SCRIPT, PLAYER_SCRIPT } from "./clip-script.ts";
import type { GalleryData, PlayableClip } from "./gallery.ts";
import { playable, skeletonOf } from "./gallery.ts";
import { htmlPage } from "./html-page.ts";
import { PAGE_STYLE } from "./page-style.ts";

/** Writes the page. @returns its size in bytes. @throws Error where `path` does not end in .html. */
export function writeSearchReport(path: string, { report, clips }: SearchResult): number {
  if (!path.endsWith(".html")) throw new Error(`search: the report ${path} must end in .html`);
  const store = ClipStore.open(report.data);
  try {
    return writeTextAtomic(path, searchPage(report, galleryOf(store, report.queries, clips)));
  } finally {
    store.close();
  }
}

/** Clips of the store by their number in it, queries after them. */
function galleryOf(store: ClipStore, queries: readonly SearchedQuery[], asked: SearchResult["clips"]): GalleryData {
  const classes = [...store.header.classes];
  for (const { label } of queries) if (label !== undefined && !classes.includes(label)) classes.push(label);
  const clips: Record<number, PlayableClip> = {};
  queries.forEach(({ name, label, nearest }, q) => {
    clips[store.length + q] = playable(asked[q], { name, label: label === undefined ? -1 : classes.indexOf(label) });
    for (const { index } of nearest) clips[index] ??= playable(store.read(index), store.facts(index));
  });
  const gallery = queries.map(({ nearest }, q) => ({
    query: store.length + q,
    nearest: nearest.map(({ index, similarity }) => ({ clip: index, similarity })),
  }));
  return { classes, gallery, clips, skeleton: skeletonOf(store.header) };
}

function searchPage({ data, from, clips, run, device, queries }: SearchReport, gallery: GalleryData): string {
  const labelled = queries.some(({ label }) => label !== undefined);
  const heading = queries.length === 1 ? queries[0].name : `${queries.length} windows of ${from}`;
  return htmlPage({
    title: `${heading} – HiCo search`,
    heading,
    summary: `the nearest of ${clips} clips in ${data} by the features of ${run} · query from ${from} · features computed on ${device}`,
    styles: [PAGE_STYLE],
    sections: `<section id="gallery"><h2>Nearest clips</h2>
    <p class="note">The query, and the clips whose features are nearest (cosine similarity).${labelled ? " Green: the same action." : ""}</p>
    <div class="gallery"></div></section>`,
    data: gallery,
    scripts: [PLAYER_SCRIPT, GALLERY_SCRIPT, `document.body.dataset.ready = "yes";`],
  });
}
