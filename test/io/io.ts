/** The public names under test, and the two internal helpers that comparing bytes needs. */
export * from "../../src/io/index.ts";
export { bytesOf } from "../../src/io/host-tensor.ts";
