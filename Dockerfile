# The image of `hico sweep --emit k8s`, and of any other container that trains: Node, Vulkan's loader and this package.
#
#     npm pack && docker build -t hico-webgpu .
#     docker run --rm --gpus all -v "$PWD:/work" hico-webgpu hico info
FROM node:22-bookworm-slim
# Dawn finds a GPU through libvulkan.so.1. The driver itself comes from the host, by the NVIDIA container runtime.
RUN apt-get update && apt-get install -y --no-install-recommends libvulkan1 ca-certificates && rm -rf /var/lib/apt/lists/*
# Without "graphics" the runtime leaves the Vulkan driver out, and `auto` takes the CPU.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics
COPY hico-webgpu-*.tgz /tmp/
RUN npm install --global /tmp/hico-webgpu-*.tgz && rm /tmp/hico-webgpu-*.tgz
WORKDIR /work
CMD ["hico", "--help"]
