/**
 * WebGPU's classes as declarations name them: the ones that a project has types of (`@webgpu/types`, or a DOM library
 * that knows WebGPU), else plain objects. So nobody has to install types to compile against this package, and whoever
 * has them gets them.
 */
type Known<Name extends string> = typeof globalThis extends { readonly [K in Name]: { readonly prototype: infer T } }
  ? T
  : object;

export type GPU = Known<"GPU">;
export type GPUAdapter = Known<"GPUAdapter">;
export type GPUBindGroup = Known<"GPUBindGroup">;
export type GPUBindGroupLayout = Known<"GPUBindGroupLayout">;
export type GPUBuffer = Known<"GPUBuffer">;
export type GPUCommandEncoder = Known<"GPUCommandEncoder">;
export type GPUComputePipeline = Known<"GPUComputePipeline">;
export type GPUDevice = Known<"GPUDevice">;
export type GPUSupportedLimits = Known<"GPUSupportedLimits">;
/** How a compute pass is opened. */
export type GPUComputePassDescriptor = GPUCommandEncoder extends {
  beginComputePass(descriptor?: infer Descriptor): unknown;
}
  ? NonNullable<Descriptor>
  : object;
