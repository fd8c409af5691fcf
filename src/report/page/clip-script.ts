/**
 * Scripts of pages that show moving skeletons, run by the browser: the players, and galleries of a query and what was
 * found for it. Plain text, because nothing may be between it and the page: no bundler, no helpers of a compiler.
 */

/** Reads the page's data; \`play(canvas, clip)\` lets a clip of it move, drawn by \`drawClip\` or another function. Comes first. */
export const PLAYER_SCRIPT = String.raw`
"use strict";
const report = JSON.parse(document.getElementById("data").textContent);
const one = (selector) => document.querySelector(selector);
const element = (tag, className, text) => {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
};
const percent = (share) => (100 * share).toFixed(1) + " %";
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
// Neighbouring classes lie far apart on the colour circle: steps of the golden angle, in two lightnesses.
const colour = (c) => "hsl(" + ((c * 137.508) % 360).toFixed(0) + " 65% " + (c % 2 ? 42 : 56) + "%)";
const nameOf = (label) => report.classes[label] ?? "no label";

// --- skeletons that move

const decoded = new Map();
function coordinates(number) {
  let values = decoded.get(number);
  if (!values) {
    const { data, scale } = report.clips[number];
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    values = Float32Array.from(new Int16Array(bytes.buffer), (x) => x * scale);
    decoded.set(number, values);
  }
  return values;
}

/** Middle and reach of a clip, so that all of it stays in the picture; absent persons (all zero) do not count. */
const framed = new Map();
function frameOf(number) {
  let frame = framed.get(number);
  if (!frame) {
    const values = coordinates(number);
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (let i = 0; i < values.length; i += 3) {
      if (values[i] === 0 && values[i + 1] === 0 && values[i + 2] === 0) continue;
      for (let a = 0; a < 3; a++) { low[a] = Math.min(low[a], values[i + a]); high[a] = Math.max(high[a], values[i + a]); }
    }
    if (low[0] === Infinity) { low.fill(-1); high.fill(1); }
    frame = { middle: low.map((x, a) => (x + high[a]) / 2), reach: Math.max(...low.map((x, a) => high[a] - x)) / 2 || 1 };
    framed.set(number, frame);
  }
  return frame;
}

/** Where the joint whose x lies at a place of the clip's coordinates is on the canvas, the body turned about its upright axis. */
function projection(canvas, number, turn) {
  const values = coordinates(number), { middle, reach } = frameOf(number), { up } = report.skeleton;
  const { width, height } = canvas;
  return (at) => {
    const [x, y, z] = [values[at] - middle[0], values[at + 1] - middle[1], values[at + 2] - middle[2]];
    const [across, away, above] = up === "z" ? [x, y, z] : [x, z, y];
    return [width / 2 + ((across * Math.cos(turn) - away * Math.sin(turn)) / reach) * width * 0.42, height / 2 - (above / reach) * height * 0.42];
  };
}

function drawClip(canvas, number, seconds) {
  const clip = report.clips[number];
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  if (!clip) return;
  const values = coordinates(number), { parents } = report.skeleton;
  const joints = parents.length;
  const t = Math.floor(seconds * 12) % clip.frames;
  const place = projection(canvas, number, 0.5 * Math.sin(seconds * 0.6));
  context.lineCap = "round";
  for (let m = 0; m < clip.persons; m++) {
    const base = (t * clip.persons + m) * joints * 3;
    if (values.subarray(base, base + joints * 3).every((v) => v === 0)) continue;
    context.strokeStyle = m === 0 ? colour(clip.label) : style("--soft");
    context.lineWidth = width / 70;
    for (let j = 0; j < joints; j++) {
      if (parents[j] < 0) continue;
      context.beginPath();
      context.moveTo(...place(base + 3 * j));
      context.lineTo(...place(base + 3 * parents[j]));
      context.stroke();
    }
  }
}

const playing = new Map();
// Only what is on the screen moves.
const watcher = new IntersectionObserver((entries) => { for (const e of entries) if (playing.has(e.target)) playing.get(e.target).visible = e.isIntersecting; });
function play(canvas, number, draw = drawClip) {
  playing.set(canvas, { number, draw, visible: true });
  watcher.observe(canvas);
  draw(canvas, number, 0);
}
let lastDrawn = 0;
requestAnimationFrame(function next(now) {
  if (now - lastDrawn > 60) {
    lastDrawn = now;
    for (const [canvas, { number, draw, visible }] of playing) if (visible) draw(canvas, number, now / 1000);
  }
  requestAnimationFrame(next);
});
`;

/** Fills \`.gallery\`. After the players. */
export const GALLERY_SCRIPT = String.raw`
// --- retrieval

for (const { query, nearest } of report.gallery) {
  const row = element("div", "retrieval");
  const card = (number, kind, small) => {
    const box = element("div", "card " + kind), canvas = element("canvas");
    canvas.width = canvas.height = 264;
    const { name, label } = report.clips[number];
    box.title = name;
    box.append(canvas, element("p", "", label < 0 ? name : nameOf(label)), element("p", "small", small));
    row.append(box);
    play(canvas, number);
  };
  card(query, "query", report.clips[query].label < 0 ? "query" : "query " + report.clips[query].name);
  for (const { clip, similarity } of nearest) {
    const [label, asked] = [report.clips[clip].label, report.clips[query].label];
    card(clip, asked < 0 ? "" : label === asked ? "right" : "wrong", "similarity " + similarity.toFixed(3));
  }
  one(".gallery").append(row);
}
`;
