/** `hico verify` on PyTorch's numbers, on every device there is, and on files that are wrong. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { readSafetensors, writeSafetensors } from "../../src/io/index.ts";
import type { HostTensor } from "../../src/io/index.ts";
import { relativeError } from "../../src/verify/case.ts";
import type { VerifyReport } from "../../src/verify/verify.ts";
import { HICO } from "../cli/run-hico.ts";
import { denoUnavailable, runInDeno } from "../environments/deno.ts";
import { lavapipeUnavailable } from "../environments/lavapipe.ts";
import type { Replay } from "./replay.ts";
import { replay } from "./replay.ts";

const golden = fileURLToPath(new URL("../fixtures/golden/torch_ops_f64.safetensors", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "hico-verify-"));
after(() => rmSync(folder, { recursive: true }));

function hico(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(
      HICO[0],
      [...HICO.slice(1), ...args],
      { env: { ...process.env, HICO_DEBUG: "" } },
      (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

/** Every case passed within the bar, and every quantity of the file was compared. */
function assertAll(report: VerifyReport, bar: number): void {
  assert.equal(report.tolerance, bar);
  const bad = report.cases.filter((c) => !c.passed || !(c.error! <= bar));
  assert.deepEqual(bad, []);
  const expected = [...readSafetensors(golden).tensors.keys()].filter((key) =>
    /\/(out\d+|grad\/.*|step\d+)$/.test(key),
  );
  assert.equal(
    report.cases.reduce((sum, c) => sum + c.compared, 0),
    expected.length,
  );
  assert.equal(report.cases.length, 34);
}

test("all cases on the reference device, to 1e-9", async () => {
  assertAll(await replay({ file: golden, device: "reference" }), 1e-9);
});

test("all cases on WebGPU, to 1e-4: SwiftShader under Node", async () => {
  assertAll(await replay({ file: golden, device: "webgpu", software: "swiftshader" }), 1e-4);
});

test("all cases on the cpu device, to 1e-4: Node", async () => {
  assertAll(await replay({ file: golden, device: "cpu" }), 1e-4);
});

test("all cases on the cpu device, to 1e-4: Deno", async (context) => {
  const unavailable = denoUnavailable();
  if (unavailable !== undefined) return context.skip(unavailable);
  const asked: Replay = { file: golden, device: "cpu" };
  assertAll(await runInDeno<VerifyReport>(new URL("./replay.ts", import.meta.url), "replay", asked), 1e-4);
});

test("all cases on WebGPU, to 1e-4: lavapipe under Deno", async (context) => {
  const unavailable = denoUnavailable() ?? (await lavapipeUnavailable());
  if (unavailable !== undefined) return context.skip(unavailable);
  const asked: Replay = { file: golden, device: "webgpu", software: "lavapipe" };
  assertAll(await runInDeno<VerifyReport>(new URL("./replay.ts", import.meta.url), "replay", asked), 1e-4);
});

/** The named cases of the golden file, with changes. */
function excerpt(
  name: string,
  cases: readonly string[],
  change: (tensors: Map<string, HostTensor>) => void = () => undefined,
): string {
  const { tensors, metadata } = readSafetensors(golden);
  const kept = new Map([...tensors].filter(([key]) => cases.includes(key.split("/")[0])));
  change(kept);
  const path = join(folder, `${name}.safetensors`);
  writeSafetensors(path, kept, metadata);
  return path;
}

/** The tensor with its largest element moved by a share of it. */
function off(value: HostTensor, by: number): HostTensor {
  const data = Float64Array.from(value.data as Float64Array);
  const at = data.reduce((best, x, i) => (Math.abs(x) > Math.abs(data[best]) ? i : best), 0);
  data[at] *= 1 + by;
  return { ...value, data };
}

test("a line a case, then the count; exit code 0", async () => {
  const { code, stdout } = await hico(
    "verify",
    excerpt("right", ["gelu", "optim_sgd", "softmax"]),
    "--device",
    "reference",
  );
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, 4);
  ["gelu", "optim_sgd", "softmax"].forEach((name, i) =>
    assert.match(lines[i], new RegExp(`^ok +${name} +\\d\\.\\de-\\d+$`)),
  );
  assert.equal(lines[3], "3 passed, 0 failed");
  assert.equal(code, 0);
});

test("a wrong output, gradient or step fails its case and names the quantity; exit code 1", async () => {
  for (const key of ["gelu/out0", "gelu/grad/x", "optim_sgd/step4"]) {
    const path = excerpt("wrong", ["gelu", "optim_sgd"], (tensors) => tensors.set(key, off(tensors.get(key)!, 1e-7)));
    const { code, stdout } = await hico("verify", path, "--device", "reference");
    assert.match(stdout, new RegExp(`^FAILED ${key.split("/")[0]} +1\\.0e-7 at ${key}$`, "m"));
    assert.match(stdout, /\n1 passed, 1 failed\n$/);
    assert.equal(code, 1);
  }
});

test("--tolerance moves the bar, --json tells all", async () => {
  const path = excerpt("tolerance", ["tanh"], (tensors) =>
    tensors.set("tanh/out0", off(tensors.get("tanh/out0")!, 1e-7)),
  );
  const { code, stdout } = await hico("verify", path, "--device", "reference", "--tolerance", "1e-6", "--json");
  const report = JSON.parse(stdout) as VerifyReport;
  assert.equal(code, 0);
  assert.deepEqual([report.passed, report.failed, report.tolerance], [1, 0, 1e-6]);
  assert.deepEqual([report.cases[0].name, report.cases[0].kind, report.cases[0].worst], ["tanh", "op", "tanh/out0"]);
  const refused = await hico("verify", path, "--device", "reference", "--tolerance", "small");
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /^hico: the tolerance must be a number of at least 0/m);
});

test("a case that cannot be replayed fails and says why; the others run", async () => {
  const path = excerpt("strange", ["gelu", "linear"], (tensors) => {
    const value = tensors.get("gelu/in/x")!;
    tensors.set("teleport/out0", value);
    tensors.set("softmax/out0", tensors.get("gelu/in/x")!);
    tensors.set("softmax/in/x", { dtype: "f64", shape: [2], data: Float64Array.of(1, 2) });
  });
  const { code, stdout } = await hico("verify", path, "--device", "reference");
  assert.equal(code, 1);
  assert.match(stdout, /^FAILED teleport +no op is known by "teleport"; names start with gru, /m);
  assert.match(stdout, /^FAILED softmax +"softmax\/out0" came out with shape \[2\]; the file has \[5, 7\]$/m);
  assert.match(stdout, /^ok +gelu/m);
});

test("a file without cases, and no file", async () => {
  const empty = await hico("verify", excerpt("empty", []), "--device", "reference");
  assert.equal(empty.code, 1);
  assert.match(empty.stderr, /empty\.safetensors holds no case of a known kind \(op, optimizer/);
  const absent = await hico("verify", join(folder, "absent.safetensors"), "--device", "reference");
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /absent\.safetensors/);
});

test("the error is relative to the expected tensor's scale, and NaN is as wrong as can be", () => {
  assert.equal(relativeError([1, 2.5], [1, 2]), 0.25);
  assert.equal(relativeError([1, -4], [1, -4]), 0);
  assert.equal(relativeError([NaN, 1], [2, 1]), Infinity);
  assert.equal(relativeError([2, 1], [2, NaN]), Infinity);
  assert.equal(relativeError([0, 0], [0, 0]), 0);
  assert.ok(relativeError([1e-9], [0]) > 1);
});
