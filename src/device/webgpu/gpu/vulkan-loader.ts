/**
 * Whether the dynamic linker of a Linux machine will find `libvulkan.so.1`, the only door that Dawn has to a GPU there.
 *
 * Dawn asked in vain prints a warning of its own to standard error, past Node; so it is not asked.
 */
import { environmentVariable, importLate } from "../../environment.ts";

const NAME = "libvulkan.so.1";
/** Where linkers look without being told, besides their cache. */
const FOLDERS = ["/lib", "/usr/lib", "/lib64", "/usr/lib64", "/usr/local/lib"];

/** What is asked of the machine, so that a test can answer for one. */
interface LinkerView {
  readonly exists: (path: string) => boolean;
  /** The text of the linker's cache; undefined where there is none. */
  readonly cache: () => string | undefined;
  readonly libraryPath: string | undefined;
}

export function hasVulkanLoader({ exists, cache, libraryPath }: LinkerView): boolean {
  const folders = [...(libraryPath ?? "").split(":").filter((folder) => folder !== ""), ...FOLDERS];
  return folders.some((folder) => exists(`${folder}/${NAME}`)) || (cache()?.includes(NAME) ?? false);
}

/** Where Linux shows GPUs to programs: the kernel's renderers, NVIDIA's own, ARM's and Qualcomm's, and WSL's door to Windows. */
const GPU_FILES = /^(nvidia\d+|nvidiactl|dxg|mali\d*|kgsl-3d0)$/;

/**
 * Whether there is a file by which a program reaches a GPU. Where there is none, Vulkan has software drivers at most, and
 * Dawn, asked for a GPU, prints each one's refusals to standard error.
 */
export function hasGpuFile(list: (folder: string) => readonly string[]): boolean {
  return (
    list("/dev").some((name) => GPU_FILES.test(name)) || list("/dev/dri").some((name) => name.startsWith("renderD"))
  );
}

/** The answer of `hasGpuFile` for this machine; true wherever it is no Linux. */
export async function gpuFileHere(): Promise<boolean> {
  if (process.platform !== "linux") return true;
  const fs = await importLate<typeof import("node:fs")>("node:fs");
  return hasGpuFile((folder) => {
    try {
      return fs.readdirSync(folder);
    } catch {
      return [];
    }
  });
}

/** The answer for this machine; true wherever it is no Linux, and where a loader lies beside Dawn. */
export async function vulkanLoaderHere(): Promise<boolean> {
  if (process.platform !== "linux") return true;
  const fs = await importLate<typeof import("node:fs")>("node:fs");
  const read = (path: string): string | undefined => {
    try {
      return fs.readFileSync(path, "latin1");
    } catch {
      return undefined;
    }
  };
  return hasVulkanLoader({
    exists: (path) => fs.existsSync(path),
    cache: () => read("/etc/ld.so.cache"),
    libraryPath: environmentVariable("LD_LIBRARY_PATH"),
  });
}
