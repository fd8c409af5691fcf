/**
 * The report's script, run by the browser: bars, the map, the gallery, the confusion matrix, the curves.
 * Plain text, because nothing may be between it and the page: no bundler, no helpers of a compiler.
 */
import { GALLERY_SCRIPT, PLAYER_SCRIPT } from "./clip-script.ts";

export const PAGE_SCRIPT = String.raw`${PLAYER_SCRIPT}
// --- results

const range = (interval) => interval ? " (" + interval.map((x) => (100 * x).toFixed(1)).join("–") + ")" : "";
const SUBJECTS = { pretrained: "pretrained", random: "random encoder", raw: "raw coordinates" };
for (const { name, note, values, intervals } of report.results) {
  const box = element("div", "result");
  box.append(element("h3", "", name), element("p", "note", note));
  for (const [subject, title] of Object.entries(SUBJECTS)) {
    if (values[subject] === undefined) continue;
    const bar = element("div", "bar " + subject);
    const track = element("div", "track"), fill = element("div", "fill");
    fill.style.width = 100 * values[subject] + "%";
    track.append(fill);
    bar.append(element("span", "", title), track, element("span", "value", percent(values[subject]) + range(intervals && intervals[subject])));
    box.append(bar);
  }
  one(".results").append(box);
}
if (report.results.length === 0) one(".results").append(element("p", "note", "Not evaluated yet: hico eval linear and hico eval knn add their results."));

// --- the map

const points = one(".points"), hovered = one(".hovered");
const { x, y, clips } = report.map;
const hidden = new Set();
const low = [Math.min(...x), Math.min(...y)], high = [Math.max(...x), Math.max(...y)];
const spot = (i) => [
  20 + ((x[i] - low[0]) / (high[0] - low[0] || 1)) * (points.width - 40),
  20 + ((y[i] - low[1]) / (high[1] - low[1] || 1)) * (points.height - 40),
];
let pointed = -1;
function drawMap() {
  const context = points.getContext("2d");
  context.clearRect(0, 0, points.width, points.height);
  clips.forEach((clip, i) => {
    if (hidden.has(report.clips[clip].label)) return;
    context.beginPath();
    context.arc(...spot(i), i === pointed ? 13 : 7, 0, 7);
    context.fillStyle = colour(report.clips[clip].label);
    context.globalAlpha = i === pointed ? 1 : 0.75;
    context.fill();
  });
  context.globalAlpha = 1;
}
function point(i) {
  pointed = i;
  drawMap();
  if (i < 0) return;
  one(".hovered-name").textContent = nameOf(report.clips[clips[i]].label) + " · " + report.clips[clips[i]].name;
  play(hovered, clips[i]);
}
points.addEventListener("mousemove", (event) => {
  const box = points.getBoundingClientRect();
  const at = [((event.clientX - box.left) / box.width) * points.width, ((event.clientY - box.top) / box.height) * points.height];
  let best = -1, least = 24 ** 2;
  clips.forEach((clip, i) => {
    if (hidden.has(report.clips[clip].label)) return;
    const [px, py] = spot(i), d = (px - at[0]) ** 2 + (py - at[1]) ** 2;
    if (d < least) [best, least] = [i, d];
  });
  if (best >= 0 && best !== pointed) point(best);
});
const present = [...new Set(clips.map((clip) => report.clips[clip].label))].sort((a, b) => a - b);
for (const label of present) {
  const item = element("li"), dot = element("i");
  dot.style.background = colour(label);
  item.append(dot, nameOf(label));
  item.title = nameOf(label);
  item.addEventListener("click", () => { item.classList.toggle("off"); hidden.has(label) ? hidden.delete(label) : hidden.add(label); drawMap(); });
  one(".legend").append(item);
}
if (clips.length > 0) point(0);

${GALLERY_SCRIPT}
// --- confusion matrix

if (report.confusion) {
  one("#confusion .note").textContent = "Rows: the action; columns: the answer (" + report.confusion.from + "). Shade: share of the row.";
  const table = element("table"), head = element("tr");
  head.append(element("th"));
  for (const name of report.classes) head.append(element("th", "", name));
  const top = element("thead"), body = element("tbody");
  top.append(head);
  report.confusion.counts.forEach((counts, c) => {
    const row = element("tr"), total = counts.reduce((a, b) => a + b, 0);
    row.append(element("th", "", report.classes[c]));
    counts.forEach((count, answer) => {
      const cell = element("td", "", count > 0 ? String(count) : "");
      const share = total > 0 ? count / total : 0;
      if (count > 0) cell.style.background = (answer === c ? "rgb(37 99 235 / " : "rgb(220 38 38 / ") + (0.12 + 0.75 * share).toFixed(2) + ")";
      cell.title = report.classes[c] + " answered " + report.classes[answer] + ": " + count + " of " + total;
      row.append(cell);
    });
    body.append(row);
  });
  table.append(top, body);
  one(".matrix").append(table);
} else one("#confusion").remove();

// --- curves

const { epoch, series } = report.curves;
function chart(title, names, format) {
  const box = element("div");
  box.append(element("h3", "", title));
  one(".charts").append(box);
  const axis = { stroke: style("--soft"), grid: { stroke: style("--line"), width: 1 }, ticks: { stroke: style("--line") } };
  new uPlot({
    width: Math.min(500, one(".charts").clientWidth), height: 260, scales: { x: { time: false } },
    axes: [axis, { ...axis, size: 56, values: (_, ticks) => ticks.map(format) }],
    series: [{ label: "epoch" }, ...names.map((label, i) => ({ label, stroke: names.length === 1 ? style("--accent") : colour(3 * i), width: 2, value: (_, v) => (v == null ? "–" : format(v)), points: { show: epoch.length < 30 } }))],
  }, [epoch, ...names.map((name) => series[name])], box);
}
if (epoch.length > 0) {
  chart("Loss, sum of its parts", ["loss"], (v) => v.toFixed(2));
  // Parts that are 0 throughout were left out.
  chart("Its parts", ["clip", "part", "temporal", "spatial", "instance"].filter((name) => series[name].some((v) => v !== 0)), (v) => v.toFixed(2));
  chart("Contrastive accuracy (the key is nearer than all negatives)", ["accuracy"], (v) => (100 * v).toFixed(0) + " %");
} else one("#curves").remove();

// --- facts

const shown = (value) => Array.isArray(value) ? value.join(", ") || "–" : typeof value === "number" ? String(Number(value.toPrecision(5)))
  : value && typeof value === "object" ? Object.entries(value).map(([k, v]) => k + " " + shown(v)).join(", ") : String(value === "" ? "–" : value);
const facts = { checkpoint: report.checkpoint, ...report.settings };
for (const name of ["device", "seconds", "examplesPerSecond", "dataWait", "steps"]) {
  if (report.pretraining[name] !== undefined) facts["pretraining: " + name] = report.pretraining[name];
}
for (const [name, value] of Object.entries(facts)) {
  const row = element("div");
  row.append(element("span", "", name), element("span", "", shown(value)));
  one(".facts").append(row);
}
document.body.dataset.ready = "yes";
`;
