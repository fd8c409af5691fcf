/**
 * A page that trains a small network to tell three spiral arms apart, and draws as it learns. Run, from a clone:
 *
 *   npx esbuild examples/in-the-browser/page.ts --bundle --format=esm --servedir=examples/in-the-browser \
 *     --outdir=examples/in-the-browser
 *
 * and open http://localhost:8000. Result: accuracy >= 0.95
 */
import { compile, crossEntropy, Generator, type Tensor, tensor, useDevice } from "hico-webgpu";
import { Adam, Linear } from "hico-webgpu/nn";

const COLORS = [
  [38, 110, 170],
  [214, 110, 40],
  [70, 150, 90],
] as const;
const [BATCH, STEPS, GRID] = [256, 600, 75];
const draw = (id: string) => (document.getElementById(id) as HTMLCanvasElement).getContext("2d")!;
const say = (text: string): string => (document.getElementById("said")!.textContent = text);

/** Points of three arms, and the arms' numbers. */
function spirals(): { points: Float32Array; arms: Int32Array } {
  const points = new Float32Array(2 * BATCH);
  const arms = Int32Array.from({ length: BATCH }, (_, i) => i % 3);
  arms.forEach((arm, i) => {
    const radius = Math.random();
    const angle = 4 * radius + (2 * Math.PI * arm) / 3 + 0.2 * (Math.random() - 0.5);
    points.set([radius * Math.cos(angle), radius * Math.sin(angle)], 2 * i);
  });
  return { points, arms };
}

const device = await useDevice();
const generator = new Generator(0);
const [hidden, out] = [new Linear(2, 64, { generator }), new Linear(64, 3, { generator })];
const logits = (points: Tensor): Tensor => out.forward(hidden.forward(points.mul(3)).sin());
const optimizer = new Adam([...hidden.parameters(), ...out.parameters()], { lr: 0.01 });
const step = compile((points: Tensor, arms: Tensor) => {
  const loss = crossEntropy(logits(points), arms);
  optimizer.zeroGrad();
  loss.backward();
  optimizer.step();
  return loss;
});
const armOf = compile((points: Tensor) => logits(points).argmax(-1));

const grid = Float32Array.from({ length: 2 * GRID * GRID }, (_, i) => {
  const place = i % 2 === 0 ? (i >> 1) % GRID : Math.floor((i >> 1) / GRID);
  return (2 * (place + 0.5)) / GRID - 1;
});

/** The plane in the colours of the arms, and some points. */
async function drawMap(): Promise<void> {
  const found = await (await armOf(tensor(grid, { shape: [GRID * GRID, 2] }))).read();
  const [map, cell] = [draw("map"), 300 / GRID];
  found.forEach((arm, i) => {
    map.fillStyle = `rgb(${COLORS[arm]!.join()}, 0.35)`;
    map.clearRect((i % GRID) * cell, Math.floor(i / GRID) * cell, cell, cell);
    map.fillRect((i % GRID) * cell, Math.floor(i / GRID) * cell, cell, cell);
  });
  const { points, arms } = spirals();
  arms.forEach((arm, i) => {
    map.fillStyle = `rgb(${COLORS[arm]!.join()})`;
    map.fillRect(150 + 150 * points[2 * i]! - 2, 150 + 150 * points[2 * i + 1]! - 2, 4, 4);
  });
}

for (let i = 0; i <= STEPS; i++) {
  const { points, arms } = spirals();
  const loss = await step(tensor(points, { shape: [BATCH, 2] }), tensor(arms));
  if (i % 10 > 0) continue;
  const value = await loss.item();
  draw("curve").fillRect((300 * i) / STEPS, Math.min(296, 40 - 60 * Math.log10(value)), 4, 4);
  await drawMap();
  say(`step ${i} on ${device.name}: loss ${value.toFixed(3)}`);
  await new Promise(requestAnimationFrame);
}
const held = spirals();
const found = await (await armOf(tensor(held.points, { shape: [BATCH, 2] }))).read();
document.title = say(`accuracy ${(held.arms.filter((arm, i) => arm === found[i]).length / BATCH).toFixed(3)}`);
