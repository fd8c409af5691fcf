/**
 * Holds the checkpoint reader and writer to PyTorch itself: `node --import tsx scripts/check-torch-roundtrip.ts`.
 *
 * 1. Every `hico_*.pth.tar` beside the package (`../shared/golden`, or `--golden FOLDER`) equals `after8/*` in the
 *    safetensors file of the same name, bit for bit, and loads under PyTorch when written back, with equal values and
 *    `strict=True` (into a module that has exactly its names and shapes).
 * 2. The same for a checkpoint that PyTorch makes on the spot with every kind of value.
 * 3. A random state dict of every dtype written here loads under PyTorch with equal values.
 *
 * `--python PATH` names the interpreter (default: python3, then /usr/bin/python3). Without PyTorch the script says so
 * and ends well: it is a check where PyTorch can be had (`apt-get install python3-torch`).
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bytesOf, type HostDType } from "../src/io/host-tensor.ts";
import { TORCH_DTYPES } from "../src/io/torch/globals.ts";
import {
  arrayTypeOf,
  HOST_DTYPES,
  hostTensor,
  readSafetensors,
  readTorchCheckpoint,
  stateDictFor,
  stateDictOf,
  writeTorchCheckpoint,
  type HostTensor,
  type PicklableValue,
} from "../src/io/index.ts";

/** Compares two checkpoints in PyTorch, and loads the second's state dict strictly into a module of the first's. */
const COMPARE = `
import sys, torch
def raw(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)
def same(a, b, path):
    if isinstance(a, torch.Tensor):
        assert isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape, path
        assert torch.equal(raw(a), raw(b)), path
    elif isinstance(a, (int, float)) and not isinstance(a, bool):
        assert isinstance(b, (int, float)) and a == b, path
    elif isinstance(a, dict):
        assert type(a) is type(b) and list(a) == list(b), path
        for key in a: same(a[key], b[key], f"{path}[{key!r}]")
        if getattr(a, "__dict__", None) or getattr(b, "__dict__", None):
            same(a.__dict__, b.__dict__, path + ".__dict__")
    elif isinstance(a, (list, tuple)):
        assert isinstance(b, (list, tuple)) and isinstance(a, tuple) == isinstance(b, tuple) and len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b)): same(x, y, f"{path}[{i}]")
    else:
        assert type(a) is type(b) and a == b, path
def module_for(names):
    root = torch.nn.Module()
    for name, tensor in names.items():
        *folders, leaf = name.split(".")
        at = root
        for folder in folders:
            if not hasattr(at, folder): at.add_module(folder, torch.nn.Module())
            at = getattr(at, folder)
        at.register_buffer(leaf, torch.zeros_like(tensor))
    return root
def load(path, **options):
    return torch.load(path, map_location="cpu", **options)
original, written = sys.argv[1:]
# weights_only cannot read floats before PyTorch 2, not even in its own files.
safe = {"weights_only": True} if int(torch.__version__.split(".")[0]) >= 2 else {}
full = {"weights_only": False} if int(torch.__version__.split(".")[0]) >= 2 else {}
a, b = load(original, **full), load(written, **full)
same(a, b, "value")
same(b, load(written, **safe), "weights_only value")
if "state_dict" in b:
    module = module_for(a["state_dict"])
    assert str(module.load_state_dict(b["state_dict"], strict=True)) == "<All keys matched successfully>"
    same(dict(a["state_dict"]), dict(module.state_dict()), "module")
`;

/** Saves a checkpoint of every kind of value. */
const MAKE = `
import sys, torch
from collections import OrderedDict
torch.manual_seed(1)
from torch.nn import Conv1d, GRU, LayerNorm, Sequential
model = Sequential(Conv1d(4, 4, 5, groups=4), LayerNorm(6), GRU(6, 3, bidirectional=True))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for p in model.parameters(): p.grad = torch.randn_like(p)
optimizer.step()
x = torch.randn(4, 6)
torch.save({"state_dict": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
    "views": [x, x.t(), x[1::2], x[:, 2:], x.expand(2, 4, 6), torch.zeros(0, 2), torch.tensor(1.5)],
    "dtypes": {str(d): torch.arange(5).to(d) for d in [torch.float64, torch.float16, torch.bfloat16, torch.int64,
        torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]},
    "plain": [None, True, -1, 2**40, 2**70, 0.1, float("inf"), "t\\u00fc", (1, (2,)), {1: [2]}, OrderedDict(a=1)],
}, sys.argv[1])
`;

/** Compares a written state dict with safetensors-like expectations: each tensor's bytes as base64. */
const EXPECT = `
import sys, json, base64, torch
value = torch.load(sys.argv[1])
expected = json.loads(sys.stdin.read())
assert list(value) == list(expected), (list(value), list(expected))
for name, (dtype, shape, data) in expected.items():
    tensor = value[name]
    assert str(tensor.dtype) == "torch." + dtype and list(tensor.shape) == shape, (name, tensor.dtype, tensor.shape)
    raw = b"" if tensor.numel() == 0 else bytes(tensor.contiguous().reshape(-1).view(torch.uint8).tolist())
    assert raw == base64.b64decode(data), name
`;

function python(interpreter: string, program: string, args: string[], input?: string): string {
  const { status, stdout, stderr, error } = spawnSync(interpreter, ["-c", program, ...args], {
    encoding: "utf8",
    input,
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${interpreter}: ${stderr.trim().split("\n").slice(-3).join(" | ")}`);
  return stdout.trim();
}

function findTorch(candidates: string[]): { interpreter: string; version: string } | undefined {
  for (const interpreter of candidates) {
    try {
      return { interpreter, version: python(interpreter, "import torch; print(torch.__version__)", []) };
    } catch {
      // The next one may have it.
    }
  }
  return undefined;
}

function requireEqual(found: HostTensor | undefined, expected: HostTensor, name: string): void {
  const same =
    found !== undefined &&
    found.dtype === expected.dtype &&
    String(found.shape) === String(expected.shape) &&
    Buffer.compare(Buffer.from(bytesOf(found.data)), Buffer.from(bytesOf(expected.data))) === 0;
  if (!same) throw new Error(`${name} differs from the safetensors file`);
}

/** `after8/NAME` in the safetensors file against NAME in the checkpoint's state dict; the number of tensors. */
function compareWithGolden(checkpoint: string, safetensors: string): number {
  const state = stateDictOf(readTorchCheckpoint(checkpoint));
  const expected = [...readSafetensors(safetensors).tensors].filter(([name]) => name.startsWith("after8/"));
  for (const [name, tensor] of expected) requireEqual(state.get(name.slice("after8/".length)), tensor, name);
  if (expected.length !== state.size)
    throw new Error(`${checkpoint} has ${state.size} tensors, not ${expected.length}`);
  return state.size;
}

/** A state dict of every dtype, of sizes 0 to many, with bits from a linear congruential generator. */
function everyDType(dtypes: readonly HostDType[]): Map<string, HostTensor> {
  let state = 1;
  const result = new Map<string, HostTensor>();
  for (const dtype of dtypes) {
    for (const shape of [[], [0, 3], [7], [3, 4, 5]]) {
      const bytes = new Uint8Array(shape.reduce((a, b) => a * b, 1) * arrayTypeOf(dtype).BYTES_PER_ELEMENT);
      for (let i = 0; i < bytes.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        bytes[i] = dtype === "bool" ? state >>> 31 : state >>> 24;
      }
      result.set(`${dtype}.${shape.join("x")}`, hostTensor(dtype, shape, new (arrayTypeOf(dtype))(bytes.buffer)));
    }
  }
  return result;
}

function main(): void {
  const { values } = parseArgs({
    options: {
      golden: { type: "string", default: fileURLToPath(new URL("../../shared/golden", import.meta.url)) },
      python: { type: "string" },
    },
  });
  const torch = findTorch(values.python === undefined ? ["python3", "/usr/bin/python3"] : [values.python]);
  const folder = mkdtempSync(join(tmpdir(), "torch-roundtrip-"));
  const written = join(folder, "written.pth");
  try {
    if (existsSync(values.golden)) {
      for (const file of readdirSync(values.golden).filter((name) => name.endsWith(".pth.tar"))) {
        const path = join(values.golden, file);
        const count = compareWithGolden(path, path.replace(".pth.tar", "_f32.safetensors"));
        console.log(`${file}: ${count} tensors equal after8`);
        if (torch === undefined) continue;
        writeTorchCheckpoint(written, readTorchCheckpoint(path) as PicklableValue);
        python(torch.interpreter, COMPARE, [path, written]);
        console.log(`${file}: written back, PyTorch ${torch.version} loads it with equal values, strict=True`);
      }
    } else {
      console.log(`no golden checkpoints: ${values.golden} is absent`);
    }
    if (torch === undefined) {
      console.log("skipped the rest: no Python with PyTorch (apt-get install python3-torch, or --python PATH)");
      return;
    }
    const made = join(folder, "made.pth");
    python(torch.interpreter, MAKE, [made]);
    writeTorchCheckpoint(written, readTorchCheckpoint(made) as PicklableValue);
    python(torch.interpreter, COMPARE, [made, written]);
    console.log("a model, its AdamW state, views, dtypes and plain values: equal after reading and writing");

    const names = new Map(TORCH_DTYPES.map(({ dtype, name }) => [dtype, name]));
    const [major, minor] = torch.version.split(".").map(Number);
    const hasUnsigned = major > 2 || (major === 2 && minor >= 3);
    const dtypes = HOST_DTYPES.filter((dtype) => hasUnsigned || !["u16", "u32", "u64"].includes(dtype));
    const state = everyDType(dtypes);
    writeTorchCheckpoint(written, stateDictFor(state));
    const expected = [...state].map(([name, { dtype, shape, data }]) => [
      name,
      [names.get(dtype), shape, Buffer.from(bytesOf(data)).toString("base64")],
    ]);
    python(torch.interpreter, EXPECT, [written], JSON.stringify(Object.fromEntries(expected)));
    console.log(`${state.size} tensors of ${dtypes.length} dtypes written here: equal under PyTorch`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

main();
