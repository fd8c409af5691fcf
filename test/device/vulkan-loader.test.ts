import assert from "node:assert/strict";
import { test } from "node:test";
import { hasGpuFile, hasVulkanLoader } from "../../src/device/webgpu/gpu/vulkan-loader.ts";

test("Vulkan's loader is found where a linker finds it: its cache, its folders, LD_LIBRARY_PATH", () => {
  const bare = { exists: () => false, cache: () => "libm.so.6", libraryPath: undefined };
  assert.equal(hasVulkanLoader(bare), false);
  assert.equal(hasVulkanLoader({ ...bare, cache: () => undefined }), false);
  assert.equal(hasVulkanLoader({ ...bare, cache: () => "libm.so.6\0libvulkan.so.1\0" }), true);
  assert.equal(hasVulkanLoader({ ...bare, exists: (path) => path === "/usr/lib/libvulkan.so.1" }), true);
  const own = { ...bare, exists: (path: string) => path === "/opt/vk/libvulkan.so.1" };
  assert.equal(hasVulkanLoader(own), false);
  assert.equal(hasVulkanLoader({ ...own, libraryPath: "/opt/other:/opt/vk" }), true);
});

test("a GPU shows as a file: without one Vulkan has software at most, and Dawn is not asked for a real adapter", () => {
  const machine = (dev: string[], dri: string[] = []) => hasGpuFile((folder) => (folder === "/dev" ? dev : dri));
  assert.equal(machine(["null", "dri", "kvm"]), false);
  assert.equal(machine(["dri"], ["card0"]), false);
  assert.equal(machine(["dri"], ["card0", "renderD128"]), true);
  for (const name of ["nvidia0", "nvidiactl", "dxg", "mali0", "kgsl-3d0"]) assert.equal(machine([name]), true, name);
});
