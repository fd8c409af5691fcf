/** Style and script of the page on which the clips of a store are looked at. After the players. */

export const LOOK_STYLE = `
.look { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 14px; }
.look figure { margin: 0; border: 1px solid var(--line); border-radius: 8px; padding: 6px 8px; } .look canvas { display: block; width: 100%; aspect-ratio: 1; cursor: grab; }
.look figcaption { font-size: 13px; overflow-wrap: anywhere; } .look .small { color: var(--soft); font-size: 12px; } .look .lost { color: var(--bad); font-size: 12px; }
.joints { columns: 3; font-size: 13px; } .joints span { color: var(--soft); }
`;

/** Fills \`.look\` and \`.joints\`. */
export const LOOK_SCRIPT = String.raw`
report.clips.forEach((clip, number) => {
  const figure = element("figure"), canvas = element("canvas");
  canvas.width = canvas.height = 640;
  const caption = element("figcaption", "", clip.name + (clip.label < 0 ? "" : ", " + nameOf(clip.label)));
  const facts = [clip.length + " frames", clip.where].filter((words) => words !== "").join(" · ");
  figure.append(canvas, caption, element("div", "small", facts));
  if (clip.lostCount > 0) figure.append(element("div", "lost", clip.lostCount + " joints were lost, and are filled"));
  one(".look").append(figure);
  const view = { turn: 0.4, named: false, lost: clip.lost && Uint8Array.from(atob(clip.lost), (c) => c.charCodeAt(0)) };
  canvas.addEventListener("pointerenter", () => { view.named = true; });
  canvas.addEventListener("pointerleave", () => { view.named = false; });
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); view.dragged = event.clientX; });
  canvas.addEventListener("pointermove", (event) => {
    if (view.dragged === undefined) return;
    view.turn += (event.clientX - view.dragged) / 100;
    view.dragged = event.clientX;
  });
  canvas.addEventListener("pointerup", () => { view.dragged = undefined; });
  play(canvas, number, (_canvas, _number, seconds) => look(canvas, number, view, seconds));
});

function look(canvas, number, view, seconds) {
  const clip = report.clips[number], values = coordinates(number), { parents, joints } = report.skeleton;
  const context = canvas.getContext("2d"), { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  const t = Math.floor((seconds * report.rate * clip.frames) / clip.length) % clip.frames;
  const place = projection(canvas, number, view.turn);
  context.lineCap = "round";
  context.font = "15px system-ui, sans-serif";
  for (let m = 0; m < clip.persons; m++) {
    const first = (t * clip.persons + m) * parents.length;
    if (values.subarray(first * 3, (first + parents.length) * 3).every((v) => v === 0)) continue;
    const isLost = (j) => view.lost !== undefined && view.lost[first + j] === 1;
    for (let j = 0; j < parents.length; j++) {
      if (parents[j] < 0) continue;
      context.strokeStyle = isLost(j) ? style("--bad") : m === 0 ? style("--accent") : style("--soft");
      context.lineWidth = width / 110;
      context.beginPath();
      context.moveTo(...place((first + j) * 3));
      context.lineTo(...place((first + parents[j]) * 3));
      context.stroke();
    }
    for (let j = 0; j < parents.length; j++) {
      const [x, y] = place((first + j) * 3);
      context.fillStyle = isLost(j) ? style("--bad") : style("--ink");
      context.beginPath();
      context.arc(x, y, width / 110, 0, 2 * Math.PI);
      context.fill();
      if (view.named) context.fillText(joints[j], x + 6, y - 4);
    }
  }
}

report.skeleton.joints.forEach((name, j) => {
  const row = element("li", "", name + " "), parent = report.skeleton.parents[j];
  row.append(element("span", "", parent < 0 ? "(root)" : "from " + report.skeleton.joints[parent]));
  one(".joints").append(row);
});
document.body.dataset.ready = "yes";
`;
