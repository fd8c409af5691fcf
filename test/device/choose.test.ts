import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { chooseDevice, deviceNames } from "../../src/device/choose.ts";
import type { DeviceName } from "../../src/device/choose.ts";
import type { AdapterDescription } from "../../src/device/webgpu/gpu/describe.ts";
import {
  describeAdapter,
  fitsAdapter,
  namesSoftware,
  adapterChoices,
  givenButNotHad,
  givenFirst,
  pickAdapter,
  profileOf,
  spreadChoices,
  usefulLimits,
} from "../../src/device/webgpu/gpu/describe.ts";

const limits = Object.fromEntries(usefulLimits.map((name) => [name, 64])) as AdapterDescription["limits"];

function adapter(device: string, isSoftware: boolean): AdapterDescription {
  return {
    vendor: "maker",
    architecture: "",
    device,
    description: "",
    backend: "vulkan",
    isFallback: isSoftware,
    isSoftware,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    features: [],
    limits,
  };
}

const swiftShader = adapter("SwiftShader Device (Subzero)", true);
const llvmpipe = adapter("llvmpipe (LLVM 15.0.6, 256 bits)", true);
const geforce = adapter("NVIDIA GeForce RTX 3080", false);
const radeon = adapter("AMD Radeon RX 7800 XT", false);
const devices: readonly DeviceName[] = ["webgpu", "reference"];

describe("chooseDevice", () => {
  test("auto takes a real GPU, wherever it stands in the list", () => {
    const choice = chooseDevice({ adapters: [swiftShader, geforce, radeon], devices });
    assert.equal(choice.device, "webgpu");
    assert.equal(choice.adapter, geforce);
    assert.match(choice.reason, /GeForce RTX 3080 is a real GPU/);
  });

  test("auto passes a software adapter by, for cpu where there is one, else for reference", () => {
    const choice = chooseDevice({ adapters: [swiftShader], devices });
    assert.equal(choice.device, "reference");
    assert.match(choice.reason, /SwiftShader .*computes on the CPU.*no device "cpu"/);
    assert.equal(chooseDevice({ adapters: [swiftShader], devices: ["webgpu", "cpu", "reference"] }).device, "cpu");
    assert.match(chooseDevice({ adapters: [], devices }).reason, /there is no WebGPU adapter/);
  });

  test("a named adapter is taken even if it is software", () => {
    for (const name of ["swiftshader", "lavapipe", "LLVMPIPE"]) {
      const choice = chooseDevice({ adapter: name, adapters: [geforce, swiftShader, llvmpipe], devices });
      assert.equal(choice.device, "webgpu");
      assert.equal(choice.adapter, name === "swiftshader" ? swiftShader : llvmpipe);
    }
  });

  test("what is not there is an error that lists what is", () => {
    assert.throws(
      () => chooseDevice({ adapter: "arc", adapters: [geforce], devices }),
      /no WebGPU adapter fits "arc": there is "NVIDIA GeForce RTX 3080"/,
    );
    assert.throws(() => chooseDevice({ device: "webgpu", adapters: [], devices }), /no WebGPU adapter: there is none/);
    assert.throws(
      () => chooseDevice({ device: "gpu", adapters: [], devices }),
      /no device "gpu"; choose one of auto, webgpu, reference/,
    );
    assert.throws(() => chooseDevice({ device: "cpu", adapters: [], devices }), /no device "cpu"/);
  });

  test("never a software adapter unless it was asked for, never a device that is not built", () => {
    const adapters = fc.subarray([swiftShader, llvmpipe, geforce, radeon]);
    const built = fc.subarray([...deviceNames]).map((list) => [...new Set<DeviceName>([...list, "reference"])]);
    fc.assert(
      fc.property(adapters, built, (found, list) => {
        const choice = chooseDevice({ adapters: found, devices: [...list, "webgpu"] });
        assert.ok([...list, "webgpu"].includes(choice.device));
        assert.notEqual(choice.adapter?.isSoftware, true);
        assert.equal(
          choice.device === "webgpu",
          found.some((one) => !one.isSoftware),
        );
      }),
    );
  });
});

describe("descriptions", () => {
  test("CPU-backed drivers are known by name", () => {
    for (const name of [
      "SwiftShader Device (Subzero)",
      "llvmpipe (LLVM 15.0.6, 256 bits)",
      "lavapipe",
      "Microsoft Basic Render Driver",
      "WARP",
    ])
      assert.ok(namesSoftware("", name), name);
    for (const name of ["NVIDIA H200", "Apple M4 Max", "Intel(R) Arc(TM) A770", "warpdrive 9000"]) {
      assert.ok(!namesSoftware("vendor", name), name);
    }
  });

  test("an adapter that tells nothing is described all the same", () => {
    const bare = { info: {}, features: new Set(["subgroups", "shader-f16"]), limits: { maxBufferSize: 1000 } };
    const info = describeAdapter(bare as unknown as GPUAdapter);
    assert.deepEqual([info.vendor, info.device, info.backend, info.isSoftware], ["", "", undefined, false]);
    assert.deepEqual(info.features, ["shader-f16", "subgroups"]);
    assert.equal(info.limits.maxBufferSize, 1000);
  });

  test("a name's part fits in any case; a real GPU is preferred", () => {
    assert.ok(fitsAdapter(geforce, "rtx"));
    assert.ok(!fitsAdapter(geforce, "radeon"));
    assert.equal(pickAdapter([swiftShader, radeon, geforce]), radeon);
    assert.equal(pickAdapter([swiftShader, radeon, geforce], "rtx"), geforce);
    assert.equal(pickAdapter([swiftShader, radeon], "rtx"), undefined);
  });

  test("adapters of one name are numbered, and a number chooses among those that fit", () => {
    const second = { ...geforce, subgroupMaxSize: 64 };
    const all = [swiftShader, radeon, geforce, second];
    assert.equal(pickAdapter(all, "geforce:1"), second);
    assert.equal(pickAdapter(all, "geforce:0"), geforce);
    assert.equal(pickAdapter(all, ":0"), radeon);
    assert.equal(pickAdapter(all, ":3"), swiftShader);
    assert.equal(pickAdapter(all, "geforce:2"), undefined);
    const names = adapterChoices(all);
    assert.deepEqual(
      names.map((name) => pickAdapter(all, name)),
      [radeon, geforce, second, swiftShader],
      "every name that is listed chooses its adapter",
    );
    assert.throws(
      () => chooseDevice({ adapter: "geforce:2", adapters: all, devices }),
      /no WebGPU adapter fits "geforce:2".*RTX 3080:0".*RTX 3080:1"/,
    );
  });

  test("runs are spread over real GPUs that can be opened, by names that choose each of them", () => {
    /** As WebGPU describes an adapter, Dawn's name beside it. */
    const described = (device: string, vendor: string): AdapterDescription =>
      describeAdapter(
        { info: { vendor, device: "" }, features: new Set(), limits: {} } as unknown as GPUAdapter,
        device,
        "vulkan",
      );
    const found = [
      described("NVIDIA H200", "nvidia"),
      described("llvmpipe (LLVM 15.0.6, 256 bits)", "mesa"),
      described("NVIDIA H200", "nvidia"),
      described("NVIDIA L4", "nvidia"),
    ];
    const names = spreadChoices(found);
    assert.deepEqual(names, ["NVIDIA H200:0", "NVIDIA H200:1", "NVIDIA L4"]);
    assert.deepEqual(
      names.map((name) => pickAdapter(found, name)),
      [found[0], found[2], found[3]],
    );
    const hidden = found.map((info, i) => (i === 2 ? { ...info, hiddenBehind: 1 } : info));
    assert.deepEqual(spreadChoices(hidden), ["NVIDIA H200:0", "NVIDIA L4"]);
    assert.deepEqual(spreadChoices([found[1]!]), []);
  });

  test("an adapter's number that there is not is refused by name, with those that there are", () => {
    assert.throws(
      () => chooseDevice({ adapter: "nvidia:9", adapters: [geforce, radeon], devices }),
      /no WebGPU adapter fits "nvidia:9": there is "NVIDIA GeForce RTX 3080", "AMD Radeon RX 7800 XT"/,
    );
  });

  test("a second adapter that the runtime cannot open is an error that says what helps", () => {
    const hidden = { ...geforce, hiddenBehind: 1 };
    assert.throws(
      () => chooseDevice({ adapter: "geforce:1", adapters: [geforce, hidden], devices }),
      /"geforce:1": Dawn opens adapters by name, and 2 or more are called.*--gres=gpu:1/,
    );
  });

  test("the GPU that Slurm gave is the first, where the process sees others as well", () => {
    const second = { ...geforce, subgroupMaxSize: 64 };
    const found = [swiftShader, geforce, second].map((info) => ({ info }));
    const first = (environment: Record<string, string>, list = found): unknown =>
      givenFirst(list, (name) => environment[name])[0]!.info;
    assert.equal(first({ SLURM_JOB_ID: "7", CUDA_VISIBLE_DEVICES: "1" }), second);
    assert.equal(first({ SLURM_JOB_ID: "7", CUDA_VISIBLE_DEVICES: "5" }), swiftShader);
    assert.equal(first({ CUDA_VISIBLE_DEVICES: "1" }), swiftShader);
    assert.equal(
      first({ SLURM_JOB_ID: "7", CUDA_VISIBLE_DEVICES: "1" }, [
        { info: geforce },
        { info: { ...geforce, hiddenBehind: 1 } },
      ]),
      geforce,
    );
  });

  test("a GPU that Slurm gave and that cannot be had is an error where the process sees several", () => {
    const second = { ...radeon };
    const why = (number: string, list: Parameters<typeof givenButNotHad>[0]): string | undefined =>
      givenButNotHad(list, (name) => ({ SLURM_JOB_ID: "7", CUDA_VISIBLE_DEVICES: number })[name]);
    assert.match(
      why("5", [swiftShader, geforce, second])!,
      /CUDA_VISIBLE_DEVICES=5.*none of the 2 GPUs.*HICO_ADAPTER \("NVIDIA GeForce RTX 3080", "AMD Radeon RX 7800 XT"\)/,
    );
    assert.match(why("1", [geforce, { ...geforce, hiddenBehind: 1 }])!, /2 or more are called.*--gres=gpu:1/);
    assert.equal(why("1", [geforce, second]), undefined);
    assert.equal(why("5", [swiftShader, geforce]), undefined);
    assert.equal(
      givenButNotHad([geforce, second], (name) => ({ CUDA_VISIBLE_DEVICES: "5" })[name]),
      undefined,
    );
  });

  test("the profile takes the smaller of the two limits on a buffer, and only features that are granted", () => {
    const profile = profileOf(
      false,
      { ...limits, maxBufferSize: 100, maxStorageBufferBindingSize: 70 },
      new Set(["shader-f16"]),
    );
    assert.deepEqual(profile, {
      kind: "gpu",
      maxStorageBuffers: 64,
      maxInvocations: 64,
      maxWorkgroupBytes: 64,
      maxBindingBytes: 70,
      subgroups: false,
      f16: true,
    });
    assert.equal(profileOf(true, limits, new Set()).kind, "cpu");
  });
});
