/**
 * The demonstration that needs no data.
 *
 * @module hico-webgpu/demo
 */
export { DEMO_DATA, DEMO_SETTINGS, runDemo } from "./demo.ts";
export type { DemoOptions, DemoResult } from "./demo.ts";
