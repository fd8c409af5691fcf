/**
 * Software Vulkan drivers, for machines with no GPU: SwiftShader out of an npm package, and Mesa's lavapipe where the
 * system has it.
 *
 * `@sparticuz/chromium` (a development dependency) carries SwiftShader and the Vulkan loader as a Brotli-packed tar.
 * They are unpacked once into a cache folder. Dawn asks the dynamic linker for `libvulkan.so.1`, which a machine with
 * no Vulkan package lacks; a library of that name that is already in the process satisfies it, so the unpacked loader
 * is loaded first and nothing is written beside `dawn.node`.
 *
 * Which driver the loader uses is decided by `VK_ICD_FILENAMES`, read whenever a Vulkan instance is made. The variable
 * is set for just that long, so that a process can open a software adapter and a real one.
 */
import { cacheFolder, environmentVariable, hasProcess, importLate, isDeno, isNode } from "./environment.ts";
import { setNativeEnvironment } from "./native-environment.ts";

type FileSystem = typeof import("node:fs");
type Path = typeof import("node:path");

/** The software drivers that can be asked for by name. */
export type SoftwareDriver = "swiftshader" | "lavapipe";

export const softwareDrivers: readonly SoftwareDriver[] = ["swiftshader", "lavapipe"];

/** A Vulkan driver in files: what `VK_ICD_FILENAMES` is set to, and a loader for systems without one. */
export interface VulkanDriver {
  readonly name: SoftwareDriver;
  /** Path of the driver's manifest (an "installable client driver" JSON file). */
  readonly manifest: string;
  /** Path of a `libvulkan.so.1`, where the driver came with one. */
  readonly loader: string | undefined;
}

/** One regular file of a tar archive. */
export interface TarEntry {
  readonly name: string;
  /** Permission bits. */
  readonly mode: number;
  readonly bytes: Uint8Array;
}

const BLOCK = 512;

/**
 * The regular files of a tar archive (POSIX.1-1988 "ustar" headers: 512-byte blocks, sizes in octal).
 * @throws Error when the archive ends inside a file or a header's checksum is wrong.
 */
export function readTar(archive: Uint8Array): TarEntry[] {
  const text = (from: number, length: number): string => {
    const field = archive.subarray(from, from + length);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  };
  const octal = (from: number, length: number): number => Number.parseInt(text(from, length).trim() || "0", 8);
  const entries: TarEntry[] = [];
  for (let at = 0; at + BLOCK <= archive.length && archive[at] !== 0; ) {
    let sum = 0;
    for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : archive[at + i]!;
    if (sum !== octal(at + 148, 8)) throw new Error(`tar: wrong checksum in the header at byte ${at}`);
    const size = octal(at + 124, 12);
    const from = at + BLOCK;
    if (from + size > archive.length) {
      throw new Error(`tar: "${text(at, 100)}" needs ${size} bytes at byte ${from}, the archive has ${archive.length}`);
    }
    const prefix = text(at + 345, 155);
    const type = archive[at + 156]!;
    if (type === 0 || type === 0x30) {
      const name = prefix === "" ? text(at, 100) : `${prefix}/${text(at, 100)}`;
      entries.push({ name, mode: octal(at + 100, 8), bytes: archive.subarray(from, from + size) });
    }
    at = from + Math.ceil(size / BLOCK) * BLOCK;
  }
  return entries;
}

/** The folder for unpacked drivers. @throws Error where the program may not know it */
async function driverFolder(): Promise<string> {
  const folder = await cacheFolder();
  if (folder !== undefined) return folder;
  throw new Error(
    "the folder for unpacked drivers is not known: this program may not ask for the home folder; " +
      "allow it with --allow-env (HOME, or HICO_CACHE set to a folder) or --allow-sys=homedir",
  );
}

/** `node_modules/@sparticuz/chromium/bin/swiftshader.tar.br`, in the nearest `node_modules` that has it. */
async function swiftShaderArchive(): Promise<string> {
  const { platform, arch } = process;
  if (platform !== "linux" || arch !== "x64") {
    throw new Error(`SwiftShader from npm is built for linux-x64; this is ${platform}-${arch}`);
  }
  const fs = await importLate<FileSystem>("node:fs");
  const path = await importLate<Path>("node:path");
  const url = await importLate<typeof import("node:url")>("node:url");
  // Bundled as CommonJS, this file does not know where it is.
  const own = import.meta.url as string | undefined;
  const starts = [...(own === undefined ? [] : [path.dirname(url.fileURLToPath(own))]), process.cwd()];
  for (const start of starts) {
    for (let folder = start; ; folder = path.dirname(folder)) {
      const archive = path.join(folder, "node_modules", "@sparticuz", "chromium", "bin", "swiftshader.tar.br");
      if (fs.existsSync(archive)) return archive;
      if (path.dirname(folder) === folder) break;
    }
  }
  throw new Error(
    "SwiftShader comes in the package @sparticuz/chromium, which is not installed: " +
      "npm install --save-dev @sparticuz/chromium@147.0.2",
  );
}

/**
 * SwiftShader, unpacked into the cache folder unless it is there already. Safe when several processes do it at once:
 * each unpacks into a folder of its own, and one rename wins.
 * @throws Error when the package is missing or this is not Linux on x86-64.
 */
export async function swiftShader(): Promise<VulkanDriver> {
  const fs = await importLate<FileSystem>("node:fs");
  const path = await importLate<Path>("node:path");
  const archive = await swiftShaderArchive();
  // The archive's length names the folder, so another version of the package unpacks beside it.
  const folder = path.join(await driverFolder(), `swiftshader-${fs.statSync(archive).size}`);
  if (!fs.existsSync(folder)) {
    const zlib = await importLate<typeof import("node:zlib")>("node:zlib");
    fs.mkdirSync(path.dirname(folder), { recursive: true });
    const unpacking = fs.mkdtempSync(`${folder}-unpacking-`);
    try {
      for (const { name, mode, bytes } of readTar(zlib.brotliDecompressSync(fs.readFileSync(archive)))) {
        if (!/^(libvk_swiftshader\.so|libvulkan\.so\.1|vk_swiftshader_icd\.json)$/.test(name)) continue;
        fs.writeFileSync(path.join(unpacking, name), bytes, { mode });
      }
      fs.renameSync(unpacking, folder);
    } catch (error) {
      fs.rmSync(unpacking, { recursive: true, force: true });
      // Another process that finished first leaves a folder that a rename cannot replace: it is the same.
      if (!fs.existsSync(folder)) throw error;
    }
  }
  return {
    name: "swiftshader",
    manifest: path.join(folder, "vk_swiftshader_icd.json"),
    loader: path.join(folder, "libvulkan.so.1"),
  };
}

const manifestFolders = ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/**
 * Lavapipe's manifest: `HICO_LAVAPIPE` (a path), else `lavapipe/lvp_icd*.json` in the cache folder or the system's,
 * under Deno in the other order.
 * @throws Error that lists where it looked, when there is none.
 */
export async function lavapipe(): Promise<VulkanDriver> {
  const fs = await importLate<FileSystem>("node:fs");
  const path = await importLate<Path>("node:path");
  const given = environmentVariable("HICO_LAVAPIPE");
  if (given !== undefined) {
    if (!fs.existsSync(given)) throw new Error(`HICO_LAVAPIPE=${given}: there is no such file`);
    return { name: "lavapipe", manifest: given, loader: undefined };
  }
  const cached = path.join(await driverFolder(), "lavapipe");
  // Dawn needs the newer Mesa in the cache. wgpu takes the system's too, which compiles kernels many times faster.
  const folders = isDeno ? [...manifestFolders, cached] : [cached, ...manifestFolders];
  for (const folder of folders) {
    if (!fs.existsSync(folder)) continue;
    const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
    const names = ["lvp_icd.json", `lvp_icd.${machine}.json`];
    const manifest = names.find((name) => fs.existsSync(path.join(folder, name)));
    if (manifest !== undefined) return { name: "lavapipe", manifest: path.join(folder, manifest), loader: undefined };
  }
  throw new Error(
    `lavapipe: no lvp_icd*.json in ${folders.join(", ")}; ` +
      "apt-get install mesa-vulkan-drivers libvulkan1, or set HICO_LAVAPIPE to the manifest's path",
  );
}

/** The files of a software driver; SwiftShader is unpacked at need. Node and Deno only. */
export function findSoftwareDriver(name: SoftwareDriver): Promise<VulkanDriver> {
  if (!hasProcess) throw new Error(`a software Vulkan driver ("${name}") can be chosen under Node and Deno only`);
  return name === "swiftshader" ? swiftShader() : lavapipe();
}

/** Whether each software driver can be asked for here: its manifest, or why not. Unpacks nothing. */
export async function surveySoftwareDrivers(): Promise<{ name: SoftwareDriver; found: boolean; detail: string }[]> {
  if (!hasProcess) return [];
  const look = async (name: SoftwareDriver): Promise<{ name: SoftwareDriver; found: boolean; detail: string }> => {
    try {
      const detail = name === "swiftshader" ? await swiftShaderArchive() : (await lavapipe()).manifest;
      return { name, found: true, detail };
    } catch (error) {
      return { name, found: false, detail: (error as Error).message };
    }
  };
  return Promise.all(softwareDrivers.map(look));
}

/** glibc: keep a library in the process after `dlclose`. */
const RTLD_NODELETE = 0x1000;

const loaders = new Set<string>();

/**
 * Puts a Vulkan loader into this process, for Dawn to find by its name. Node unloads what is no Node addon, and says
 * so in an error; RTLD_NODELETE makes it stay.
 */
async function loadVulkanLoader(file: string): Promise<void> {
  if (!isNode || loaders.has(file)) return;
  loaders.add(file);
  const { constants } = await importLate<typeof import("node:os")>("node:os");
  try {
    process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE);
  } catch (error) {
    // Bun has other words for it.
    if (!/did not self-register|napi_register_module/.test(String(error))) throw error;
  }
}

let turn: Promise<unknown> = Promise.resolve();

/**
 * Runs `body` while the Vulkan loader sees only `driver`, and puts the environment back. One caller at a time, since
 * the environment is the whole process's.
 */
export function withSoftwareDriver<Result>(driver: VulkanDriver, body: () => Promise<Result>): Promise<Result> {
  const result = turn.then(async () => {
    const os = await importLate<typeof import("node:os")>("node:os");
    const path = await importLate<Path>("node:path");
    const variables: Record<string, string> = {
      VK_ICD_FILENAMES: driver.manifest,
      VK_DRIVER_FILES: driver.manifest,
      XDG_RUNTIME_DIR: environmentVariable("XDG_RUNTIME_DIR") ?? os.tmpdir(),
    };
    if (driver.name === "lavapipe") {
      variables.MESA_SHADER_CACHE_DIR =
        environmentVariable("MESA_SHADER_CACHE_DIR") ?? path.join(await driverFolder(), "mesa-shaders");
    }
    if (driver.loader !== undefined) await loadVulkanLoader(driver.loader);
    // Mesa opens its shader cache when a device is made, so its folder must outlive this call.
    const names = Object.keys(variables).filter((name) => name !== "MESA_SHADER_CACHE_DIR");
    const before = Object.fromEntries(names.map((name) => [name, process.env[name]]));
    await setNativeEnvironment(variables);
    try {
      return await body();
    } finally {
      await setNativeEnvironment(before);
    }
  });
  turn = result.catch(() => undefined);
  return result;
}
