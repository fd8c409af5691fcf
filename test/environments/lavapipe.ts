/** Whether lavapipe (Mesa's software Vulkan driver) can be used here: scripts/lavapipe.sh gets it on Debian. */
import { lavapipe } from "../../src/device/software-vulkan.ts";
import { listAdapters } from "../../src/device/webgpu/gpu/adapter.ts";

/** Why there is no lavapipe on this machine, or undefined. Deno takes any version of it. */
export async function lavapipeUnavailable(): Promise<string | undefined> {
  return lavapipe().then(
    () => undefined,
    (error: Error) => error.message,
  );
}

/** Why Dawn, under Node, does not take lavapipe, or undefined: it refuses versions before Mesa 23. */
export async function lavapipeUnavailableInNode(): Promise<string | undefined> {
  const missing = await lavapipeUnavailable();
  if (missing !== undefined) return missing;
  const found = await listAdapters({ software: "lavapipe" });
  return found.length > 0 ? undefined : "Dawn refuses this lavapipe or finds no Vulkan loader (scripts/lavapipe.sh)";
}
